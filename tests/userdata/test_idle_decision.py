"""When a machine is idle: the pure decision, rule by rule, and what must hold for any samples."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from machine_bench import USERDATA

SPEC = importlib.util.spec_from_file_location("idle_decide", USERDATA / "idle/decide.py")
assert SPEC and SPEC.loader
decide = importlib.util.module_from_spec(SPEC)
sys.modules["idle_decide"] = decide  # dataclasses look their module up
SPEC.loader.exec_module(decide)

MINUTE, HOUR = 60.0, 3600.0
POLICY = decide.Policy(window=HOUR)
STILL = dict.fromkeys(decide.SIGNALS, 0.0)
CHANGES = st.sampled_from(decide.SIGNALS)


def sample(minute: float, present: tuple[str, ...] = (), **moved: float | None) -> Any:
    faults = {name: "it broke" for name, value in moved.items() if value is None}
    return decide.Sample(minute * MINUTE, {**STILL, **moved}, present, faults=faults)


def life(
    see: Callable[[int], Any], policy: Any = POLICY, hours: int = 6, awake_until: float = 0.0
) -> tuple[int | None, list[Any]]:
    """The minute in which a machine stops, ``None`` if it does not; and all verdicts."""
    samples: list[Any] = []
    verdicts = []
    warned_at = None
    for minute in range(1, hours * 60 + 1):
        samples = [*decide.needed([*samples, see(minute)], policy)]
        now = samples[-1].at
        verdict = decide.decide(
            samples, policy, now=now, keep_awake_until=awake_until, warned_at=warned_at
        )
        verdicts.append(verdict)
        if verdict.state == "stop":
            return minute, verdicts
        warned_at = None if verdict.state == "awake" else (warned_at or now)
    return None, verdicts


def test_a_machine_on_which_nothing_moves_stops_after_the_window() -> None:
    minute, verdicts = life(sample)

    assert minute == 61
    assert verdicts[-1].reason == "nothing moved for 60 min"
    assert [v.state for v in verdicts].index("warned") + 1 == 56, "five minutes before"


@pytest.mark.parametrize("signal", decide.SIGNALS)
def test_each_signal_alone_keeps_it_awake(signal: str) -> None:
    """Above its limit, in each minute; just below it, the machine stops."""
    limit = decide.PEAKS.get(signal) or decide.RATES.get(signal, 0.5) * MINUTE

    awake, _ = life(lambda minute: sample(minute, **{signal: limit * 1.1}))
    idle, _ = life(lambda minute: sample(minute, **{signal: limit * 0.9 * (signal != "input")}))

    assert awake is None
    assert idle == 61


@pytest.mark.parametrize("signal", decide.SIGNALS)
def test_a_movement_counts_when_it_happened_and_for_one_window(signal: str) -> None:
    minute, verdicts = life(lambda minute: sample(minute, **{signal: 1e9 * (minute == 100 - 60)}))

    assert minute == 100
    assert verdicts[50].state == "awake"
    assert "nothing moved" not in verdicts[50].reason


def test_small_work_adds_up_over_the_window() -> None:
    """Six CPU seconds in every third minute are more than 3 % of a core."""
    assert life(lambda minute: sample(minute, cpu=6.0 * (minute % 3 == 0)))[0] is None
    assert life(lambda minute: sample(minute, cpu=4.0 * (minute % 3 == 0)))[0] == 61


def test_presence_holds_up_to_the_cap() -> None:
    minute, verdicts = life(lambda minute: sample(minute, present=("1 open session",)))

    assert minute == 121
    assert verdicts[90].reason == "open, but nothing moves: 1 open session"


def test_presence_after_work_holds_from_the_work_on() -> None:
    def see(minute: int) -> Any:
        return sample(minute, present=("1 open session",), input=float(minute == 30))

    assert life(see)[0] == 150


def scratch(minute: int, gib: float | None, present: tuple[str, ...] = ()) -> Any:
    return decide.dataclasses.replace(sample(minute, present), scratch_gib=gib)


def test_much_on_scratch_holds_up_to_the_cap() -> None:
    policy = decide.Policy(window=HOUR, scratch_gib=50)
    minute, verdicts = life(lambda minute: scratch(minute, 51.2), policy)

    assert minute == 121
    assert verdicts[90].reason == "51 GiB on /scratch would be lost"
    assert verdicts[-1].reason == "nothing moved for 120 min"


@pytest.mark.parametrize(
    ("limit", "gib"),
    [
        pytest.param(50, 50.0, id="not more than the limit"),
        pytest.param(50, None, id="no instance store"),
        pytest.param(0, 7000.0, id="off"),
    ],
)
def test_scratch_makes_no_difference(limit: float, gib: float | None) -> None:
    policy = decide.Policy(window=HOUR, scratch_gib=limit)

    assert life(lambda minute: scratch(minute, gib), policy)[0] == 61


def test_scratch_that_is_emptied_holds_no_longer() -> None:
    policy = decide.Policy(window=HOUR, scratch_gib=50)
    minute, verdicts = life(lambda m: scratch(m, 60.0 if m < 90 else 0.0), policy)

    assert minute == 95, "with the warning's five minutes"
    assert verdicts[89].state == "warned"


def test_scratch_holds_no_machine_whose_window_is_longer_than_the_cap() -> None:
    policy = decide.Policy(window=3 * HOUR, scratch_gib=50)

    assert life(lambda minute: scratch(minute, 60.0), policy)[0] == 181


def test_who_is_there_is_named_before_scratch() -> None:
    policy = decide.Policy(window=HOUR, scratch_gib=50)
    minute, verdicts = life(lambda m: scratch(m, 60.0, ("1 open session",)), policy)

    assert minute == 121, "one cap, not two"
    assert verdicts[90].reason == "open, but nothing moves: 1 open session"


def test_who_leaves_after_the_window_is_warned_before_the_stop() -> None:
    """Nobody is cut off without the five minutes, even if nothing moved for longer."""
    minute, verdicts = life(lambda minute: sample(minute, ("a session",) if minute < 90 else ()))

    assert minute == 95
    assert verdicts[89].state == "warned"


def test_a_request_keeps_it_awake_until_its_end() -> None:
    minute, verdicts = life(sample, awake_until=5 * HOUR)

    assert minute == 300
    assert verdicts[100].reason == "it was asked to stay awake"


def test_movement_takes_a_warning_back() -> None:
    minute, verdicts = life(lambda minute: sample(minute, input=float(minute == 58)))

    assert [verdicts[56].state, verdicts[57].state] == ["warned", "awake"]
    assert minute == 118


def test_the_set_up_holds_up_to_the_cap_and_a_window_after_it() -> None:
    def set_up(end: int) -> int | None:
        return life(
            lambda m: decide.Sample(m * MINUTE, STILL, set_up=m <= end),
        )[0]

    assert set_up(20) == 80
    assert set_up(9999) == 1 + 120 + 60, "a set-up that hangs"


@pytest.mark.parametrize("signal", decide.SIGNALS)
def test_what_cannot_be_sampled_counts_as_moving_but_not_for_ever(signal: str) -> None:
    minute, verdicts = life(lambda minute: sample(minute, **{signal: None}))

    assert minute == 121
    assert verdicts[0].warnings == (f"{signal} cannot be sampled and counts as moving (it broke)",)
    assert verdicts[80].reason == f"unknown, and so counted as moving: {signal} (it broke)"
    assert verdicts[-1].warnings == (f"{signal} is left out: it could not be sampled (it broke)",)


def test_a_single_fault_counts_as_moving_when_it_happened() -> None:
    assert life(lambda minute: sample(minute, gpu=None if minute == 30 else 0.0))[0] == 90


def test_faults_now_and_then_have_an_end_too() -> None:
    """One in ten samples fails: without an end, the machine would never stop."""
    assert life(lambda minute: sample(minute, gpu=None if minute % 10 == 1 else 0.0))[0] == 121


def test_the_others_decide_after_a_signal_is_left_out() -> None:
    def see(minute: int) -> Any:
        return sample(minute, gpu=None, cpu=60.0 if minute < 200 else 0.0)

    # Since the last movement the GPUs are unknown, for two hours at most
    assert life(see)[0] == 199 + 120


def test_without_any_signal_it_stops_two_hours_later() -> None:
    minute, verdicts = life(lambda minute: sample(minute, **dict.fromkeys(decide.SIGNALS)))

    assert minute == 241
    assert verdicts[150].reason == "nothing can be sampled"
    assert verdicts[0].warnings[-1] == "nothing can be sampled: 240 min of it at most"


def test_a_gap_is_unknown() -> None:
    """An hour without samples, in which a GPU may have worked."""

    def see(minute: int) -> Any:
        return sample(minute if minute < 30 else minute + 60)

    minute, verdicts = life(see)
    assert minute == 90
    assert verdicts[30].reason.startswith("unknown, and so counted as moving")
    assert "there was no sample for 61 min" in verdicts[30].reason


def test_what_moved_in_a_gap_is_known_from_counters() -> None:
    def see(minute: int) -> Any:
        return sample(minute if minute < 30 else minute + 300, cpu=9000.0 * (minute == 30))

    minute, verdicts = life(see)
    assert minute == 90
    assert "programs use" in verdicts[29].reason


def samples() -> st.SearchStrategy[list[Any]]:
    values = st.one_of(
        st.none(), st.floats(0, 0.2), st.floats(0, 10), st.floats(0, 1e7), st.just(0.0)
    )
    one = st.tuples(
        st.sampled_from([50.0, 60.0, 60.0, 70.0, 1000.0]),
        st.dictionaries(CHANGES, values, max_size=3),
        st.booleans(),
        st.booleans(),
    )

    def build(rows: list[Any]) -> list[Any]:
        at, made = 0.0, []
        for step, moved, present, set_up in rows:
            at += step
            there = ("a session",) if present else ()
            made.append(decide.Sample(at, {**STILL, **moved}, there, set_up and at < 500))
        return made

    return st.lists(one, min_size=1, max_size=40).map(build)


WINDOWS = st.sampled_from([600.0, 1200.0, 3600.0])


@settings(max_examples=300, deadline=None)
@given(st.data(), WINDOWS, st.floats(0, 3000))
def test_more_activity_never_stops_it_earlier(data: Any, window: float, later: float) -> None:
    policy = decide.Policy(window=window, cap=1800, patience=900)
    before = data.draw(samples())
    index = data.draw(st.integers(0, len(before) - 1))
    signal = data.draw(CHANGES)
    old = before[index].moved[signal]
    more = (old or 0.0) + data.draw(st.floats(0, 1e8))
    if old is None:
        # Known movement instead of unknown
        more += 1e9
    after = [*before]
    after[index] = decide.dataclasses.replace(
        before[index], moved={**before[index].moved, signal: more}
    )
    now = before[-1].at + later

    assert (
        decide.decide(after, policy, now=now).stops_at
        >= decide.decide(before, policy, now=now).stops_at
    )


@settings(deadline=None)
@given(st.data(), WINDOWS)
def test_presence_never_stops_it_earlier(data: Any, window: float) -> None:
    policy = decide.Policy(window=window, cap=1800, patience=900)
    before = data.draw(samples())
    after = [*before[:-1], decide.dataclasses.replace(before[-1], present=("a session",))]
    now = before[-1].at

    assert (
        decide.decide(after, policy, now=now).stops_at
        >= decide.decide(before, policy, now=now).stops_at
    )


@settings(deadline=None)
@given(st.data(), WINDOWS, st.floats(0, 100), st.one_of(st.none(), st.floats(0, 200)))
def test_scratch_counts_like_presence_or_not_at_all(
    data: Any, window: float, limit: float, gib: float | None
) -> None:
    off = decide.Policy(window=window, cap=1800, patience=900)
    on = decide.dataclasses.replace(off, scratch_gib=limit)
    seen = data.draw(samples())
    last = decide.dataclasses.replace(seen[-1], present=(), scratch_gib=gib)
    there = decide.dataclasses.replace(last, present=("a session",))
    now = last.at

    stops = decide.decide([*seen[:-1], last], on, now=now).stops_at

    like = there if limit and (gib or 0) > limit else last
    assert stops == decide.decide([*seen[:-1], like], off, now=now).stops_at


@settings(deadline=None)
@given(st.data(), WINDOWS)
def test_it_never_stops_inside_the_first_window_or_unannounced(data: Any, window: float) -> None:
    policy = decide.Policy(window=window, cap=1800, patience=900)
    seen = data.draw(samples())
    now = seen[-1].at
    warned_at = data.draw(st.one_of(st.none(), st.floats(0, now)))

    verdict = decide.decide(seen, policy, now=now, warned_at=warned_at)

    if now < seen[0].at + window or warned_at is None or now < warned_at + policy.lead:
        assert verdict.state != "stop"
    assert verdict.stops_at >= seen[0].at + window


@settings(deadline=None)
@given(st.data(), WINDOWS)
def test_unknown_always_has_an_end(data: Any, window: float) -> None:
    """Whatever fails, and whoever is there: without movement every hold ends."""
    policy = decide.Policy(window=window, cap=1800, patience=900)
    seen = [
        decide.dataclasses.replace(
            each, moved={name: v if v is None else 0.0 for name, v in each.moved.items()}
        )
        for each in data.draw(samples())
    ]
    end = seen[0].at + 1800 + 900 + max(window, 1800)

    assert decide.decide(seen, policy, now=seen[-1].at).stops_at <= max(
        end, seen[-1].at + max(policy.lead, 1800)
    )


@settings(deadline=None)
@given(st.data(), WINDOWS)
def test_what_is_forgotten_changes_nothing(data: Any, window: float) -> None:
    policy = decide.Policy(window=window, cap=1800, patience=900)
    seen = data.draw(samples())
    kept = decide.needed(seen, policy)
    now = seen[-1].at

    full, short = (decide.decide(each, policy, now=now) for each in (seen, kept))

    assert full.state == short.state
    assert max(full.stops_at, now) == max(short.stops_at, now)
