"""Entry point of the CDK app: reads the context, defines the stacks."""

import aws_cdk as cdk

from gpustation import read_settings
from stacks.gpu_image_stack import GpuImageStack
from stacks.gpu_workstation_stack import GpuWorkstationStack

app = cdk.App()
report = read_settings(app.node.get_all_context())
GpuWorkstationStack(app, "GpuWorkstation", report=report)
GpuImageStack(cdk.Stage(app, "Image"), "GpuImage", report=report, stack_name="GpuImage")
app.synth()
