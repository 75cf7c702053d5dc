"""Entry point of the CDK app: reads the context, defines the stacks."""

import aws_cdk as cdk

from gpustation import read_settings
from stacks.gpu_deploy_role_stack import GpuDeployRoleStack
from stacks.gpu_image_stack import GpuImageStack
from stacks.gpu_workstation_stack import GpuWorkstationStack

# Through jsii a trace shows jsii, and the CLI prints its first line before each message of ours
app = cdk.App(stack_traces=False)
report = read_settings(app.node.get_all_context())
workstation = GpuWorkstationStack(app, "GpuWorkstation", report=report)
image = GpuImageStack(cdk.Stage(app, "Image"), "GpuImage", report=report, stack_name="GpuImage")
GpuDeployRoleStack(
    cdk.Stage(app, "Ci"),
    "GpuDeployRole",
    report=report,
    stack_names=[workstation.stack_name, image.stack_name],
    stack_name="GpuDeployRole",
)
app.synth()
