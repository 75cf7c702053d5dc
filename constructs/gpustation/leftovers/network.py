"""The network: what is ours, and what lies in a network of ours that is left."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from gpustation.leftovers.account import tags_of
from gpustation.leftovers.machines import instance_left, instances, is_ended
from gpustation.leftovers.ours import NOT_PROVEN, Ownership
from gpustation.leftovers.result import Leftover, chain, command, leftover
from gpustation.leftovers.search import Search

Found = Mapping[str, Any]
Vpcs = Mapping[str, Ownership]
"""Ids of VPCs that are left, and why."""


def leftovers(search: Search) -> Iterator[Leftover]:
    """Everything of these kinds that is left.

    Whatever lies in a left VPC is listed, tagged or not: the VPC cannot go before it. What AWS
    makes and removes with the VPC itself is not: its default group, its main route table.
    """
    users = _users(search)
    vpcs = {}
    for vpc in search.account.list("ec2", "describe_vpcs", "Vpcs"):
        why = search.left(tags_of(vpc.get("Tags")), vpc["VpcId"])
        if why:
            why = vpcs[vpc["VpcId"]] = _in_use(why, users.get(vpc["VpcId"], ""))
            removal = command("ec2 delete-vpc", search.region, vpc_id=vpc["VpcId"])
            yield leftover("vpc", vpc["VpcId"], search.region, why, removal)
    subnets = search.account.list("ec2", "describe_subnets", "Subnets")
    places = {one["SubnetId"]: _why(search, one, one["SubnetId"], vpcs) for one in subnets}
    left = {name for name, why in {**vpcs, **places}.items() if why and not why.doubt}
    left |= {one["SubnetId"] for one in subnets if one["VpcId"] in left}
    for kind, (operation, member, id_name, removal_of) in _KINDS.items():
        for one in search.account.list("ec2", operation, member):
            if _goes_with_its_vpc(kind, one):
                continue
            why = _why(search, one, one[id_name], vpcs)
            if why:
                # Where a network is another's, only what is in use itself counts
                place = one.get("SubnetId") or one.get("VpcId", "")
                user = users.get(place, "") if "SubnetId" in one or place in vpcs else ""
                why = _in_use(why, user or _used_by(one, left))
                removal = removal_of(search.region, one)
                yield leftover(kind, one[id_name], search.region, why, removal)


def _why(search: Search, found: Found, name: str, vpcs: Vpcs) -> Ownership | None:
    attached = [one.get("VpcId") for one in found.get("Attachments", [])]
    places = [place for place in (found.get("VpcId"), *attached) if place in vpcs]
    # Made by hand, by another service, by another team: the person knows, nobody else
    part_of = Ownership(f"in {places[0]}, which is left", NOT_PROVEN) if places else None
    machine = (found.get("Attachment") or {}).get("InstanceId", "")
    return search.left(
        tags_of(found.get("Tags") or found.get("TagSet")),
        name,
        within=[machine],
        name=found.get("GroupName", ""),
        part_of=part_of,
    )


def _users(search: Search) -> dict[str, str]:
    """Networks and subnets with an instance that is not left, and that instance."""
    found: dict[str, str] = {}
    for one in instances(search):
        why = instance_left(search, one)
        if not is_ended(one) and (why is None or why.doubt):
            places = (one[place] for place in ("VpcId", "SubnetId") if place in one)
            found |= dict.fromkeys(places, one["InstanceId"])
    return found


def _in_use(why: Ownership, user: str) -> Ownership:
    use = f"in use by {user}, which is not left" if user else ""
    return Ownership(why.reason, why.doubt or use)


def _used_by(found: Found, left: set[str]) -> str:
    """The network or subnet that would lose its gateway or its routes, and is not left."""
    used = [one.get("VpcId") for one in found.get("Attachments", [])]
    used += [one.get("SubnetId") for one in found.get("Associations", [])]
    return next((one for one in used if one and one not in left), "")


def _goes_with_its_vpc(kind: str, found: Found) -> bool:
    if kind == "security group":
        return bool(found["GroupName"] == "default")
    if kind == "route table":
        return any(one.get("Main") for one in found.get("Associations", []))
    # An instance's own interface goes with the instance
    return kind == "network interface" and found.get("Status") == "in-use"


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
