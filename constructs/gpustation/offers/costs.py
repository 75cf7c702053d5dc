"""What a workstation costs: running, stopped, and per month at some hours a day."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from botocore.exceptions import BotoCoreError, ClientError

from gpustation.aws.parallel import Calls, DeadlineError
from gpustation.aws.price_list import (
    API_REGION,
    Price,
    disk_from_price_list,
    from_price_list,
)
from gpustation.aws.session import explain
from gpustation.aws.spot import lowest_prices
from gpustation.catalog.prices import HOURS_PER_MONTH
from gpustation.offers.price import (
    BILL_DECIDES,
    BRIEF,
    address_from_catalog,
    disk_from_catalog,
    from_catalog,
)

if TYPE_CHECKING:
    import boto3
    from mypy_boto3_pricing import PricingClient

DEADLINE_SECONDS = 8.0
"""How long the price list may take; afterwards the catalog's prices are used."""
HOURS_PER_DAY = 24
HOURS_OF_A_MONTH = 8.0
"""Hours a day of the monthly cost before a deploy, as the default of ``gpustation price``."""


@dataclass(frozen=True)
class Costs:
    """Cost of a workstation in USD, without tax, discounts, traffic and images.

    Attributes:
        instance_type: Type of its machine.
        machine: Price of the machine per hour.
        disk: Price of its gp3 disk per GiB-month.
        address: Price of its public IPv4 address per hour.
        disk_gib: Size of the disk in GiB.
        hours: Hours a day that it runs.
        spot: Lowest present spot price of the machine in the region, in USD per hour; ``None`` if
            unknown, or not asked.
        why_catalog: Why prices of the catalog are used; empty if all that can be are live.
    """

    instance_type: str
    machine: Price
    disk: Price
    address: Price
    disk_gib: int
    hours: float
    spot: float | None = None
    why_catalog: str = ""

    @property
    def disk_month(self) -> float | None:
        """The disk per month, running or stopped."""
        return None if self.disk.usd_per_hour is None else self.disk.usd_per_hour * self.disk_gib

    @property
    def running_hour(self) -> float | None:
        """Machine, address and disk per hour."""
        parts = (self.machine.usd_per_hour, self.address.usd_per_hour, self.disk_month)
        machine, address, disk = parts
        if machine is None or address is None or disk is None:
            return None
        return machine + address + disk / HOURS_PER_MONTH

    @property
    def month(self) -> float | None:
        """A month at ``hours`` a day; the disk is billed at all times, the address while running.

        A month has 730 hours, as on AWS's pricing pages.
        """
        machine, address, disk = (
            self.machine.usd_per_hour,
            self.address.usd_per_hour,
            self.disk_month,
        )
        if machine is None or address is None or disk is None:
            return None
        return (machine + address) * HOURS_PER_MONTH * self.hours / HOURS_PER_DAY + disk


def read_costs(
    session: boto3.Session,
    region: str,
    instance_type: str,
    disk_gib: int,
    hours: float,
    *,
    with_spot: bool = False,
) -> Costs:
    """The costs, with the price list's prices if it answers in time, else with the catalog's.

    Args:
        session: Session of any region.
        region: Region of the workstation; empty if none is configured.
        instance_type: Type of the machine.
        disk_gib: Size of the disk in GiB.
        hours: Hours a day that the machine runs.
        with_spot: Whether to ask for the present spot price too. Default: false.
    """
    machine, disk = from_catalog(instance_type), disk_from_catalog()
    why, spot = "", None
    try:
        pricing = price_client(session, region)
    except (BotoCoreError, LookupError) as error:
        why = explain(error) if isinstance(error, BotoCoreError) else str(error.args[0])
    else:
        calls: dict[str, Callable[[], Any]] = {
            "machine": lambda: from_price_list(pricing, region, instance_type),
            "disk": lambda: disk_from_price_list(pricing, region),
        }
        if with_spot:
            ec2 = session.client("ec2", region_name=region, config=BRIEF)
            calls["spot"] = lambda: lowest_prices(ec2, [instance_type])
        results: dict[str, Any] = dict(Calls(calls, DEADLINE_SECONDS).results())
        prices = results.pop("spot", None)
        # Nothing depends on it: a price that is unknown is not shown
        spot = prices.get(instance_type) if isinstance(prices, dict) else None
        machine, disk = (
            result if isinstance(result, Price) else fallback
            for result, fallback in ((results["machine"], machine), (results["disk"], disk))
        )
        why = next((reason for r in results.values() if (reason := _why(r, region))), "")
    address = address_from_catalog()
    return Costs(instance_type, machine, disk, address, disk_gib, hours, spot, why)


def price_client(session: boto3.Session, region: str) -> PricingClient:
    """Client of the price list's API, which has endpoints in few regions.

    Raises:
        LookupError: There is none for this region; the message says why.
        BotoCoreError: The SDK's configuration is wrong.
    """
    if not region:
        raise LookupError("no region is set; --region or AWS_REGION sets it")
    partition = session.get_partition_for_region(region)
    if partition not in API_REGION:
        raise LookupError(f"AWS has no price list API in the partition {partition}")
    return session.client("pricing", region_name=API_REGION[partition], config=BRIEF)


def _why(result: Price | Exception | None, region: str) -> str:
    """Why the price list gave no price; empty if it did."""
    if isinstance(result, Price):
        return ""
    if result is None:
        return f"AWS's price list has no single price of it in {region}"
    if isinstance(result, (ClientError, BotoCoreError)):
        return explain(result)
    if isinstance(result, DeadlineError):
        return f"the price list gave {result}"
    return f"unexpected response of the price list ({type(result).__name__})"


def cost_lines(costs: Costs) -> list[str]:
    """Running, stopped and per month with the origin of the prices, for a question before a yes."""
    hour, disk, month = costs.running_hour, costs.disk_month, costs.month
    running = "unknown" if hour is None else f"{hour:.3f} USD per hour, {hour * 24:.2f} per day"
    stopped = "unknown" if disk is None else f"{disk:.2f} USD per month"
    monthly = "unknown" if month is None else f"{month:.2f} USD at {costs.hours:g} hours a day"
    lines = [
        f"  running  {running} ({costs.instance_type}, address, disk)",
        f"  stopped  {stopped} ({costs.disk_gib} GiB disk)",
        f"  month    {monthly}",
        f"  prices   {costs.machine.origin}, without tax and discounts; {BILL_DECIDES}",
    ]
    if costs.spot is not None:
        lines.insert(
            1,
            f"  spot     from {costs.spot:.3f} USD per hour for the machine now, and the on-demand "
            "price at most (setting spot)",
        )
    return [*lines, f"  NOT LIVE {costs.why_catalog}"] if costs.why_catalog else lines
