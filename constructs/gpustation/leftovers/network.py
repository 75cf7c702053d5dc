"""The network: what is ours, and what lies in a network of ours that is left."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from gpustation.leftovers import prices
from gpustation.leftovers.account import tags_of
from gpustation.leftovers.result import Leftover, chain, command
from gpustation.leftovers.search import Search

Found = Mapping[str, Any]


def leftovers(search: Search) -> Iterator[Leftover]:
    """Everything of these kinds that is left.

    Whatever lies in a left VPC is listed, tagged or not: the VPC cannot go before it. What AWS
    makes and removes with the VPC itself is not: its default group, its main route table.
    """
    left = {}
    for vpc in search.account.list("ec2", "describe_vpcs", "Vpcs"):
        why = search.left(tags_of(vpc.get("Tags")), vpc["VpcId"])
        if why:
            left[vpc["VpcId"]] = why
            removal = command("ec2 delete-vpc", search.region, vpc_id=vpc["VpcId"])
            yield _row(search, "vpc", vpc["VpcId"], why, removal)
    for kind, (operation, member, id_name, removal_of) in _KINDS.items():
        for one in search.account.list("ec2", operation, member):
            if not _goes_with_its_vpc(kind, one):
                why = _why(search, one, one[id_name], left)
                if why:
                    yield _row(search, kind, one[id_name], why, removal_of(search.region, one))


def _why(search: Search, found: Found, name: str, left: Mapping[str, str]) -> str:
    attached = [one.get("VpcId") for one in found.get("Attachments", [])]
    places = [place for place in (found.get("VpcId"), *attached) if place in left]
    part_of = f"in {places[0]}, which is left" if places else ""
    machine = (found.get("Attachment") or {}).get("InstanceId", "")
    return search.left(
        tags_of(found.get("Tags") or found.get("TagSet")),
        *(name, machine),
        name=found.get("GroupName", ""),
        part_of=part_of,
    )


def _goes_with_its_vpc(kind: str, found: Found) -> bool:
    if kind == "security group":
        return bool(found["GroupName"] == "default")
    if kind == "route table":
        return any(one.get("Main") for one in found.get("Associations", []))
    # An instance's own interface goes with the instance
    return kind == "network interface" and found.get("Status") == "in-use"


def _row(search: Search, kind: str, name: str, why: str, removal: str) -> Leftover:
    return Leftover(kind, name, search.region, None, 0.0, prices.FREE, why, removal)


def _interface(region: str, found: Found) -> str:
    return command(
        "ec2 delete-network-interface", region, network_interface_id=found["NetworkInterfaceId"]
    )


def _gateway(region: str, found: Found) -> str:
    named = {"internet_gateway_id": found["InternetGatewayId"]}
    detached = [
        command("ec2 detach-internet-gateway", region, **named, vpc_id=one["VpcId"])
        for one in found.get("Attachments", [])
    ]
    return chain(*detached, command("ec2 delete-internet-gateway", region, **named))


def _route_table(region: str, found: Found) -> str:
    freed = [
        command(
            "ec2 disassociate-route-table",
            region,
            association_id=one["RouteTableAssociationId"],
        )
        for one in found.get("Associations", [])
    ]
    table = found["RouteTableId"]
    return chain(*freed, command("ec2 delete-route-table", region, route_table_id=table))


def _subnet(region: str, found: Found) -> str:
    return command("ec2 delete-subnet", region, subnet_id=found["SubnetId"])


def _group(region: str, found: Found) -> str:
    return command("ec2 delete-security-group", region, group_id=found["GroupId"])


_KINDS: dict[str, tuple[str, str, str, Callable[[str, Found], str]]] = {
    "network interface": (
        *("describe_network_interfaces", "NetworkInterfaces", "NetworkInterfaceId"),
        _interface,
    ),
    "internet gateway": (
        *("describe_internet_gateways", "InternetGateways", "InternetGatewayId"),
        _gateway,
    ),
    "route table": ("describe_route_tables", "RouteTables", "RouteTableId", _route_table),
    "subnet": ("describe_subnets", "Subnets", "SubnetId", _subnet),
    "security group": ("describe_security_groups", "SecurityGroups", "GroupId", _group),
}
