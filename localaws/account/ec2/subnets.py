"""Subnets with EC2's refusals: unknown zone, overlapping range, deletion with machines in it.

Upstream all of that is accepted.
"""

from __future__ import annotations

from ipaddress import ip_network
from typing import Any

from ministack.core.responses import get_region
from ministack.services import ec2
from ministack.services.cloudformation import provisioners

from localaws.account.ec2 import catalog, wire
from localaws.account.ec2.instance_resource import call
from localaws.account.ec2.instances import Instances
from localaws.account.ec2.request import Parameters, value
from localaws.account.errors import ApiError

TYPE = "AWS::EC2::Subnet"


def install() -> None:
    """Check before ministack creates and deletes."""
    handler = provisioners._RESOURCE_HANDLERS[TYPE]
    plain = handler["create"]

    def create(logical_id: str, properties: dict[str, Any], stack_name: str) -> Any:
        _require_zone(properties.get("AvailabilityZone"))
        _require_free_range(properties["VpcId"], properties["CidrBlock"])
        return plain(logical_id, properties, stack_name)

    plain_delete = handler["delete"]

    def delete_resource(subnet_id: str, properties: Any) -> None:
        call(lambda: _require_empty(subnet_id))
        plain_delete(subnet_id, properties)

    handler["create"], handler["delete"] = create, delete_resource


def delete(_instances: Instances, request: Parameters) -> wire.Response:
    """DeleteSubnet."""
    _require_empty(value(request, "SubnetId"))
    response: wire.Response = ec2._delete_subnet(request)
    return response


def _require_empty(subnet_id: str) -> None:
    for record in ec2._instances.values():
        if record["SubnetId"] == subnet_id and record["State"]["Name"] != "terminated":
            text = f"The subnet '{subnet_id}' has dependencies and cannot be deleted."
            raise ApiError("DependencyViolation", text)


def _require_zone(zone: str | None) -> None:
    names = [row["ZoneName"] for row in catalog.zones(get_region())]
    if zone is not None and zone not in names:
        raise ValueError(
            f"Value ({zone}) for parameter availabilityZone is invalid. Subnets can currently only "
            f"be created in the following availability zones: {', '.join(names)}."
        )


def _require_free_range(vpc: str, block: str) -> None:
    for subnet in ec2._subnets.values():
        taken = ip_network(subnet["CidrBlock"])
        if subnet["VpcId"] == vpc and taken.overlaps(ip_network(block)):
            raise ValueError(f"The CIDR '{block}' conflicts with another subnet")
