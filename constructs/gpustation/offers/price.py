"""The on-demand price of an instance type: from AWS's price list, else from the catalog."""

from __future__ import annotations

from botocore.config import Config

from gpustation.aws.price_list import Price
from gpustation.catalog import prices
from gpustation.catalog.gpu_types import gpu_types

CATALOG = "catalog"
CATALOG_REGION = "us-east-1"
OTHERS_DATE = "2026-11"
"""Date of the catalog's prices of disks and addresses (``catalog/prices.py``)."""
BRIEF = Config(
    retries={"mode": "standard", "total_max_attempts": 1}, connect_timeout=2, read_timeout=4
)
"""For calls whose answer a person waits for, and that the command can do without."""
BILL_DECIDES = "the bill decides"


def from_catalog(instance_type: str) -> Price:
    """The catalog's price, which is that of us-east-1."""
    gpu_type = gpu_types().get(instance_type)
    usd = gpu_type.usd_per_hour if gpu_type else None
    return Price(usd, CATALOG_REGION, prices.CATALOG_DATE, CATALOG)


def disk_from_catalog() -> Price:
    """The catalog's price of a gp3 volume per GiB-month, which is that of us-east-1."""
    return Price(prices.VOLUME_PER_GIB["gp3"], CATALOG_REGION, OTHERS_DATE, CATALOG)


def address_from_catalog() -> Price:
    """The catalog's price of a public IPv4 address per hour."""
    return Price(prices.ADDRESS_PER_HOUR, CATALOG_REGION, OTHERS_DATE, CATALOG)
