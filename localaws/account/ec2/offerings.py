"""Instance types, offerings and zones; upstream their numbers are made up."""

from __future__ import annotations

from ministack.core.responses import get_region
from ministack.services import ec2

from localaws.account.ec2 import catalog, wire
from localaws.account.ec2.instances import Instances
from localaws.account.ec2.request import Parameters, filtered, page, value
from localaws.account.errors import ApiError


def instance_types(instances: Instances, request: Parameters) -> wire.Response:
    """DescribeInstanceTypes, with AWS's own numbers."""
    offered = {kind for kind, _ in catalog.offerings(get_region(), instances.world.offerings)}
    known = catalog.instance_types()
    names = ec2._parse_member_list(request, "InstanceType")
    unknown = [name for name in names if name not in known or name not in offered]
    if unknown:
        raise ApiError(
            "InvalidInstanceType",
            f"The following supplied instance types do not exist: [{', '.join(unknown)}]",
        )
    rows = [known[name] for name in (names or sorted(offered & known.keys()))]
    paths = {
        "instance-type": "InstanceType",
        "current-generation": "CurrentGeneration",
        "supported-usage-class": "SupportedUsageClasses",
        "processor-info.supported-architecture": "ProcessorInfo.SupportedArchitectures",
        "vcpu-info.default-vcpus": "VCpuInfo.DefaultVCpus",
    }
    return page("DescribeInstanceTypes", "InstanceTypes", filtered(rows, request, paths), request)


def instance_type_offerings(instances: Instances, request: Parameters) -> wire.Response:
    """DescribeInstanceTypeOfferings, by region or by zone."""
    kind = value(request, "LocationType") or "region"
    pairs = catalog.offerings(get_region(), instances.world.offerings)
    if kind == "region":
        pairs = sorted({(name, get_region()) for name, _ in pairs})
    elif kind == "availability-zone-id":
        ids = {zone["ZoneName"]: zone["ZoneId"] for zone in catalog.zones(get_region())}
        pairs = [(name, ids[zone]) for name, zone in pairs]
    rows = [{"InstanceType": n, "LocationType": kind, "Location": where} for n, where in pairs]
    paths = {"instance-type": "InstanceType", "location": "Location"}
    rows = filtered(rows, request, paths)
    return page("DescribeInstanceTypeOfferings", "InstanceTypeOfferings", rows, request)


def zones(_instances: Instances, request: Parameters) -> wire.Response:
    """DescribeAvailabilityZones, with one Local Zone that the account has opted into."""
    names = set(ec2._parse_member_list(request, "ZoneName"))
    rows = [z for z in catalog.zones(get_region()) if not names or z["ZoneName"] in names]
    paths = {
        "zone-name": "ZoneName",
        "zone-id": "ZoneId",
        "zone-type": "ZoneType",
        "opt-in-status": "OptInStatus",
        "state": "State",
        "region-name": "RegionName",
        "group-name": "GroupName",
    }
    rows = filtered(rows, request, paths)
    return wire.response("DescribeAvailabilityZones", {"AvailabilityZones": rows})
