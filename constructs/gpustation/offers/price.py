"""The on-demand price of an instance type: from AWS's price list, else from the catalog.

The price list's API has endpoints in three regions only and returns prices of all regions.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from gpustation.aws.calls import NOT_UNDERSTOOD
from gpustation.catalog.gpu_types import gpu_types

if TYPE_CHECKING:
    from mypy_boto3_pricing import PricingClient

API_REGION = {"aws": "us-east-1", "aws-cn": "cn-northwest-1"}
"""Region of the price list's API by partition (botocore's endpoints); others have none."""
PRICE_LIST = "AWS price list"
CATALOG = "catalog"
CATALOG_REGION = "us-east-1"
CATALOG_DATE = "2026-07-20"
BILL_DECIDES = "the bill decides"
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
    """On-demand price of a Linux instance.

    Attributes:
        usd_per_hour: In USD, without tax and discounts; ``None`` if it is unknown.
        region: Region that it is valid for.
        as_of: Date of the source, ``YYYY-MM-DD``.
        source: ``PRICE_LIST`` or ``CATALOG``.
    """

    usd_per_hour: float | None
    region: str
    as_of: str
    source: str

    @property
    def origin(self) -> str:
        """Source and date, for messages."""
        return f"{self.source} of {self.as_of}, {self.region}"


def from_catalog(instance_type: str) -> Price:
    """The catalog's price, which is that of us-east-1."""
    gpu_type = gpu_types().get(instance_type)
    usd = gpu_type.usd_per_hour if gpu_type else None
    return Price(usd, CATALOG_REGION, CATALOG_DATE, CATALOG)


def from_price_list(pricing: PricingClient, region: str, instance_type: str) -> Price | None:
    """The price in AWS's price list; ``None`` if it has none, or several for this product.

    Raises:
        ClientError: AWS refused.
        BotoCoreError: The API was not reached.
    """
    filters = _FILTERS | {"regionCode": region, "instanceType": instance_type}
    response = pricing.get_products(
        ServiceCode="AmazonEC2",
        Filters=[
            {"Type": "TERM_MATCH", "Field": field, "Value": value}
            for field, value in filters.items()
        ],
    )
    try:
        products = [json.loads(product) for product in response["PriceList"]]
        prices = {found for product in products for found in _prices(product)}
        dates = {str(product["publicationDate"])[:10] for product in products}
    except NOT_UNDERSTOOD:
        return None
    if len(prices) != 1:
        return None
    return Price(prices.pop(), region, max(dates), PRICE_LIST)


def _prices(product: dict[str, Any]) -> set[float]:
    """Hourly on-demand prices of a product in USD, without reservations that are prepaid."""
    return {
        float(dimension["pricePerUnit"]["USD"])
        for term in product["terms"].get("OnDemand", {}).values()
        for dimension in term["priceDimensions"].values()
        if dimension["unit"] == "Hrs" and float(dimension["pricePerUnit"]["USD"]) > 0
    }
