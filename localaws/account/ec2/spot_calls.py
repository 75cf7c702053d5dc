"""EC2's calls about spot: requests, prices, placement scores; upstream there are no requests."""

from __future__ import annotations

import zlib
from typing import Any

from ministack.core.responses import get_region
from ministack.services import ec2

from localaws.account import prices
from localaws.account.ec2 import catalog, wire
from localaws.account.ec2.instances import Instances
from localaws.account.ec2.request import Parameters, filtered, page, refuse_others, value
from localaws.account.ec2.spot_request import KEPT_SECONDS, LIVING, SpotRequest
from localaws.account.errors import ApiError

FILTERS = {
    "create-time": "CreateTime",
    "instance-id": "InstanceId",
    "launch.image-id": "LaunchSpecification.ImageId",
    "launch.instance-type": "LaunchSpecification.InstanceType",
    "launched-availability-zone": "LaunchedAvailabilityZone",
    "product-description": "ProductDescription",
    "spot-instance-request-id": "SpotInstanceRequestId",
    "state": "State",
    "status-code": "Status.Code",
    "type": "Type",
    "valid-until": "ValidUntil",
}
TAGS = ("tag:", "tag-key")
MOST_SCORES = 10
"""Zones or regions that GetSpotPlacementScores answers with (botocore's model)."""


def requests(instances: Instances, request: Parameters) -> wire.Response:
    """DescribeSpotInstanceRequests."""
    names = ec2._parse_member_list(request, "SpotInstanceRequestId")
    found = [instances.spot.get(name) for name in names] or instances.spot.of_region()
    filters = ec2._parse_filters(request)
    rows = [
        {**row.row(), "Tags": ec2._tags.get(row.id, [])}
        for row in found
        if _is_listed(instances, row) and ec2._resource_matches_tag_filters(row.id, filters)
    ]
    rows = filtered(rows, request, FILTERS, TAGS)
    return page("DescribeSpotInstanceRequests", "SpotInstanceRequests", rows, request)


def cancel(instances: Instances, request: Parameters) -> wire.Response:
    """CancelSpotInstanceRequests: none is cancelled if one does not exist."""
    refuse_others(request, ("SpotInstanceRequestId",))
    names = ec2._parse_member_list(request, "SpotInstanceRequestId")
    found = [instances.spot.get(name) for name in names]
    for one in found:
        instances.spot.cancel(one)
    rows = [{"SpotInstanceRequestId": one.id, "State": one.state} for one in found]
    return wire.response("CancelSpotInstanceRequests", {"CancelledSpotInstanceRequests": rows})


def price_history(instances: Instances, request: Parameters) -> wire.Response:
    """DescribeSpotPriceHistory, without history: prices never change here."""
    types = ec2._parse_member_list(request, "InstanceType")
    offered = catalog.offerings(get_region(), instances.world.offerings)
    rows = prices.spot_history(types, get_region(), offered)
    products = ec2._parse_member_list(request, "ProductDescription")
    rows = [row for row in rows if not products or row["ProductDescription"] in products]
    paths = {
        "availability-zone": "AvailabilityZone",
        "instance-type": "InstanceType",
        "product-description": "ProductDescription",
    }
    rows = filtered(rows, request, paths)
    return page("DescribeSpotPriceHistory", "SpotPriceHistory", rows, request)


def placement_scores(instances: Instances, request: Parameters) -> wire.Response:
    """GetSpotPlacementScores, made up: from 1 to 3, as AWS's are low for fewer than three types.

    `control.set_placement_score` sets that of a zone; a region has the best of its zones.
    """
    known = ("InstanceType", "TargetCapacity", "TargetCapacityUnitType", "SingleAvailabilityZone")
    refuse_others(request, (*known, "RegionName", "MaxResults", "NextToken", "DryRun"))
    types = ec2._parse_member_list(request, "InstanceType")
    if not types or not value(request, "TargetCapacity"):
        raise ApiError("MissingParameter", "InstanceTypes and TargetCapacity are required")
    rows: list[dict[str, Any]] = []
    for region in ec2._parse_member_list(request, "RegionName") or [get_region()]:
        scores = _scores(instances, region, types)
        if value(request, "SingleAvailabilityZone") == "true":
            for zone in catalog.zones(region):
                if zone["ZoneName"] in scores:
                    row = {"Region": region, "AvailabilityZoneId": zone["ZoneId"]}
                    rows.append({**row, "Score": scores[zone["ZoneName"]]})
        elif scores:
            rows.append({"Region": region, "Score": max(scores.values())})
    rows.sort(key=lambda row: -row["Score"])
    return page("GetSpotPlacementScores", "SpotPlacementScores", rows[:MOST_SCORES], request)


def _scores(instances: Instances, region: str, types: list[str]) -> dict[str, int]:
    """Score by the name of each zone that offers all of the types, without Local Zones."""
    offered = catalog.offerings(region, instances.world.offerings)
    ordinary = [z["ZoneName"] for z in catalog.zones(region) if z["ZoneType"] != "local-zone"]
    made_up = {zone: 1 + zlib.crc32(zone.encode()) % 3 for zone in ordinary}
    return {
        zone: instances.world.placement_scores.get(zone, made_up[zone])
        for zone in ordinary
        if all((kind, zone) in offered for kind in types)
    }


def _is_listed(instances: Instances, request: SpotRequest) -> bool:
    """Whether AWS still lists a request: for four hours after it and its machine have ended."""
    record = ec2._instances.get(request.instance_id)
    ended = record is None or record["State"]["Name"] == "terminated"
    age = instances.world.clock() - request.updated
    return request.state in LIVING or not ended or age < KEPT_SECONDS
