"""The regions, and whether the account has enabled them; upstream all are enabled."""

from __future__ import annotations

from ministack.services import ec2

from localaws.account.ec2 import catalog, wire
from localaws.account.ec2.instances import Instances
from localaws.account.ec2.request import Parameters, filtered, value

ALWAYS_ENABLED = frozenset(
    {
        *("us-east-1", "us-east-2", "us-west-1", "us-west-2", "ca-central-1", "sa-east-1"),
        *("eu-central-1", "eu-west-1", "eu-west-2", "eu-west-3", "eu-north-1"),
        *("ap-south-1", "ap-northeast-1", "ap-northeast-2", "ap-northeast-3"),
        *("ap-southeast-1", "ap-southeast-2"),
    }
)
"""Regions that an account cannot disable; a new one has no others (AWS, "Enable or disable AWS
Regions in your account")."""


def describe(instances: Instances, request: Parameters) -> wire.Response:
    """DescribeRegions, for the regions whose offerings are known."""
    names = set(ec2._parse_member_list(request, "RegionName"))
    disabled_too = value(request, "AllRegions").lower() == "true" or bool(names)
    rows = [_region(name, instances) for name in catalog.regions() if not names or name in names]
    rows = [row for row in rows if disabled_too or row["OptInStatus"] != "not-opted-in"]
    paths = {"opt-in-status": "OptInStatus", "region-name": "RegionName", "endpoint": "Endpoint"}
    return wire.response("DescribeRegions", {"Regions": filtered(rows, request, paths)})


def _region(name: str, instances: Instances) -> dict[str, str]:
    status = "opt-in-not-required"
    if name not in ALWAYS_ENABLED:
        enabled = instances.world.opted_in.get(name, False)
        status = "opted-in" if enabled else "not-opted-in"
    return {
        "RegionName": name,
        "Endpoint": f"ec2.{name}.amazonaws.com",
        "OptInStatus": status,
    }
