"""The calls of ``gpustation status`` are made at the same time, and matched afterwards."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from typing import Any

import boto3
import pytest

from gpustation.console.errors import CommandError
from gpustation.workstation import status
from gpustation.workstation.find import Workstation
from gpustation.workstation.machine import Machine
from gpustation.workstation.status import Disk, Status, read_status

MEETING_SECONDS = 30
"""The calls wait for each other; calls one after the other would wait for ever."""
NOW = datetime(2026, 11, 28, 12, tzinfo=timezone.utc)


def machine(**changes: Any) -> Machine:
    facts = {
        "instance_id": "i-1",
        "stack": "GpuWorkstation",
        "instance_type": "g4dn.xlarge",
        "state": "running",
        "reason": "",
        "generation": 1,
        "address": "203.0.113.7",
        "zone": "us-east-1a",
        "image_id": "ami-1",
        "started": NOW - timedelta(hours=10),
        "volumes": ("vol-1",),
        "groups": (),
    }
    return Machine(**{**facts, **changes})


def workstation(instance_id: str = "i-1", state: str = "CREATE_COMPLETE") -> Workstation:
    return Workstation("GpuWorkstation", state, instance_id, {}, NOW)


DISKS = {"vol-1": Disk("vol-1", 64, "gp3"), "vol-9": Disk("vol-9", 500, "gp3")}


@pytest.fixture
def session() -> boto3.Session:
    return boto3.Session("AKIAEXAMPLE", "none", region_name="us-east-1")


def test_the_calls_meet(session: boto3.Session, monkeypatch: pytest.MonkeyPatch) -> None:
    meeting = threading.Barrier(6)

    def meets(result: Any) -> Callable[..., Any]:
        def call(*_: Any) -> Any:
            meeting.wait(MEETING_SECONDS)
            return result

        return call

    monkeypatch.setattr(status, "_stacks", meets([workstation()]))
    monkeypatch.setattr(status, "_machines", meets({"i-1": machine()}))
    monkeypatch.setattr(status, "_disks", meets(DISKS))
    monkeypatch.setattr(status, "read_all", meets([]))
    monkeypatch.setattr(status, "read_reports", meets({}))
    monkeypatch.setattr(status, "read_notices", meets({}))
    (one,) = read_status(session)
    assert one.machine == machine()
    assert one.disks == (DISKS["vol-1"],)


def test_an_error_of_one_call_is_the_result(
    session: boto3.Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: Any) -> Any:
        raise CommandError("no such stack")

    monkeypatch.setattr(status, "_stacks", fails)
    monkeypatch.setattr(status, "_machines", lambda _: {})
    monkeypatch.setattr(status, "_disks", lambda _: {})
    monkeypatch.setattr(status, "read_all", lambda _: [])
    monkeypatch.setattr(status, "read_reports", lambda _: {})
    monkeypatch.setattr(status, "read_notices", lambda _: {})
    with pytest.raises(CommandError, match="no such stack"):
        read_status(session)


def test_during_the_first_deploy_the_living_machine_of_the_stack_is_it(
    session: boto3.Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    gone = machine(instance_id="i-0", state="terminated", started=NOW)
    others = machine(instance_id="i-2", stack="GpuWorkstation-anna")
    machines = {one.instance_id: one for one in (gone, others, machine())}
    monkeypatch.setattr(status, "_stacks", lambda *_: [workstation("", "CREATE_FAILED")])
    monkeypatch.setattr(status, "_machines", lambda _: machines)
    monkeypatch.setattr(status, "_disks", lambda _: DISKS)
    monkeypatch.setattr(status, "read_all", lambda _: [])
    monkeypatch.setattr(status, "read_reports", lambda _: {})
    monkeypatch.setattr(status, "read_notices", lambda _: {})
    (one,) = read_status(session)
    assert one.machine == machine()


def test_the_cost_of_a_run_is_that_of_machine_and_address() -> None:
    running = Status(workstation(), machine(), (DISKS["vol-1"],), (), (), None, "", NOW)
    assert running.hours == 10
    assert running.usd_of_this_run == pytest.approx(10 * (0.526 + 0.005))
    assert running.usd_per_month_stopped == pytest.approx(5.12)
    private = Status(workstation(), machine(address=""), (), (), (), None, "", NOW)
    assert private.usd_of_this_run == pytest.approx(10 * 0.526)


@pytest.mark.parametrize(
    "shown", [machine(state="stopped"), machine(instance_type="z9.large"), None]
)
def test_what_is_not_known_costs_nothing_that_is_shown(shown: Machine | None) -> None:
    assert Status(workstation(), shown, (), (), (), None, "", NOW).usd_of_this_run is None
