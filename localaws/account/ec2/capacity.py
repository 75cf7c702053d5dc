"""Spot prices; upstream there are none."""

from __future__ import annotations

from ministack.core.responses import get_region
from ministack.services import ec2

from localaws.account import prices
from localaws.account.ec2 import catalog, wire
from localaws.account.ec2.instances import Instances
from localaws.account.ec2.request import Parameters, filtered, page


def spot_prices(instances: Instances, request: Parameters) -> wire.Response:
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
