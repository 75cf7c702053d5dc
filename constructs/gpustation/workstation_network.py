"""The network of a workstation: free of charge, and without inbound access by default."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable

from aws_cdk import CfnTag
from aws_cdk import aws_ec2 as ec2
from constructs import Construct

from gpustation.catalog.ports import SSH_PORT
from gpustation.synth.acknowledge import acknowledge
from gpustation.synth.name_tag import plain_path, tag_name

VPC_CIDR = "10.0.0.0/16"


class WorkstationNetwork(Construct):
    """VPC with an internet gateway, a security group, and a public subnet per machine.

    Not the default VPC, because looking it up needs credentials at synth, and because the zone,
    which the subnet must be in, is chosen at deploy time. No NAT gateway, which would cost 32 USD
    per month.

    Args:
        scope: Construct that owns this one.
        construct_id: ID unique within the scope.
        ssh_cidrs: IPv4 networks that may connect to port 22. Default: none, so there is no inbound
            rule.
    """

    def __init__(
        self, scope: Construct, construct_id: str, *, ssh_cidrs: Iterable[str] = ()
    ) -> None:
        super().__init__(scope, construct_id)
        vpc = ec2.CfnVPC(
            self,
            "Vpc",
            cidr_block=VPC_CIDR,
            enable_dns_hostnames=True,
            enable_dns_support=True,
            tags=[CfnTag(key="Name", value=plain_path(self))],
        )
        acknowledge(
            vpc,
            {
                "AwsSolutions::AwsSolutions-VPC7": "flow logs of one person's machine would cost "
                "and be read by nobody; who needs them adds them to network.vpc"
            },
        )
        # The L2 Vpc would choose zones and subnets at synth; here the zone is known at deploy time
        self.vpc = ec2.Vpc.from_vpc_attributes(
            self,
            "VpcAttributes",
            vpc_id=vpc.ref,
            availability_zones=["chosen at deploy time"],  # required, but not rendered
        )
        gateway = ec2.CfnInternetGateway(self, "InternetGateway")
        self._gateway_id = gateway.ref
        self.internet_gateway = ec2.CfnVPCGatewayAttachment(
            self,
            "InternetGatewayAttachment",
            vpc_id=self.vpc.vpc_id,
            internet_gateway_id=gateway.ref,
        )
        """The gateway, attached to the VPC."""
        self.security_group = ec2.SecurityGroup(
            self, "SecurityGroup", vpc=self.vpc, description="GPU workstation"
        )
        for cidr in ssh_cidrs:
            self.security_group.add_ingress_rule(
                ec2.Peer.ipv4(cidr), ec2.Port.tcp(SSH_PORT), f"SSH from {cidr}"
            )

    def add_subnet(
        self,
        scope: Construct,
        construct_id: str,
        *,
        number: int,
        availability_zone: str,
        prefix_length: int = 24,
    ) -> ec2.PublicSubnet:
        """Adds a public subnet. Instances in it must depend on its internet connectivity.

        Args:
            scope: Construct that owns the subnet: the generation of the machine.
            construct_id: ID unique within the scope.
            number: Index of the subnet's address range in the VPC, so that two generations can
                exist side by side: 1 to 255, or 1 to 4095 with a prefix length of 28.
            availability_zone: Name of the zone; may be a token.
            prefix_length: Prefix length of the address range. Default: 24.

        Raises:
            ValueError: The number is out of range.
        """
        last = 2 ** (prefix_length - ipaddress.ip_network(VPC_CIDR).prefixlen) - 1
        if not 1 <= number <= last:
            raise ValueError(
                f"number must be from 1 to {last}, got {number}; use another generation"
            )
        first = ipaddress.ip_network(VPC_CIDR)[number << 32 - prefix_length]
        subnet = ec2.PublicSubnet(
            scope,
            construct_id,
            vpc_id=self.vpc.vpc_id,
            availability_zone=availability_zone,
            cidr_block=f"{first}/{prefix_length}",
            map_public_ip_on_launch=True,
        )
        subnet.add_default_internet_route(self._gateway_id, self.internet_gateway)
        tag_name(subnet)
        return subnet
