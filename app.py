"""Entry point of the CDK app: reads the context, defines the stacks."""

import gc
import sys

gc.disable()  # looking for unused objects took a sixth of Python's time, and a synth keeps them all

import aws_cdk as cdk

from gpustation import read_settings
from gpustation.catalog.names import ACCEPTANCE_ROLE, DEPLOY_ROLE, IMAGE, WORKSTATION, stack_name
from stacks.gpu_acceptance_role_stack import GpuAcceptanceRoleStack
from stacks.gpu_deploy_role_stack import GpuDeployRoleStack
from stacks.gpu_image_stack import GpuImageStack
from stacks.gpu_workstation_stack import GpuWorkstationStack

# A stack trace shows only jsii frames, and the CLI would print its first line above each message
app = cdk.App(stack_traces=False)
report = read_settings(app.node.get_all_context())
if report.name_fault:  # otherwise a stack of another name could be deployed or destroyed
    sys.exit(report.name_fault)
name = report.settings.name
GpuWorkstationStack(app, stack_name(WORKSTATION, name), report=report)
GpuImageStack(
    cdk.Stage(app, "Image"),
    stack_name(IMAGE, name),
    report=report,
    stack_name=stack_name(IMAGE, name),
)
ci = cdk.Stage(app, "Ci")
GpuDeployRoleStack(ci, DEPLOY_ROLE, report=report, stack_name=DEPLOY_ROLE)
GpuAcceptanceRoleStack(ci, ACCEPTANCE_ROLE, report=report, stack_name=ACCEPTANCE_ROLE)
app.synth()
