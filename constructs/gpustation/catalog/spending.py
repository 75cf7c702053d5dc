"""What the machines of a workstation cost in a calendar month: arithmetic over intervals.

Nothing here reads a clock or calls AWS. All times are seconds since 1970, all amounts are USD at
list price. AWS bills by calendar months of UTC.
"""

from __future__ import annotations

import re
from calendar import timegm
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from time import gmtime

MIN_RUN_SECONDS = 60.0
"""EC2 bills a run of a Linux instance by the second, but at least a minute ("Amazon EC2 On-Demand
Pricing", per-second billing)."""

HOUR = 3600.0
ENDED_STATES = ("stopping", "stopped", "shutting-down", "terminated")
"""States of an instance for which its machine is not billed (EC2 user guide, "Instance lifecycle"):
``stopping`` is billed only for hibernation, which is never used here."""


@dataclass(frozen=True, order=True)
class Month:
    """A calendar month of UTC."""

    year: int
    number: int

    @classmethod
    def of(cls, moment: float) -> Month:
        """The month of a moment."""
        return cls(*gmtime(moment)[:2])

    @classmethod
    def parse(cls, text: str) -> Month:
        """The month of a text in the form ``2026-11``.

        Raises:
            ValueError: It has another form.
        """
        found = re.fullmatch(r"([0-9]{4})-(0[1-9]|1[0-2])", text)
        if not found:
            raise ValueError("must be a month in the form 2026-11")
        return cls(int(found[1]), int(found[2]))

    @property
    def begin(self) -> float:
        """Its first moment."""
        return float(timegm((self.year, self.number, 1, 0, 0, 0)))

    @property
    def end(self) -> float:
        """The first moment of the next month."""
        return self.after.begin

    @property
    def after(self) -> Month:
        """The next month."""
        return Month(self.year + self.number // 12, self.number % 12 + 1)

    def __str__(self) -> str:
        return f"{self.year:04}-{self.number:02}"


@dataclass(frozen=True)
class Run:
    """A time for which an instance ran, from a start to a stop.

    Attributes:
        machine: Id of the instance.
        started: When it was started.
        ended: When it was stopped; ``None`` while it runs.
        instance_type: Its type then.
        usd_per_hour: Price of the machine when it was started.
        address_per_hour: Price of its public address.
        assumed: ``ended`` is an upper bound, because nobody saw the stop.
    """

    machine: str
    started: float
    ended: float | None
    instance_type: str
    usd_per_hour: float
    address_per_hour: float
    assumed: bool = False

    @property
    def key(self) -> tuple[str, int]:
        """What identifies it: an instance has one start at a time."""
        return self.machine, int(self.started)


@dataclass(frozen=True)
class Disk:
    """A root disk, which is billed from its creation to its deletion.

    Attributes:
        machine: Id of its instance.
        made: When it was created.
        gone: When it was deleted; ``None`` while it exists.
        usd_per_month: Price of a whole month.
        assumed: ``gone`` is an upper bound.
    """

    machine: str
    made: float
    gone: float | None
    usd_per_month: float
    assumed: bool = False


@dataclass(frozen=True)
class Ledger:
    """Everything that is known of a workstation's machines."""

    runs: Mapping[tuple[str, int], Run] = field(default_factory=dict)
    disks: Mapping[str, Disk] = field(default_factory=dict)

    def updated(self, changes: Iterable[Run | Disk]) -> Ledger:
        """The ledger with changed or new entries."""
        runs, disks = dict(self.runs), dict(self.disks)
        for change in changes:
            if isinstance(change, Run):
                runs[change.key] = change
            else:
                disks[change.machine] = change
        return Ledger(runs, disks)


@dataclass(frozen=True)
class Spent:
    """Costs in USD, by part."""

    machine: float = 0.0
    address: float = 0.0
    disk: float = 0.0

    @property
    def total(self) -> float:
        """Their sum."""
        return self.machine + self.address + self.disk


def spent(ledger: Ledger, month: Month, now: float) -> Spent:
    """Costs in a month until a moment.

    Args:
        ledger: The intervals.
        month: The month.
        now: Until when; later times count as not spent.
    """
    end = min(month.end, now)
    machine = address = disk = 0.0
    for run in ledger.runs.values():
        hours = _overlap(run.started, _billed_end(run), month.begin, end) / HOUR
        machine += hours * run.usd_per_hour
        address += hours * run.address_per_hour
    for one in ledger.disks.values():
        share = _overlap(one.made, one.gone, month.begin, end) / (month.end - month.begin)
        disk += share * one.usd_per_month
    return Spent(machine, address, disk)


def usd_per_hour(ledger: Ledger, month: Month) -> float:
    """What an hour costs now: machines that run, their addresses, and disks."""
    runs = [run for run in ledger.runs.values() if run.ended is None]
    disks = [disk for disk in ledger.disks.values() if disk.gone is None]
    hours = (month.end - month.begin) / HOUR
    return sum(run.usd_per_hour + run.address_per_hour for run in runs) + (
        sum(disk.usd_per_month for disk in disks) / hours
    )


def moment_of(ledger: Ledger, amount: float, now: float) -> float | None:
    """When the costs of this month reach an amount, if everything goes on as now.

    Returns:
        The moment; ``now`` if it is reached already; ``None`` if not in this month.
    """
    month = Month.of(now)
    missing = amount - spent(ledger, month, now).total
    if missing <= 0:
        return now
    rate = usd_per_hour(ledger, month)
    if rate <= 0:
        return None
    moment = now + missing / rate * HOUR
    return moment if moment < month.end else None


@dataclass(frozen=True)
class Seen:
    """An instance as EC2 describes it.

    Attributes:
        machine: Its id.
        state: Its state.
        instance_type: Its type.
        launched: When it was last started.
        made: When its root disk was attached.
        changed: When it was last stopped or terminated; ``None`` if EC2 does not say so.
    """

    machine: str
    state: str
    instance_type: str
    launched: float
    made: float
    changed: float | None = None


@dataclass(frozen=True)
class Fact:
    """A state change that EC2 told, perhaps late and more than once."""

    machine: str
    state: str
    at: float


@dataclass(frozen=True)
class Rates:
    """Prices in force in USD: of a type and an address per hour, of a whole disk per month."""

    machines: Mapping[str, float]
    address_per_hour: float
    disk_per_month: float


class NoPriceError(Exception):
    """The price of an instance type is not known; the message is its name."""


def reconcile(
    ledger: Ledger, seen: Iterable[Seen], fact: Fact | None, rates: Rates, now: float
) -> list[Run | Disk]:
    """The new and changed entries of the ledger, from what EC2 says now and from what it told.

    What EC2 says now is enough: an event only makes it sooner known and more exact. So events may
    come twice, late, in another order or never. Where nobody saw a stop, the run ends at the latest
    possible moment.

    Args:
        ledger: What was known before.
        seen: All instances of the workstation that EC2 knows.
        fact: The event that is the reason to look. Default: none.
        rates: Prices of runs that begin.
        now: When EC2 said it.

    Raises:
        NoPriceError: A machine runs whose price is not known.
    """
    runs, disks = dict(ledger.runs), dict(ledger.disks)
    work = Ledger(runs, disks)
    present = {one.machine: one for one in seen}

    def apply(*changes: Run | Disk) -> None:
        for change in changes:
            if isinstance(change, Run):
                runs[change.key] = change
            else:
                disks[change.machine] = change

    for one in present.values():
        apply(*_of_seen(work, one, rates, now))
    for run in [*runs.values()]:
        if run.ended is None and run.machine not in present:
            apply(replace(run, ended=now, assumed=True))
    for disk in [*disks.values()]:
        if disk.gone is None and disk.machine not in present:
            apply(replace(disk, gone=now, assumed=True))
    if fact is not None:
        apply(*_of_fact(work, fact, present.get(fact.machine), rates))
    changed_runs = [run for key, run in runs.items() if ledger.runs.get(key) != run]
    changed_disks = [disk for key, disk in disks.items() if ledger.disks.get(key) != disk]
    return [*changed_runs, *changed_disks]


def _of_seen(ledger: Ledger, one: Seen, rates: Rates, now: float) -> list[Run | Disk]:
    """What an instance's description says: its last start, and the stop after it."""
    changes: list[Run | Disk] = []
    ended = one.state in ENDED_STATES
    stopped = one.changed if one.changed is not None and one.changed >= one.launched else None
    for run in _runs_of(ledger, one.machine):
        if run.ended is None and run.key[1] < int(one.launched):
            changes.append(replace(run, ended=one.launched, assumed=True))
    last = ledger.runs.get((one.machine, int(one.launched)))
    if last is None:
        last = _new_run(one, one.launched, rates)
        changes.append(last)
    if ended and last.ended is None:
        end = now if stopped is None else stopped
        changes = [change for change in changes if change is not last]
        changes.append(replace(last, ended=end, assumed=stopped is None))
    disk = ledger.disks.get(one.machine)
    if disk is None:
        disk = Disk(one.machine, one.made, None, rates.disk_per_month)
        changes.append(disk)
    if one.state == "terminated" and disk.gone is None:
        end = now if stopped is None else stopped
        changes = [change for change in changes if change is not disk]
        changes.append(replace(disk, gone=end, assumed=stopped is None))
    return changes


def _of_fact(ledger: Ledger, fact: Fact, one: Seen | None, rates: Rates) -> list[Run | Disk]:
    """What an event adds: the true end of a run, or a run that was over before anybody looked."""
    runs = _runs_of(ledger, fact.machine)
    before = [run for run in runs if run.started <= fact.at]
    if fact.state in ENDED_STATES:
        changes: list[Run | Disk] = []
        # A stop in the second of a start is the stop before it
        begun = [run for run in before if run.started < fact.at]
        if begun and _may_end(begun[-1], fact.at):
            changes.append(replace(begun[-1], ended=fact.at, assumed=False))
        disk = ledger.disks.get(fact.machine)
        if fact.state == "terminated" and disk and _may_be_gone(disk, fact.at):
            changes.append(replace(disk, gone=fact.at, assumed=False))
        return changes
    later = [run for run in runs if run.started > fact.at]
    if fact.state != "running" or one is None or not later:
        return []
    if before and (before[-1].ended is None or before[-1].ended >= fact.at):
        return []
    return [replace(_new_run(one, fact.at, rates), ended=later[0].started, assumed=True)]


def _may_end(run: Run, at: float) -> bool:
    return run.ended is None or (run.assumed and run.ended > at)


def _may_be_gone(disk: Disk, at: float) -> bool:
    return disk.gone is None or (disk.assumed and disk.gone > at)


def _new_run(one: Seen, started: float, rates: Rates) -> Run:
    if one.instance_type not in rates.machines:
        raise NoPriceError(one.instance_type)
    price = rates.machines[one.instance_type]
    return Run(one.machine, started, None, one.instance_type, price, rates.address_per_hour)


def _runs_of(ledger: Ledger, machine: str) -> list[Run]:
    runs = [run for run in ledger.runs.values() if run.machine == machine]
    return sorted(runs, key=lambda run: run.started)


def _billed_end(run: Run) -> float | None:
    return None if run.ended is None else max(run.ended, run.started + MIN_RUN_SECONDS)


def _overlap(start: float, end: float | None, low: float, high: float) -> float:
    """Seconds of an interval between two moments; without an end it goes on."""
    return max(0.0, min(high if end is None else end, high) - max(start, low))
