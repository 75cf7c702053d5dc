"""The smallest app for comparison: one instance in an existing network."""

import aws_cdk as cdk
from aws_cdk import aws_ec2 as ec2

app = cdk.App()
stack = cdk.Stack(app, "Bare")
ec2.Instance(
    stack,
    "Instance",
    vpc=ec2.Vpc.from_vpc_attributes(
        stack,
        "Vpc",
        vpc_id="vpc-12345678",
        availability_zones=["us-east-1a"],
        public_subnet_ids=["subnet-12345678"],
    ),
    instance_type=ec2.InstanceType("g4dn.xlarge"),
    machine_image=ec2.MachineImage.generic_linux({"us-east-1": "ami-0123456789abcdef0"}),
)
app.synth()
