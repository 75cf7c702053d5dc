"""The app with the workstation's stack alone: what is compared with one bare instance."""

import aws_cdk as cdk

from gpustation import read_settings
from stacks.gpu_workstation_stack import GpuWorkstationStack

if __name__ == "__main__":
    app = cdk.App()
    report = read_settings(app.node.get_all_context())
    GpuWorkstationStack(app, "GpuWorkstation", report=report)
    app.synth()
