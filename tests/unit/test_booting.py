"""Waiting for the set-up of a machine that boots, by its reports."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import Any

import pytest

from gpustation.access.report import SetUp
from gpustation.console.errors import CommandError
from gpustation.console.statuses import TIMED_OUT
from gpustation.workstation import booting

THEN = datetime(2026, 11, 28, tzinfo=timezone.utc)
BEFORE = SetUp("complete", "jupyter-check", THEN)


def later(state: str, phase: str, seconds: int) -> SetUp:
    return SetUp(state, phase, THEN + timedelta(seconds=seconds))


def wait(monkeypatch: pytest.MonkeyPatch, reports: list[SetUp | None]) -> list[str]:
    """Wait over these reports, one per poll, the last one again and again; what was said."""
    said: list[str] = []
    clock = [0.0]
    left = [*reports]

    def reported(*_: Any) -> SetUp | None:
        return left.pop(0) if len(left) > 1 else left[0]

    def sleep(seconds: float) -> None:
        clock[0] += seconds

    monkeypatch.setattr(booting, "reported", reported)
    monkeypatch.setattr(booting.time, "monotonic", lambda: clock[0])
    monkeypatch.setattr(booting.time, "sleep", sleep)
    machine: Any = type("Machine", (), {"instance_id": "i-1"})
    booting.await_set_up(None, machine, BEFORE, said.append)  # type: ignore[arg-type]
    return said


def test_the_report_of_before_the_boot_ends_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    running = later("running", "report", 60)
    said = wait(monkeypatch, [BEFORE, None, running, running, later("complete", "jupyter", 70)])
    assert said == ["phase report after 6 s", "set up after 12 s"]


def test_a_failed_set_up_names_the_log(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(CommandError, match="--phase driver") as raised:
        wait(monkeypatch, [BEFORE, later("failed", "driver", 60)])
    assert raised.value.status == 1


@pytest.mark.parametrize(
    ("reports", "named"),
    [([BEFORE], "has not reported"), ([later("running", "driver", 9)], "phase driver runs")],
)
def test_every_wait_ends(
    monkeypatch: pytest.MonkeyPatch, reports: list[SetUp | None], named: str
) -> None:
    with pytest.raises(CommandError, match=named) as raised:
        wait(monkeypatch, reports)
    assert raised.value.status == TIMED_OUT


def test_a_machine_that_reports_nothing_is_not_waited_for() -> None:
    booting.await_set_up(None, None, None, lambda _: pytest.fail("said something"))  # type: ignore[arg-type]
