"""Prices in USD: list prices of us-east-1, on-demand, without free tier or discounts.

Other regions differ by tens of percent. Prices of machines are in the GPU catalog (2026-07-20).
The prices here are those of AWS's pricing pages (EBS, VPC, CloudWatch, S3, Systems Manager) as
repeated by public tables of 2026; they have not been compared with a bill.
"""

from __future__ import annotations

from gpustation.catalog.gpu_types import gpu_types

CATALOG_DATE = "2026-07-20"
"""Date of the GPU catalog's prices."""

CATALOG_ORIGIN = f"us-east-1 list price of {CATALOG_DATE}"
"""Source of the GPU catalog's prices, for messages."""

PRICES_AS_OF = "USD, us-east-1, machines as of 2026-07-20, all else as of 2026-11"

HOURS_PER_MONTH = 730
"""Hours per month on AWS's pricing pages."""

ADDRESS_PER_HOUR = 0.005
"""Public IPv4 address, in use or not, since February 2024 (VPC pricing page)."""

VOLUME_PER_GIB = {
    "gp3": 0.08,
    "gp2": 0.10,
    "io1": 0.125,
    "io2": 0.125,
    "st1": 0.045,
    "sc1": 0.015,
    "standard": 0.05,
}
"""Per GiB-month (EBS pricing page), without provisioned IOPS and throughput."""

SNAPSHOT_PER_GIB = {"standard": 0.05, "archive": 0.0125}
"""Per GiB-month of stored blocks, by storage tier (EBS pricing page)."""

LOGS_PER_GB = 0.03
"""Per GB-month of compressed log data (CloudWatch pricing page)."""

ADVANCED_PARAMETER = 0.05
"""Advanced parameter, per month; standard ones are free (Systems Manager pricing page)."""

TABLE_PER_GB = 0.45
"""Per GB-month of a DynamoDB table, 0.25, and of its point-in-time recovery, 0.20 (DynamoDB pricing
page). The account's first 25 GB of tables are free, which is not counted here."""

BUCKET_PER_GB = 0.023
"""Per GB-month in the standard storage class (S3 pricing page)."""

FREE = "free"
Cost = tuple[float, str]
"""USD per month, and a description of what they pay for."""

_GIB = 2**30
_GB = 10**9


def machine(instance_type: str, state: str, *, with_address: bool) -> Cost:
    """Cost of an instance without its volumes.

    Args:
        instance_type: EC2 type.
        state: State of the instance; only a pending or running instance is billed.
        with_address: It has a public IPv4 address that is not an Elastic IP.
    """
    if state not in ("pending", "running"):
        return 0.0, f"{state}: only its disks cost"
    address = ADDRESS_PER_HOUR if with_address else 0.0
    words = f"{instance_type} {state}" + (" with a public address" if with_address else "")
    gpu_type = gpu_types().get(instance_type)
    if gpu_type is None or gpu_type.usd_per_hour is None:
        unknown = f"{words}; the price of a {instance_type} is not known here, and not counted"
        return address * HOURS_PER_MONTH, unknown
    return (gpu_type.usd_per_hour + address) * HOURS_PER_MONTH, words


def address() -> Cost:
    """Cost of an Elastic IP address."""
    return ADDRESS_PER_HOUR * HOURS_PER_MONTH, "a public IPv4 address, in use or not"


def volume(kind: str, gib: int) -> Cost:
    """Cost of a volume, attached or not."""
    if kind not in VOLUME_PER_GIB:
        return 0.0, f"{gib} GiB of {kind}, whose price is not known here"
    return VOLUME_PER_GIB[kind] * gib, f"{gib} GiB of {kind}"


def snapshot(tier: str, gib: int, full_bytes: int) -> Cost:
    """Upper bound of the cost of a snapshot, by its full size if known, else by its volume's size.

    Args:
        tier: Storage tier.
        gib: Size of the volume in GiB.
        full_bytes: Full size of the snapshot in bytes; 0 if unknown.
    """
    price = SNAPSHOT_PER_GIB.get(tier, SNAPSHOT_PER_GIB["standard"])
    if full_bytes:
        full = full_bytes / _GIB
        return price * full, f"at most: {full:.1f} GiB, less blocks shared with other snapshots"
    return price * gib, f"at most: {gib} GiB, if the disk is full"


def log_group(stored_bytes: int) -> Cost:
    """Cost of a log group."""
    return LOGS_PER_GB * stored_bytes / _GB, f"{stored_bytes / 1e6:.1f} MB of log"


def parameter(tier: str) -> Cost:
    """Cost of an SSM parameter."""
    return (ADVANCED_PARAMETER, "advanced") if tier == "Advanced" else (0.0, FREE)


def table(stored_bytes: int) -> Cost:
    """Cost of a DynamoDB table with point-in-time recovery, without requests."""
    return TABLE_PER_GB * stored_bytes / _GB, f"{stored_bytes / 1e6:.1f} MB of a table"


def bucket() -> Cost:
    """Cost of a bucket; the size of its objects is unknown here."""
    return 0.0, f"{BUCKET_PER_GB} USD per GB-month of its contents, which are not counted"
