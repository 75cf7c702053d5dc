"""The quota check alone, for an instance that is not a GpuWorkstation."""

from aws_cdk import App, Stack
from aws_cdk import aws_ec2 as ec2

from gpustation import QuotaCheck

app = App()
stack = Stack(app, "Inference")
instance = ec2.Instance(
    stack,
    "Instance",
    vpc=ec2.Vpc(stack, "Vpc", max_azs=1, nat_gateways=0),
    instance_type=ec2.InstanceType("g5.xlarge"),
    machine_image=ec2.MachineImage.latest_amazon_linux2023(),
)
check = QuotaCheck(stack, "QuotaCheck", instance_type="g5.xlarge")
# Create the instance only after the check has passed
instance.node.add_dependency(check)
app.synth()
