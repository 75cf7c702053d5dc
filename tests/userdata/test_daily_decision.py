"""The daily stop of a machine: the pure decision, minute by minute, and what must always hold."""

from __future__ import annotations

import importlib.util
import sys
from datetime import date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from machine_bench import USERDATA

from gpustation.catalog.wall_time import WallTime

SPEC = importlib.util.spec_from_file_location("idle_daily", USERDATA / "idle/daily.py")
assert SPEC and SPEC.loader
daily = importlib.util.module_from_spec(SPEC)
sys.modules["idle_daily"] = daily  # dataclasses look their module up
SPEC.loader.exec_module(daily)

MINUTE, HOUR, LEAD, TICK = 60.0, 3600.0, 300.0, 60.0
ZONES = st.sampled_from(
    ["Europe/Berlin", "America/New_York", "Asia/Kolkata", "Australia/Lord_Howe", "America/Havana"]
)
RULES = st.builds(
    daily.Rule, st.integers(0, 23), st.integers(0, 59), ZONES, st.sampled_from([0, 1, 30, 90, 720])
)
DAYS = st.one_of(
    st.dates(date(2026, 1, 1), date(2030, 12, 31)),
    st.sampled_from([date(2026, 3, 29), date(2026, 10, 25), date(2026, 3, 8), date(2026, 11, 1)]),
)


def clock(text: str, zone: str = "Europe/Berlin") -> float:
    return datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone)).timestamp()


def rule(text: str = "22:00 Europe/Berlin", patience: int = 0) -> Any:
    return daily.read_rule({"stop_at": text, "stop_at_patience": patience})


def life(
    one: Any,
    booted: float,
    *,
    hours: float = 40,
    busy: tuple[float, float] = (0, 0),
    asked_until: float = 0.0,
    early: float = 23,
) -> tuple[float | None, list[Any]]:
    """When a machine stops that decides once a minute and waits for the exact time as the watcher
    does; and all decisions. Work keeps it busy from one time to another, and 20 minutes longer.
    """
    warned_at = None
    decisions = []
    now = booted + early
    while now < booted + hours * HOUR:
        works = busy[0] <= now <= busy[1] + 20 * MINUTE
        until = max(min(now, busy[1]) + 20 * MINUTE if works else 0.0, asked_until)
        decision = daily.decide(
            one,
            booted=booted,
            now=now,
            lead=LEAD,
            tick=TICK,
            held_until=until,
            held_by="work",
            warned_at=warned_at,
        )
        decisions.append((now, decision))
        if decision.state == "stop":
            return now, decisions
        warned_at = None if decision.state == "awake" else (warned_at or now)
        near = decision.state == "warned" and decision.stops_at - now <= 1.5 * TICK
        now = decision.stops_at if near else now + TICK
    return None, decisions


@pytest.mark.parametrize(
    ("text", "booted", "stops"),
    [
        ("22:00 Europe/Berlin", "2026-03-28 12:00", "2026-03-28 22:00"),
        ("22:00 Europe/Berlin", "2026-03-28 22:30", "2026-03-29 22:00"),  # a day of 23 hours
        ("22:00 Europe/Berlin", "2026-10-24 22:00", "2026-10-25 22:00"),  # and one of 25
        ("02:30 Europe/Berlin", "2026-03-28 12:00", "2026-03-29 03:00"),  # skipped
        ("02:30 Europe/Berlin", "2026-10-24 12:00", "2026-10-25 02:30"),  # the first of two
        ("22:00 Europe/Berlin", "2026-06-01 21:58", "2026-06-01 22:00"),  # started just before
    ],
)
def test_it_stops_at_the_exact_time(text: str, booted: str, stops: str) -> None:
    stopped, decisions = life(rule(text), clock(booted))

    assert stopped == clock(stops)
    assert decisions[-1][1].reason == f"daily stop at {text}"


@pytest.mark.parametrize(
    ("zone", "days"),
    [
        ("Europe/Berlin", ("2026-03-28", "2026-03-29", "2026-10-24", "2026-10-25")),
        ("America/New_York", ("2026-03-07", "2026-03-08", "2026-10-31", "2026-11-01")),
        ("Asia/Kolkata", ("2026-03-28", "2026-10-25")),
    ],
)
def test_the_right_minute_over_both_changes_of_summer_time(zone: str, days: Any) -> None:
    for day in days:
        stopped, _ = life(rule(f"22:00 {zone}"), clock(f"{day} 13:00", zone))
        assert stopped == clock(f"{day} 22:00", zone)


def test_it_warns_at_least_five_minutes_before_and_at_most_a_minute_and_a_half_more() -> None:
    _, decisions = life(rule(), clock("2026-06-01 12:00"))

    first = next(now for now, decision in decisions if decision.state == "warned")
    assert LEAD <= clock("2026-06-01 22:00") - first <= LEAD + 1.5 * TICK


