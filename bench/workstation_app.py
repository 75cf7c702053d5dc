"""The app with the workstation's stack only, to measure the cost of the stages."""

import gc

gc.disable()  # as app.py

import aws_cdk as cdk

from gpustation import read_settings
from stacks.gpu_workstation_stack import GpuWorkstationStack

if __name__ == "__main__":
    app = cdk.App(stack_traces=False)
    report = read_settings(app.node.get_all_context())
    GpuWorkstationStack(app, "GpuWorkstation", report=report)
    app.synth()
