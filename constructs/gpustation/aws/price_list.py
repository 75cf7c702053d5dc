"""AWS's price list: on-demand prices of Linux instances and gp3 volumes.

Its API has endpoints in three regions only and returns prices of all regions.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from gpustation.aws.calls import NOT_UNDERSTOOD

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mypy_boto3_pricing import PricingClient

API_REGION = {"aws": "us-east-1", "aws-cn": "cn-northwest-1"}
"""Region of the price list's API by partition (botocore's endpoints); others have none."""
PRICE_LIST = "AWS price list"
_FILTERS = {
    "operatingSystem": "Linux",
    "tenancy": "Shared",
    "preInstalledSw": "NA",
    "capacitystatus": "Used",
    "licenseModel": "No License required",
}
"""Attributes of the product that is a plain on-demand Linux instance."""


@dataclass(frozen=True)
class Price:
    """On-demand price of a Linux instance per hour, or of another thing per the unit given there.

    Attributes:
        usd_per_hour: In USD, without tax and discounts; ``None`` if it is unknown.
        region: Region that it is valid for.
        as_of: Date of the source, ``YYYY-MM-DD``.
        source: ``PRICE_LIST``, or what else it was taken from.
    """

    usd_per_hour: float | None
    region: str
    as_of: str
    source: str

    @property
    def origin(self) -> str:
        """Source and date, for messages."""
        return f"{self.source} of {self.as_of}, {self.region}"


def from_price_list(pricing: PricingClient, region: str, instance_type: str) -> Price | None:
    """The price in AWS's price list; ``None`` if it has none, or several for this product.

    Raises:
        ClientError: AWS refused.
        BotoCoreError: The API was not reached.
    """
    filters = _FILTERS | {"regionCode": region, "instanceType": instance_type}
    return _only(_products(pricing, filters), "Hrs").get(region)


def disk_from_price_list(pricing: PricingClient, region: str) -> Price | None:
    """The price of a gp3 volume per GiB-month; errors as in ``from_price_list``."""
    filters = {"regionCode": region, "volumeApiName": "gp3"}
    return _only(_products(pricing, filters), "GB-Mo").get(region)


def of_all_regions(pricing: PricingClient, instance_type: str) -> dict[str, Price]:
    """The prices of a type by region; errors as in ``from_price_list``."""
    return _only(_products(pricing, _FILTERS | {"instanceType": instance_type}), "Hrs")


def _products(pricing: PricingClient, filters: Mapping[str, str]) -> list[dict[str, Any]]:
    pages = pricing.get_paginator("get_products").paginate(
        ServiceCode="AmazonEC2",
        Filters=[
            {"Type": "TERM_MATCH", "Field": field, "Value": value}
            for field, value in filters.items()
        ],
    )
    return [json.loads(product) for page in pages for product in page["PriceList"]]


def _only(products: list[dict[str, Any]], unit: str) -> dict[str, Price]:
    """The price by region, where it is the only one there."""
    found: dict[str, set[tuple[float, str]]] = {}
    try:
        for product in products:
            region = product["product"]["attributes"]["regionCode"]
            date = str(product["publicationDate"])[:10]
            found.setdefault(region, set()).update((usd, date) for usd in _prices(product, unit))
    except NOT_UNDERSTOOD:
        return {}
    return {
        region: Price(usd, region, max(date for _, date in rows), PRICE_LIST)
        for region, rows in found.items()
        if len({usd for usd, _ in rows}) == 1
        for usd in [next(iter(rows))[0]]
    }


def _prices(product: dict[str, Any], unit: str) -> set[float]:
    """On-demand prices of a product per this unit in USD, without reservations that are prepaid."""
    return {
        float(dimension["pricePerUnit"]["USD"])
        for term in product["terms"].get("OnDemand", {}).values()
        for dimension in term["priceDimensions"].values()
        if dimension["unit"] == unit and float(dimension["pricePerUnit"]["USD"]) > 0
    }
