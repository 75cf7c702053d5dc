"""Prices: AWS's price list, and the history of spot prices.

Prices of machines in us-east-1 are those of the library's catalog. All others are made up from
these, so that regions and zones differ: nothing here says what AWS bills.
"""

from __future__ import annotations

import csv
import datetime
import json
import zlib
from collections.abc import Iterator, Mapping
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from localaws.account.ec2 import catalog
from localaws.account.errors import ApiError

HOME = "us-east-1"
PUBLISHED = "2026-11-20T00:00:00Z"
"""Date of the list."""
VOLUME_PER_GIB = {"gp3": 0.08, "gp2": 0.10}
"""USD per GiB-month in us-east-1 (EBS pricing page)."""
SPOT_SHARE = 0.35
"""Spot price as a share of the on-demand price; made up."""
PAGE = 100
"""Products on a page, as GetProducts has at most."""


def on_demand(instance_type: str, region: str) -> float | None:
    """USD per hour; None if the catalog has no price."""
    usd = _catalog().get(instance_type)
    return None if usd is None else round(usd * _factor(region), 5)


def spot(instance_type: str, zone: str, region: str) -> float | None:
    """USD per hour; a little different in each zone."""
    usd = on_demand(instance_type, region)
    if usd is None:
        return None
    return round(usd * (SPOT_SHARE + (zlib.crc32(zone.encode()) % 10) / 100), 6)


def get_products(request: Mapping[str, Any]) -> dict[str, Any]:
    """GetProducts: on-demand Linux machines, and volumes.

    Filters compare exactly, as TERM_MATCH does.
    """
    if request.get("ServiceCode") != "AmazonEC2":
        raise ApiError("NotFoundException", f"no service {request.get('ServiceCode')}")
    filters = {row["Field"]: row["Value"] for row in request.get("Filters", [])}
    found = [
        product
        for product in _products(filters)
        if all(product["product"]["attributes"].get(k) == v for k, v in filters.items())
    ]
    start = int(request.get("NextToken") or 0)
    end = start + min(int(request.get("MaxResults") or PAGE), PAGE)
    answer: dict[str, Any] = {"FormatVersion": "aws_v1"}
    answer["PriceList"] = [json.dumps(product) for product in found[start:end]]
    return answer | ({"NextToken": str(end)} if end < len(found) else {})


def _products(filters: Mapping[str, str]) -> Iterator[dict[str, Any]]:
    """Products of the regions and types that the filters name, else of all."""
    regions = [filters["regionCode"]] if "regionCode" in filters else catalog.regions()
    for region in regions:
        for kind, usd in VOLUME_PER_GIB.items():
            attributes = {"volumeApiName": kind, "regionCode": region, "operation": ""}
            yield _product("Storage", attributes, round(usd * _factor(region), 4), "GB-Mo")
        for name in [filters["instanceType"]] if "instanceType" in filters else _catalog():
            price = on_demand(name, region)
            if price is not None and name in catalog.types_of(region):
                yield _product("Compute Instance", _machine(name, region), price, "Hrs")


def _machine(name: str, region: str) -> dict[str, str]:
    return {
        "instanceType": name,
        "regionCode": region,
        "operatingSystem": "Linux",
        "tenancy": "Shared",
        "preInstalledSw": "NA",
        "capacitystatus": "Used",
        "licenseModel": "No License required",
        "operation": "RunInstances",
    }


def _product(family: str, attributes: dict[str, str], usd: float, unit: str) -> dict[str, Any]:
    sku = f"{zlib.crc32(json.dumps(attributes).encode()):08X}"
    dimension = {"unit": unit, "pricePerUnit": {"USD": f"{usd:.10f}"}, "beginRange": "0"}
    term = {"sku": sku, "priceDimensions": {f"{sku}.1": dimension}, "termAttributes": {}}
    return {
        "product": {"productFamily": family, "sku": sku, "attributes": attributes},
        "serviceCode": "AmazonEC2",
        "terms": {"OnDemand": {f"{sku}.JRTCKXETXF": term}},
        "version": "20261120000000",
        "publicationDate": PUBLISHED,
    }


def spot_history(
    types: list[str], region: str, offered: list[tuple[str, str]]
) -> list[dict[str, Any]]:
    """Rows of DescribeSpotPriceHistory: the present price in each zone."""
    now = datetime.datetime.now(datetime.timezone.utc)
    return [
        {
            "AvailabilityZone": zone,
            "InstanceType": name,
            "ProductDescription": "Linux/UNIX",
            "SpotPrice": f"{price:.6f}",
            "Timestamp": now.strftime("%Y-%m-%dT%H:%M:%S.000Z"),
        }
        for name, zone in offered
        if (not types or name in types) and (price := spot(name, zone, region)) is not None
    ]


def _factor(region: str) -> float:
    """How much dearer a region is than us-east-1: 0 to 29 %; made up."""
    return 1.0 if region == HOME else 1 + (zlib.crc32(region.encode()) % 30) / 100


@cache
def _catalog() -> dict[str, float]:
    """Prices of the library's catalog, read as a file."""
    spec = find_spec("gpustation")
    assert spec is not None and spec.origin is not None
    text = (Path(spec.origin).parent / "catalog/gpu_types.csv").read_text(encoding="utf-8")
    rows = csv.DictReader(line for line in text.splitlines() if not line.startswith("#"))
    return {row["type"]: float(row["usd_h_us_east_1"]) for row in rows if row["usd_h_us_east_1"]}
