"""Internet gateways, which EC2 does not detach from under a public address; upstream it does."""

from __future__ import annotations

from ministack.services import ec2

from localaws.account.ec2 import wire
from localaws.account.ec2.instances import Instances
from localaws.account.ec2.request import Parameters, value
from localaws.account.errors import ApiError


def detach(_instances: Instances, request: Parameters) -> wire.Response:
    """DetachInternetGateway.

    CloudFormation is not refused: on AWS it asks again until the machines are gone, which here
    are deleted one after another.
    """
    vpc = value(request, "VpcId")
    for record in ec2._instances.values():
        if record["VpcId"] == vpc and record["PublicIpAddress"]:
            raise ApiError(
                "DependencyViolation",
                f"Network {vpc} has some mapped public address(es). Please unmap those public "
                "address(es) before detaching the gateway.",
            )
    response: wire.Response = ec2._detach_internet_gateway(request)
    return response
