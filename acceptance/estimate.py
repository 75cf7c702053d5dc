"""What a run will do and cost: its parts, what its quotas leave out, expected and greatest sum."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone

from acceptance.meter import DESTROY_HOURS, Rates
from acceptance.parts.table import ALWAYS, LARGER, PARTS, Part
from gpustation.catalog.gpu_types import GpuType, gpu_types
from gpustation.catalog.prices import ADDRESS_PER_HOUR, HOURS_PER_MONTH

DISK_GIB = 64
"""Default of the setting ``disk_gib``, with which runs deploy."""
IDLE_MINUTES = 30
"""``idle_stop_minutes`` of a run's machine: longer than a part that only waits for it."""
SLACK = 2.0
"""The machine's ``stop_at`` comes after so many times the planned minutes."""
LONGEST = timedelta(hours=20)
"""``stop_at`` is a time of day: later it would come a day early."""


@dataclass(frozen=True)
class Quota:
    """What the quotas allow, in vCPUs; ``None``: unknown, the deploys check it again.

    Attributes:
        free: On-demand, of the type's quota.
        spot_free: Spot.
    """

    free: int | None
    spot_free: int | None = None


@dataclass(frozen=True)
class Estimate:
    """A planned run.

    Attributes:
        parts: The parts, in their order.
        left_out: Why a chosen part cannot be shown, by its name.
        usd: Expected cost of each part, by its name.
    """

    parts: tuple[Part, ...]
    left_out: Mapping[str, str] = field(default_factory=dict)
    usd: Mapping[str, float] = field(default_factory=dict)

    @property
    def minutes(self) -> float:
        """Expected duration."""
        return sum(part.minutes for part in self.parts)

    @property
    def expected(self) -> float:
        """Expected cost in USD."""
        return sum(self.usd.values())


def chosen(
    *, quick: bool = False, only: Collection[str] = (), without: Collection[str] = ()
) -> tuple[Part, ...]:
    """The parts that options choose, with those that they need.

    Raises:
        ValueError: A name is not that of a part, or one that no option leaves out.
    """
    known = {part.name: part for part in PARTS}
    for name in (*only, *without):
        if name not in known:
            raise ValueError(f"{name!r} is not a part; there are {', '.join(known)}")
    for name in without:
        if name in ALWAYS:
            raise ValueError(f"{name!r} cannot be left out")
    wanted = set(only) or {part.name for part in PARTS if part.quick or not quick}
    wanted |= set(ALWAYS)
    for part in reversed(PARTS):
        if part.name in wanted:
            wanted |= set(part.needs)
    dropped = set(without)
    for part in PARTS:
        if dropped & set(part.needs):
            dropped.add(part.name)
    return tuple(part for part in PARTS if part.name in wanted - dropped)


def larger_type(gpu_type: GpuType, framework: str) -> GpuType | None:
    """The next type of the family with the same GPUs; ``None`` if there is none."""
    suited = [
        one
        for one in gpu_types().values()
        if one.family == gpu_type.family
        and (one.gpu, one.gpus) == (gpu_type.gpu, gpu_type.gpus)
        and one.vcpus > gpu_type.vcpus
        and not one.obstacle(framework)
    ]
    return min(suited, key=lambda one: one.vcpus, default=None)


def estimate(
    parts: Sequence[Part],
    gpu_type: GpuType,
    larger: GpuType | None,
    rates: Rates,
    quota: Quota,
    *,
    records: bool = False,
) -> Estimate:
    """The plan of a run.

    Args:
        parts: The chosen parts.
        gpu_type: Type of the machine.
        larger: Type that it is changed to.
        rates: Prices of the region.
        quota: What the quotas allow.
        records: Whether machines are records, which answer nothing.

    Raises:
        LookupError: The price of a type is not known.
    """
    left_out: dict[str, str] = {}
    for part in parts:
        reason = _obstacle(part, gpu_type, larger, quota, records=records)
        without = [name for name in part.needs if name in left_out]
        if without and not reason:
            reason = f"it needs {without[0]}"
        if reason:
            left_out[part.name] = reason
    shown = tuple(part for part in parts if part.name not in left_out)
    usd, disks = {}, 0
    for part in shown:
        # Until its deletion a stack has its disk; two in a new generation for a short time
        disks = max(disks, int(part.name == "deploy"))
        usd[part.name] = disks * DISK_GIB * rates.disk_month / HOURS_PER_MONTH * part.minutes / 60
        for whose, minutes in part.machine:
            billed = larger if whose == LARGER and larger else gpu_type
            usd[part.name] += (rates.machine(billed.name) + ADDRESS_PER_HOUR) * minutes / 60
    return Estimate(shown, left_out, usd)


def _obstacle(
    part: Part, gpu_type: GpuType, larger: GpuType | None, quota: Quota, *, records: bool
) -> str:
    if records and part.answers:
        return "the machine is a record of the embedded AWS, and does not answer"
    if part.name == "spot":
        if not gpu_type.spot_quota_code:
            return f"no spot quota of a {gpu_type.name} is known"
        return _missing(gpu_type, quota.spot_free, "spot ")
    if part.name == "type-change":
        if larger is None:
            return f"the catalog has no larger type than {gpu_type.name} with the same GPUs"
        return _missing(larger, quota.free)
    return _missing(gpu_type, quota.free) if part.machine and part.name != "destroy" else ""


def _missing(gpu_type: GpuType, free: int | None, market: str = "") -> str:
    if free is None or free >= gpu_type.vcpus:
        return ""
    return f"quota: a {gpu_type.name} needs {gpu_type.vcpus} {market}vCPUs, {free} are free"


def net(
    planned: Estimate, maximum: float, now: Callable[[], float]
) -> tuple[dict[str, str], datetime]:
    """Settings that stop the machine without this program, and when the last of them does.

    Args:
        planned: The run.
        maximum: Its limit in USD.
        now: The time in seconds since 1970.
    """
    ahead = min(timedelta(minutes=planned.minutes * SLACK + 15), LONGEST)
    stops = datetime.fromtimestamp(now(), timezone.utc) + ahead
    return {
        "idle_stop_minutes": str(IDLE_MINUTES),
        "stop_at": f"{stops:%H:%M} UTC",
        "monthly_budget_usd": str(max(1, -int(-maximum // 1))),
    }, stops


def least_limit(
    planned: Estimate, gpu_type: GpuType, larger: GpuType | None, rates: Rates
) -> float:
    """USD below which a run would stop itself: the expected sum and what the deletion needs."""
    dearest = max(rates.machine(one.name) for one in (gpu_type, larger) if one is not None)
    return planned.expected + (dearest + ADDRESS_PER_HOUR) * DESTROY_HOURS
