"""The findings of ``doctor`` about machines: their set-up, and the rules of ``allow-my-ip``."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest

from gpustation.access.report import Report, SetUp, Verdict
from gpustation.aws.own_rules import OwnRule
from gpustation.doctor import machines
from gpustation.doctor.finding import Mark
from gpustation.workstation.find import Workstation
from gpustation.workstation.status import Status

NOW = datetime(2026, 11, 28, tzinfo=timezone.utc)
ONE = Status(
    Workstation("GpuWorkstation", "CREATE_COMPLETE", "i-1", {}, NOW),
    *(None, (), (), ()),
    report=None,
    no_report="",
    now=NOW,
)
SUBJECT: Any = type("Subject", (), {"session": None, "client": lambda _self, _name: None})()


def told(**members: Any) -> Status:
    set_up = SetUp(**{"state": "complete", "phase": "jupyter-check", "since": NOW} | members)
    return replace(ONE, report=Report("i-1", (), set_up))


@pytest.mark.parametrize(
    ("status", "mark", "words"),
    [
        (ONE, Mark.OK, "reported no set-up"),
        (told(), Mark.OK, "complete"),
        (told(state="running", phase="driver"), Mark.OK, "phase driver had begun"),
        (told(state="failed", phase="driver"), Mark.FAILED, "phase driver failed"),
        (told(warnings={"metadata": "no rule"}), Mark.WARNING, "metadata: no rule"),
        (replace(ONE, no_report="not allowed"), Mark.UNKNOWN, "not allowed"),
    ],
)
def test_the_set_up_of_a_machine(
    monkeypatch: pytest.MonkeyPatch, status: Status, mark: Mark, words: str
) -> None:
    monkeypatch.setattr(machines, "read_status", lambda _session: [status])
    (finding,) = machines.set_ups(SUBJECT)
    assert (finding.mark, finding.name) == (mark, "set-up")
    assert words in finding.detail
    assert bool(finding.cure) == (mark in (Mark.FAILED, Mark.WARNING))


def test_an_idle_stop_that_does_not_decide(monkeypatch: pytest.MonkeyPatch) -> None:
    machine: Any = type("Machine", (), {"state": "running"})()
    report = Report("i-1", (), verdict=Verdict("failing", "", NOW, NOW))
    runs = replace(ONE, machine=machine, report=report)
    monkeypatch.setattr(machines, "read_status", lambda _session: [runs, ONE])
    *_, finding = machines.set_ups(SUBJECT)
    assert (finding.name, finding.mark) == ("idle stop", Mark.FAILED)
    assert "systemctl status gpustation-idle" in finding.cure


@pytest.mark.parametrize(("hours", "mark"), [(-1, Mark.WARNING), (1, Mark.OK)])
def test_a_rule_whose_time_is_over(monkeypatch: pytest.MonkeyPatch, hours: int, mark: Mark) -> None:
    until = datetime.now(timezone.utc) + timedelta(hours=hours)
    monkeypatch.setattr(machines, "read_all", lambda _ec2: [OwnRule("sg-1", "203.0.113.7", until)])
    finding = machines.rules(SUBJECT)
    assert finding.mark is mark
    assert "sg-1 opened to 203.0.113.7" in finding.detail