@pytest.mark.parametrize(
    ("patience", "busy_until", "stops"),
    [
        (0, "23:59", "22:00"),
        (30, "21:39", "22:00"),  # 20 minutes of it passed before
        (30, "21:50", "22:10"),
        (30, "23:59", "22:30"),
        (90, "22:50", "23:10"),
    ],
)
def test_work_delays_it_by_the_patience_at_most(patience: int, busy_until: str, stops: str) -> None:
    busy = clock("2026-06-01 12:00"), clock(f"2026-06-01 {busy_until}")

    stopped, decisions = life(rule(patience=patience), busy[0], busy=busy)

    assert stopped is not None
    assert 0 <= stopped - clock(f"2026-06-01 {stops}") < TICK
    if stops != "22:00":
        assert decisions[-1][1].reason.endswith(f"delayed by {patience} min at most: work")


@pytest.mark.parametrize(
    ("patience", "asked", "stops"), [(0, "23:00", "22:00"), (90, "23:00", "23:00")]
)
def test_a_request_delays_it_by_the_patience_at_most(patience: int, asked: str, stops: str) -> None:
    stopped, _ = life(
        rule(patience=patience),
        clock("2026-06-01 12:00"),
        asked_until=clock(f"2026-06-01 {asked}"),
    )

    assert stopped == clock(f"2026-06-01 {stops}")


def test_who_takes_a_request_back_is_warned_too_while_there_is_time() -> None:
    at = clock("2026-06-01 22:10")
    given = {"booted": at - HOUR, "now": at, "lead": LEAD, "tick": TICK}

    for patience, stops in ((60, at + LEAD), (12, at + 2 * MINUTE)):
        decision = daily.decide(rule(patience=patience), **given)
        assert (decision.state, decision.stops_at) == ("warned", stops)


def test_a_stop_that_was_missed_is_left_to_the_schedule() -> None:
    at = clock("2026-06-01 22:06")

    decision = daily.decide(rule(), booted=at - HOUR, now=at, lead=LEAD)

    assert decision.state == "awake"
    assert decision.stops_at == clock("2026-06-02 22:00")


@pytest.mark.parametrize(
    "wrong",
    [
        {"stop_at": "22:00 Europe/Atlantis"},
        {"stop_at": "22:00"},
        {"stop_at": "2200 Europe/Berlin"},
        {"stop_at": ["22:00 Europe/Berlin"]},
        {"stop_at": "22:00 ../../etc/passwd"},
        {"stop_at": "22:00 Europe/Berlin", "stop_at_patience": "30"},
    ],
)
def test_fails_when_the_setting_is_not_understood(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"stop_at=|does not know the time zone"):
        daily.read_rule(wrong)


def test_without_the_setting_there_is_no_rule() -> None:
    assert daily.read_rule({}) is None
    assert daily.read_rule({"stop_at": "", "stop_at_patience": 30}) is None
    assert daily.read_rule({"stop_at": None, "stop_at_patience": None}) is None


@settings(max_examples=150, deadline=None)
@given(RULES, DAYS)
def test_the_machine_and_the_schedule_mean_the_same_moment(one: Any, day: date) -> None:
    wall = WallTime(one.hour, one.minute, one.zone)
    due = wall.on(day).timestamp()

    moment = daily.current(one, due - 1, due)

    assert moment.at == due
    over = (one.hour * 60 + one.minute + one.patience) // (24 * 60)
    net = wall.later(one.patience).on(day + timedelta(days=over)).timestamp()
    assert moment.latest == max(due, net)


@settings(max_examples=150, deadline=None)
@given(
    RULES,
    DAYS,
    st.floats(0, 30 * HOUR),
    st.floats(-3, 15).map(lambda hours: hours * HOUR),
    st.floats(0, 20 * HOUR),
)
def test_what_must_always_hold(one: Any, day: date, ran: float, after: float, held: float) -> None:
    now = daily.current(one, 0, clock(f"{day} 00:00", one.zone)).at + after
    booted = now - ran
    given = {"booted": booted, "now": now, "lead": LEAD, "tick": TICK}
    free = daily.decide(one, **given)
    busy = daily.decide(one, **given, held_until=now + held, held_by="work")

    for decision in (free, busy):
        assert decision.moment.at > booted, "only a moment that came while it runs"
        assert decision.moment.at <= decision.stops_at <= decision.moment.latest
        assert (decision.state == "stop") == (now >= decision.stops_at)
        announced = decision.state != "stop" or decision.stops_at == decision.moment.latest
        assert announced, "unannounced, it only stops at the latest moment"
    assert busy.stops_at >= free.stops_at, "work never stops it earlier"
    if one.patience == 0:
        assert busy == free, "and without patience not later"
