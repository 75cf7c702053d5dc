"""Two workstations in an existing VPC that share a security group."""

from aws_cdk import App, Stack
from aws_cdk import aws_ec2 as ec2

from gpustation import GpuWorkstation

app = App()
stack = Stack(app, "Lab")
vpc = ec2.Vpc.from_vpc_attributes(
    stack, "Vpc", vpc_id="vpc-0123456789abcdef0", availability_zones=["us-east-1a"]
)
# The zone must be a literal name; the workstations use it and try no other zone
subnet = ec2.Subnet.from_subnet_attributes(
    stack, "Subnet", subnet_id="subnet-0123456789abcdef0", availability_zone="us-east-1a"
)
security_group = ec2.SecurityGroup(stack, "Lab", vpc=vpc, description="Machines of the lab")
for name in ("Anna", "Bob"):
    GpuWorkstation(stack, name, vpc=vpc, subnet=subnet, security_group=security_group)
app.synth()
