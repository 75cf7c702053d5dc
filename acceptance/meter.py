"""What a run costs, counted by the price of what runs.

EC2's bill is hours late, so the run observes what it has and adds it up. Between two observations
it counts the dearer of the two, so that the sum is an upper bound as long as nothing comes and goes
between them.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from gpustation.catalog.prices import ADDRESS_PER_HOUR, HOURS_PER_MONTH, SNAPSHOT_PER_GIB

MACHINE, DISK, ADDRESS, IMAGE = "machines", "disks", "addresses", "images"
DESTROY_HOURS = 0.25
"""How long a deletion may take while the machine still runs: CloudFormation terminates it within
two minutes in the deploys of the documentation, and an image build that runs must be cancelled."""


@dataclass(frozen=True)
class Holdings:
    """What of a run is billed at a moment.

    Attributes:
        machines: EC2 type of each machine that is billed, by its id.
        addresses: Number of public IPv4 addresses.
        disk_gib: Size of its gp3 volumes.
        image_gib: Size of its images' snapshots, as if they were full.
    """

    machines: Mapping[str, str] = field(default_factory=dict)
    addresses: int = 0
    disk_gib: int = 0
    image_gib: int = 0


@dataclass(frozen=True)
class Rates:
    """Prices of a region in USD.

    Attributes:
        machine: Of an hour of a type. Raises ``LookupError`` where no price is known.
        disk_month: Of a GiB-month of gp3.
    """

    machine: Callable[[str], float]
    disk_month: float

    def of(self, holdings: Holdings) -> dict[str, float]:
        """What an hour of these costs, by kind."""
        return {
            MACHINE: sum(map(self.machine, holdings.machines.values())),
            ADDRESS: holdings.addresses * ADDRESS_PER_HOUR,
            DISK: holdings.disk_gib * self.disk_month / HOURS_PER_MONTH,
            IMAGE: holdings.image_gib * SNAPSHOT_PER_GIB["standard"] / HOURS_PER_MONTH,
        }


class Meter:
    """The sum of a run.

    Args:
        rates: The prices.
        clock: The time in seconds; hours are those of this clock.
        maximum: The most that the run may cost in USD.

    Attributes:
        by_kind: USD so far, by kind.
        hours: Hours of each machine type.
    """

    def __init__(self, rates: Rates, clock: Callable[[], float], maximum: float) -> None:
        self._rates, self._clock, self.maximum = rates, clock, maximum
        self._at, self._last = clock(), Holdings()
        self.by_kind: dict[str, float] = defaultdict(float)
        self.hours: dict[str, float] = defaultdict(float)

    @property
    def spent(self) -> float:
        """USD until the last observation."""
        return sum(self.by_kind.values())

    @property
    def reserve(self) -> float:
        """USD that the deletion of what runs may cost."""
        return sum(self._rates.of(self._last).values()) * DESTROY_HOURS

    @property
    def is_over(self) -> bool:
        """Whether what remains is needed for the deletion."""
        return self.spent + self.reserve >= self.maximum

    def observe(self, now_held: Holdings) -> None:
        """Count the time since the last observation."""
        now = self._clock()
        hours = max(now - self._at, 0.0) / 3600
        before, after = self._rates.of(self._last), self._rates.of(now_held)
        dearer = before if sum(before.values()) > sum(after.values()) else after
        machines = self._last if dearer is before else now_held
        for kind, usd in dearer.items():
            self.by_kind[kind] += usd * hours
        for instance_type in machines.machines.values():
            self.hours[instance_type] += hours
        self._at, self._last = now, now_held

    def carry_on(self) -> None:
        """Count the time since the last observation as if nothing had changed."""
        self.observe(self._last)
