"""What a deploy would cost, as text to decide by."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from gpustation.catalog import prices
from gpustation.offers.price import BILL_DECIDES, Price, from_catalog

if TYPE_CHECKING:
    from gpustation.plan.assembly import SynthesizedStack

_INSTANCE = "AWS::EC2::Instance"
_HOURS_PER_DAY = 24


@dataclass(frozen=True)
class Offer:
    """The machine of a deploy, with its cost in USD.

    Attributes:
        instance_type: EC2 type of the machine.
        disk_gib: Size of its root disk in GiB.
        price: Price of the machine per hour.
    """

    instance_type: str
    disk_gib: int
    price: Price

    @property
    def usd_per_hour(self) -> float | None:
        """Machine and address while it runs; ``None`` if the price is unknown."""
        if self.price.usd_per_hour is None:
            return None
        return self.price.usd_per_hour + prices.ADDRESS_PER_HOUR

    @property
    def usd_per_month_stopped(self) -> float:
        """The disk, which is billed whether the machine runs or not."""
        return prices.volume("gp3", self.disk_gib)[0]

    def lines(self) -> list[str]:
        """The cost as text."""
        hourly = self.usd_per_hour
        if hourly is None:
            running = f"the price of a {self.instance_type} is not known"
        else:
            running = f"{hourly:.3f} USD per hour, {hourly * _HOURS_PER_DAY:.2f} USD per day"
        return [
            f"running  {running} ({self.instance_type} with a public address)",
            f"stopped  {self.usd_per_month_stopped:.2f} USD per month ({self.disk_gib} GiB disk)",
            f"prices   {self.price.origin}, without tax and discounts; {BILL_DECIDES}",
        ]

    def document(self) -> dict[str, Any]:
        """The cost as JSON data."""
        return {
            "instance_type": self.instance_type,
            "disk_gib": self.disk_gib,
            "usd_per_hour": self.usd_per_hour,
            "usd_per_month_stopped": round(self.usd_per_month_stopped, 2),
            "source": self.price.source,
            "as_of": self.price.as_of,
            "region": self.price.region,
        }


def offer_of(stack: SynthesizedStack) -> Offer:
    """The offer for the one machine of a synthesized stack.

    Raises:
        ValueError: The template does not have exactly one machine.
    """
    resources = stack.template.get("Resources", {}).values()
    machines = [row["Properties"] for row in resources if row["Type"] == _INSTANCE]
    if len(machines) != 1:
        raise ValueError(f"{stack.name} must have one machine, got {len(machines)}")
    disks = machines[0].get("BlockDeviceMappings", [])
    gib = sum(int(disk.get("Ebs", {}).get("VolumeSize", 0)) for disk in disks)
    kind = str(machines[0]["InstanceType"])
    return Offer(kind, gib, from_catalog(kind))
