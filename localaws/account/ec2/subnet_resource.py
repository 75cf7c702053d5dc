"""AWS::EC2::Subnet with two of EC2's refusals; upstream any zone and any range is accepted."""

from __future__ import annotations

from ipaddress import ip_network
from typing import Any

from ministack.core.responses import get_region
from ministack.services import ec2
from ministack.services.cloudformation import provisioners

from localaws.account.ec2 import catalog

TYPE = "AWS::EC2::Subnet"


def install() -> None:
    """Check before ministack creates."""
    handler = provisioners._RESOURCE_HANDLERS[TYPE]
    plain = handler["create"]

    def create(logical_id: str, properties: dict[str, Any], stack_name: str) -> Any:
        _require_zone(properties.get("AvailabilityZone"))
        _require_free_range(properties["VpcId"], properties["CidrBlock"])
        return plain(logical_id, properties, stack_name)

    handler["create"] = create


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
