"""The arithmetic of the spend limit against an exact simulation, and its decisions."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Any

import pytest

from gpustation.catalog.spend_limit import judge, too_little_left
from gpustation.catalog.spending import (
    HOUR,
    Disk,
    Fact,
    Ledger,
    Month,
    NoPriceError,
    Rates,
    Run,
    Seen,
    moment_of,
    reconcile,
    spent,
    usd_per_hour,
)

RATES = Rates({"small": 1.0, "large": 3.3}, address_per_hour=0.005, disk_per_month=5.12)
MONTH = Month(2026, 11)
DAY = 24 * HOUR


@dataclass(frozen=True)
class Life:
    """One machine of a simulated month: its runs, each with its type."""

    machine: str
    runs: tuple[tuple[float, float, str], ...]

    @property
    def made(self) -> float:
        return self.runs[0][0]

    @property
    def gone(self) -> float:
        return self.runs[-1][1]

    def seen(self, now: float) -> Seen | None:
        """As EC2 describes it: an hour after its end it does not know it any more."""
        if not self.made <= now < self.gone + HOUR:
            return None
        begin, end, kind = [run for run in self.runs if run[0] <= now][-1]
        state = "running" if now < end else "terminated" if now >= self.gone else "stopped"
        changed = None if state == "running" else end
        return Seen(self.machine, state, kind, begin, self.made, changed)

    def facts(self) -> list[Fact]:
        found = []
        for begin, end, _ in self.runs:
            last = end == self.gone
            found += [
                Fact(self.machine, "running", begin + 5),
                Fact(self.machine, "shutting-down" if last else "stopping", end),
                Fact(self.machine, "terminated" if last else "stopped", end + 20),
            ]
        return found


def lives(chance: random.Random, month: Month) -> list[Life]:
    """Machines one after the other, over the month and some days before it."""
    now, made = month.begin - chance.uniform(0, 10) * DAY, []
    while now < month.end:
        kind, runs = chance.choice(["small", "large"]), []
        while True:
            length = chance.choice([chance.uniform(30, 600), chance.uniform(600, 30 * HOUR)])
            runs.append((now, now + length, kind))
            now += length
            if chance.random() < 0.05 or now >= month.end:
                break
            now += chance.choice([chance.uniform(30, 300), chance.uniform(600, DAY)])
            if chance.random() < 0.2:
                kind = chance.choice(["small", "large"])
        made.append(Life(f"i-{len(made)}", tuple(runs)))
        now += chance.uniform(60, HOUR)
    return made


def exact(month: Month, made: list[Life]) -> float:
    def within(begin: float, end: float) -> float:
        return max(0.0, min(end, month.end) - max(begin, month.begin))

    usd = 0.0
    for life in made:
        for begin, end, kind in life.runs:
            usd += within(begin, max(end, begin + 60)) / HOUR * (RATES.machines[kind] + 0.005)
        usd += within(life.made, life.gone) / (month.end - month.begin) * 5.12
    return usd


def metered(chance: random.Random, month: Month, made: list[Life]) -> float:
    """Counted with events of which a tenth is lost, a tenth late and a fifth comes twice."""
    calls: list[tuple[float, Fact | None]] = []
    for life in made:
        for fact in life.facts():
            if chance.random() < 0.1:
                continue
            late = chance.uniform(60, 2 * HOUR) if chance.random() < 0.1 else 0
            calls.append((fact.at + chance.uniform(0.5, 3) + late, fact))
            if chance.random() < 0.2:
                calls.append((calls[-1][0] + chance.uniform(0, HOUR), fact))
    hour = made[0].made
    while hour < month.end:
        calls.append((hour, None))
        hour += HOUR
    calls.append((month.end, None))
    ledger = Ledger()
    for now, about in sorted(calls, key=lambda call: call[0]):
        if now <= month.end:
            seen = [one for life in made if (one := life.seen(now))]
            ledger = ledger.updated(reconcile(ledger, seen, about, RATES, now))
    return spent(ledger, month, month.end).total


@pytest.mark.parametrize(
    "seeds",
    [range(10), pytest.param(range(10, 1000), marks=pytest.mark.tier("all"))],
    ids=["10", "1000"],
)
def test_random_months_differ_by_less_than_a_percent(seeds: range) -> None:
    """It takes a minute for all: each month is some thousand calls."""
    worst = 0.0
    for seed in seeds:
        chance = random.Random(seed)
        month = Month(2026, chance.randint(1, 12))
        made = lives(chance, month)
        truth = exact(month, made)
        worst = max(worst, abs(metered(chance, month, made) - truth) / truth)
    assert worst < 0.01


def seen(state: str = "running", **about: Any) -> Seen:
    begin = MONTH.begin
    return Seen(
        **{"machine": "i-1", "state": state, "instance_type": "small"}
        | {"launched": begin, "made": begin, "changed": None}
        | about
    )


def after(*calls: tuple[Seen | None, Fact | None, float]) -> Ledger:
    ledger = Ledger()
    for one, fact, now in calls:
        ledger = ledger.updated(reconcile(ledger, [one] if one else [], fact, RATES, now))
    return ledger


def only(ledger: Ledger) -> Run:
    (run,) = ledger.runs.values()
    return run


def test_a_stop_that_nobody_saw_ends_when_ec2_says() -> None:
    begin = MONTH.begin
    ledger = after((seen(), None, begin), (seen("stopped", changed=begin + 50), None, begin + HOUR))
    assert (only(ledger).ended, only(ledger).assumed) == (begin + 50, False)


def test_a_stop_whose_time_ec2_does_not_say_ends_at_the_latest_until_an_event_tells() -> None:
    begin = MONTH.begin
    stopped = (seen("stopped"), None, begin + HOUR)
    ledger = after((seen(), None, begin), stopped)
    assert (only(ledger).ended, only(ledger).assumed) == (begin + HOUR, True)
    told = (seen("stopped"), Fact("i-1", "stopping", begin + 50), begin + 2 * HOUR)
    ledger = after((seen(), None, begin), stopped, told)
    assert (only(ledger).ended, only(ledger).assumed) == (begin + 50, False)


def test_a_machine_that_ec2_does_not_know_any_more_ends_now() -> None:
    begin = MONTH.begin
    ledger = after((seen(), None, begin), (None, None, begin + HOUR))
    assert only(ledger).ended == ledger.disks["i-1"].gone == begin + HOUR


def test_a_start_that_nobody_saw_is_a_run() -> None:
    begin = MONTH.begin
    again = seen(launched=begin + 5 * HOUR)
    ledger = after((seen(), None, begin), (again, None, begin + 6 * HOUR))
    assert [run.started for run in ledger.runs.values()] == [begin, begin + 5 * HOUR]
    assert ledger.runs["i-1", int(begin)].ended == begin + 5 * HOUR


def test_a_stop_in_the_second_of_a_start_is_the_stop_before_it() -> None:
    begin = MONTH.begin
    again = seen(launched=begin + 50)
    fact = Fact("i-1", "stopping", begin + 50)
    ledger = after((seen(), None, begin), (again, fact, begin + 60))
    assert ledger.runs["i-1", int(begin) + 50].ended is None
    assert ledger.runs["i-1", int(begin)].ended == begin + 50


def test_what_an_event_told_is_kept_when_ec2_does_not_say_it() -> None:
    begin = MONTH.begin
    told = (seen("stopping"), Fact("i-1", "stopping", begin + 50), begin + 55)
    ledger = after((seen(), None, begin), told, (seen("stopped"), None, begin + HOUR))
    assert (only(ledger).ended, only(ledger).assumed) == (begin + 50, False)


def test_the_disk_of_a_terminated_machine_is_gone_with_it() -> None:
    begin = MONTH.begin
    gone = seen("terminated", changed=begin + 50)
    ledger = after((seen(), None, begin), (gone, None, begin + 60))
    assert (ledger.disks["i-1"].gone, ledger.disks["i-1"].assumed) == (begin + 50, False)
    assert (
        after((seen(), None, begin), (seen("stopped"), None, begin + 60)).disks["i-1"].gone is None
    )


def test_a_run_that_was_over_before_anybody_looked_is_counted_by_its_late_event() -> None:
    begin = MONTH.begin
    first = (seen("stopped", changed=begin + 50), None, begin + 60)
    later = seen(launched=begin + 500)
    ledger = after(first, (later, Fact("i-1", "running", begin + 100), begin + 600))
    assert ledger.runs["i-1", int(begin) + 100].ended == begin + 500
    again = after(first, (later, Fact("i-1", "running", begin + 20), begin + 600))
    assert len(again.runs) == 2, "that one is known"


def test_events_of_others_change_nothing() -> None:
    begin = MONTH.begin
    ledger = after((seen(), None, begin))
    assert not reconcile(ledger, [seen()], Fact("i-2", "stopped", begin + 1), RATES, begin + 1)


def test_the_price_of_a_run_is_that_of_its_start_and_without_one_nothing_is_counted() -> None:
    begin = MONTH.begin
    dearer = Rates({"small": 2.0}, 0.005, 5.12)
    ledger = after((seen(), None, begin))
    assert not reconcile(ledger, [seen()], None, dearer, begin + HOUR)
    with pytest.raises(NoPriceError, match="huge"):
        reconcile(Ledger(), [seen(instance_type="huge")], None, RATES, begin)


def test_a_run_of_seconds_is_billed_as_a_minute() -> None:
    run = Run("i-1", MONTH.begin, MONTH.begin + 5, "small", 3.6, 0.0)
    assert spent(Ledger({run.key: run}), MONTH, MONTH.end).machine == pytest.approx(0.06)


def test_a_month_counts_its_own_part_alone() -> None:
    run = Run("i-1", MONTH.begin - HOUR, MONTH.end + HOUR, "small", 1.0, 0.0)
    disk = Disk("i-1", MONTH.begin - DAY, None, 5.12)
    ledger = Ledger({run.key: run}, {"i-1": disk})
    assert spent(ledger, MONTH, MONTH.end + DAY).machine == pytest.approx(30 * 24)
    assert spent(ledger, MONTH, MONTH.end + DAY).disk == pytest.approx(5.12)
    december = MONTH.after
    assert spent(ledger, december, december.begin + DAY).machine == pytest.approx(1)


def running(since: float = MONTH.begin) -> Ledger:
    run = Run("i-1", since, None, "small", 1.0, 0.0)
    return Ledger({run.key: run})


def test_the_moment_of_an_amount() -> None:
    now = MONTH.begin + HOUR
    assert moment_of(running(), 10, now) == pytest.approx(MONTH.begin + 10 * HOUR)
    assert moment_of(running(), 0.5, now) == now
    assert moment_of(running(), 10_000, now) is None
    assert moment_of(Ledger(), 10, now) is None
    assert usd_per_hour(running(), MONTH) == 1


@pytest.mark.parametrize(
    ("hours", "reached", "stops"),
    [
        (1, (), False),
        (4.9, (), False),
        (5, (50,), False),
        (8, (50, 80), False),
        (9.98, (50, 80), False),
        # Within the minute by which a call may be late
        (9.99, (50, 80, 100), True),
        (12, (50, 80, 100), True),
    ],
)
def test_what_is_reached(hours: float, reached: tuple[int, ...], stops: bool) -> None:
    now = MONTH.begin + hours * HOUR
    finding = judge(running(), 10, now, running=["i-1"])
    assert finding.reached == reached
    assert finding.stop == (("i-1",) if stops else ())
    assert bool(finding.reason) == stops
    assert finding.next_at is not None and finding.next_at >= now + 60


def test_the_next_call_is_at_the_next_percentage_in_whole_minutes() -> None:
    for hours, wanted in ((1, 5), (6, 8), (9, 10)):
        now = MONTH.begin + hours * HOUR
        finding = judge(running(), 10, now, running=["i-1"])
        assert finding.next_at == pytest.approx(MONTH.begin + wanted * HOUR, abs=60)
        assert finding.next_at % 60 == 0


def test_the_next_call_is_not_in_the_past_and_the_last_one_not_late() -> None:
    now = MONTH.begin + 5 * HOUR - 1
    assert judge(running(), 10, now, running=["i-1"]).next_at == now + 60
    finding = judge(running(), 10.01, MONTH.begin + 9 * HOUR, running=["i-1"])
    assert finding.next_at and finding.stops_at
    assert finding.stops_at - 60 < finding.next_at < finding.stops_at


def test_what_was_spent_stays_spent_until_the_limit_is_higher() -> None:
    run = Run("i-1", MONTH.begin, MONTH.begin + 9.99 * HOUR, "small", 1.0, 0.0)
    ledger, now = Ledger({run.key: run}), MONTH.begin + DAY
    assert not judge(ledger, 10, now, running=[]).reason
    assert judge(ledger, 10, now, running=[], spent_limit_usd=10).reason
    assert not judge(ledger, 11, now, running=[], spent_limit_usd=10).reason


def test_without_a_price_machines_are_stopped_and_the_limit_is_not_spent() -> None:
    finding = judge(Ledger(), 10, MONTH.begin, running=["i-1"], unpriced="no price of z9")
    assert finding.stop == ("i-1",) and finding.is_unpriced and finding.reason == "no price of z9"


def test_the_set_up_of_a_machine_must_fit() -> None:
    finding = judge(running(), 10, MONTH.begin + 9 * HOUR, running=["i-1"])
    assert not too_little_left(finding, "small", 1.9)
    refusal = too_little_left(finding, "large", 2.1)
    assert "9.00 of 10 USD spent in 2026-11" in refusal and "1.05 USD" in refusal


@pytest.mark.parametrize("text", ["2026-13", "2026-1", "26-11", "2026-11-01", ""])
def test_a_month_has_one_form(text: str) -> None:
    with pytest.raises(ValueError, match="2026-11"):
        Month.parse(text)
    assert str(Month.parse("2026-11")) == "2026-11"
    assert Month(2026, 12).after == Month(2027, 1)
