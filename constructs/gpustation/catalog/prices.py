"""What things cost, in USD at us-east-1's list prices: on-demand, no free tier, no discount.

Other regions differ by some tens of percent. The prices of machines are in the GPU catalog, of
2026-07-20. Those here are of AWS's pricing pages (EBS, VPC, CloudWatch, S3, Systems Manager) as
public tables of 2026 repeat them: nobody has compared them with a bill.
"""

from __future__ import annotations

from gpustation.catalog.gpu_types import gpu_types

PRICES_AS_OF = "USD, us-east-1, machines as of 2026-07-20, all else as of 2026-11"

HOURS_PER_MONTH = 730
"""AWS's own month of the pricing pages."""

ADDRESS_PER_HOUR = 0.005
"""Every public IPv4 address, in use or not, since February 2024 (VPC pricing page)."""

VOLUME_PER_GIB = {
    "gp3": 0.08,
    "gp2": 0.10,
    "io1": 0.125,
    "io2": 0.125,
    "st1": 0.045,
    "sc1": 0.015,
    "standard": 0.05,
}
"""Per GiB and month (EBS pricing page); what is paid for speed beside it is not counted."""

SNAPSHOT_PER_GIB = {"standard": 0.05, "archive": 0.0125}
"""Per GiB and month that a snapshot uses, by storage tier (EBS pricing page)."""

LOGS_PER_GB = 0.03
"""Per GB and month of compressed log (CloudWatch pricing page)."""

ADVANCED_PARAMETER = 0.05
"""Per month; standard parameters are free (Systems Manager pricing page)."""

BUCKET_PER_GB = 0.023
"""Per GB and month, standard class (S3 pricing page)."""

FREE = "free"
Cost = tuple[float, str]
"""A sum per month, and what it is made of."""

_GIB = 2**30
_GB = 10**9


def machine(instance_type: str, state: str, *, with_address: bool) -> Cost:
    """An instance, without its disks: they are things of their own.

    Args:
        instance_type: EC2 type.
        state: Its state; only a running one costs.
        with_address: It has a public address that is no Elastic IP.
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
    """An Elastic IP."""
    return ADDRESS_PER_HOUR * HOURS_PER_MONTH, "a public IPv4 address, in use or not"


def volume(kind: str, gib: int) -> Cost:
    """A volume, attached or not."""
    if kind not in VOLUME_PER_GIB:
        return 0.0, f"{gib} GiB of {kind}, whose price is not known here"
    return VOLUME_PER_GIB[kind] * gib, f"{gib} GiB of {kind}"


def snapshot(tier: str, gib: int, full_bytes: int) -> Cost:
    """A snapshot, by what it holds where EC2 tells that, else by its volume's size.

    Args:
        tier: Storage tier.
        gib: Size of the volume.
        full_bytes: Size of all its blocks; 0 where that is not told.
    """
    price = SNAPSHOT_PER_GIB.get(tier, SNAPSHOT_PER_GIB["standard"])
    if full_bytes:
        held = full_bytes / _GIB
        return price * held, f"at most: {held:.1f} GiB, less what it shares with other snapshots"
    return price * gib, f"at most: {gib} GiB, were the disk full"


def log_group(stored_bytes: int) -> Cost:
    """A log group."""
    return LOGS_PER_GB * stored_bytes / _GB, f"{stored_bytes / 1e6:.1f} MB of log"


def parameter(tier: str) -> Cost:
    """An SSM parameter."""
    return (ADVANCED_PARAMETER, "advanced") if tier == "Advanced" else (0.0, FREE)


def bucket() -> Cost:
    """A bucket, whose objects nobody counts here."""
    return 0.0, f"{BUCKET_PER_GB} USD per GB and month of what is in it, which is not counted"
