"""``start`` where EC2 has no room, against the embedded AWS.

The move itself needs the CDK CLI: tests/e2e/test_move.py.
"""

from __future__ import annotations

import signal
import threading
import time
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from gpustation.console.statuses import FINDING, NO_CAPACITY, USAGE
from gpustation.workstation import patience
from localaws import LocalAws
from tests.cli.conftest import Pauses, Terminal, Verb
from tests.faults.holds import Holds
from tests.support.probe_stack import G_QUOTA, Stack

FULL = "InsufficientInstanceCapacity"


@pytest.fixture(autouse=True)
def no_app(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder without a cdk.json."""
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def zone(deployed: Stack) -> str:
    return deployed.outputs()["AvailabilityZone"]


@pytest.fixture
def stopped(aws: LocalAws, deployed: Stack, verb: Verb, zone: str) -> Holds:
    """The machine is stopped, and its zone is full."""
    assert verb("stop", "--yes", "--stack", deployed.name).status == 0
    aws.control.set_capacity(None, False, zone=zone)
    return Holds(aws)


def state(verb: Verb) -> str:
    (one,) = verb("status", "--json").document["workstations"]
    return str(one["machine"]["state"])


def test_the_zones_with_room_are_shown(
    aws: LocalAws, verb: Verb, stopped: Holds, zone: str
) -> None:
    aws.control.set_capacity(
        None, False, zone="us-east-1f" if zone != "us-east-1f" else "us-east-1a"
    )
    ran = verb("start", "--yes")
    assert ran.status == NO_CAPACITY
    rows = {row[0]: row[1:] for row in ran.rows if row[0].startswith("us-east-1")}
    assert zone not in rows
    assert sorted(row[0] for row in rows.values()).count("no room") == 1
    assert ["no room", FULL] in rows.values() and ["room", "-"] in rows.values()
    assert zone in ran.err and FULL in ran.err
    assert "there is room for this machine in" in ran.err
    assert "the price is the same in each zone" in ran.err
    assert {match for match, _ in stopped.made()} == {"targeted"}
    stopped.assert_over()
    for row in stopped.rows:
        assert row.unused_seconds < 30
    assert state(verb) == "stopped"


@pytest.mark.tier("all")
def test_json_prints_no_document_and_the_zones_as_notes(verb: Verb, stopped: Holds) -> None:
    ran = verb("start", "--yes", "--json")
    assert (ran.status, ran.out) == (NO_CAPACITY, "")
    assert "us-east-1" in ran.err and "  room  -" in ran.err


@pytest.mark.tier("all")
def test_a_machine_that_starts_asks_no_zone(
    aws: LocalAws, verb: Verb, deployed: Stack, stopped: Holds
) -> None:
    """As fast as without all this: the start is the test."""
    aws.control.reset()
    aws.control.set_quota(G_QUOTA, 12)
    document = verb("start", "--yes", "--json").document
    assert (document["state"], document["moved"]) == ("running", None)
    assert document["availability_zone"] == deployed.outputs()["AvailabilityZone"]
    assert stopped.rows == []


@pytest.mark.tier("all")
def test_no_zone_has_room(aws: LocalAws, verb: Verb, stopped: Holds) -> None:
    aws.control.set_capacity(None, False)
    ran = verb("start", "--yes", "--move")
    assert ran.status == NO_CAPACITY
    assert "has no room either" in ran.err
    assert "`gpustation start --wait 2h` keeps trying" in ran.err
    assert stopped.rows == []


@pytest.mark.tier("all")
@pytest.mark.parametrize(
    ("operation", "kind", "words"),
    [
        ("CreateCapacityReservation", "deny", "ec2:CreateCapacityReservation is missing"),
        ("CreateCapacityReservation", "unsupported", "whether us-east-1"),
        ("DescribeAvailabilityZones", "deny", "availability zones: permission is missing"),
    ],
)
def test_what_cannot_be_asked_is_said_to_be_unknown(
    aws: LocalAws, verb: Verb, stopped: Holds, operation: str, kind: Any, words: str
) -> None:
    aws.control.fault(operation, kind)
    ran = verb("start", "--yes")
    assert ran.status == NO_CAPACITY
    assert FULL in ran.err and words in ran.err
    assert stopped.rows == []


@pytest.mark.tier("all")
def test_a_reservation_that_cannot_be_cancelled_is_named(
    aws: LocalAws, verb: Verb, stopped: Holds
) -> None:
    aws.control.fault("CancelCapacityReservation", "deny")
    ran = verb("start", "--yes")
    (left,) = stopped.rows
    assert f"{left.reservation_id}, a capacity reservation" in ran.err
    assert "aws ec2 cancel-capacity-reservation" in ran.err
    aws.control.fault("CancelCapacityReservation", None)
    ec2 = aws.client("ec2")
    (row,) = ec2.describe_capacity_reservations(CapacityReservationIds=[left.reservation_id])[
        "CapacityReservations"
    ]
    assert row["EndDate"] - row["CreateDate"] <= timedelta(minutes=15)
    tags = {tag["Key"] for tag in row["Tags"]}
    assert {"gpustation", "gpustation:hold-of", "gpustation:generation"} < tags
    ec2.cancel_capacity_reservation(CapacityReservationId=left.reservation_id)


@pytest.mark.tier("all")
def test_a_quota_is_not_a_full_zone(aws: LocalAws, verb: Verb, stopped: Holds) -> None:
    aws.control.set_quota(G_QUOTA, 0)
    ran = verb("start", "--yes", "--move")
    assert ran.status == NO_CAPACITY
    assert "gpustation quota request g4dn.xlarge" in ran.err
    assert (ran.rows, stopped.rows) == ([], [])


@pytest.mark.tier("all")
def test_without_an_app_it_cannot_be_moved(
    verb: Verb, stopped: Holds, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody is asked what cannot be done."""
    terminal = Terminal(["y"])
    monkeypatch.setattr("sys.stdin", terminal)
    ran = verb("start")
    assert ran.status == NO_CAPACITY
    assert "cannot be moved from here: there is no cdk.json in" in ran.err
    assert terminal.lines == []


def test_it_waits_for_room(
    aws: LocalAws, verb: Verb, stopped: Holds, monkeypatch: pytest.MonkeyPatch
) -> None:
    def paused(number: int) -> None:
        if number == 2:
            aws.control.set_capacity(None, True)

    monkeypatch.setattr(patience, "time", Pauses(paused))
    ran = verb("start", "--yes", "--wait", "2h")
    assert ran.status == 0
    assert len([line for line in ran.out.splitlines() if line.startswith("attempt ")]) == 2
    assert stopped.rows == []


@pytest.mark.tier("all")
def test_it_ends_waiting_at_the_deadline(
    verb: Verb, stopped: Holds, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(patience, "time", Pauses())
    ran = verb("start", "--yes", "--wait", "5m")
    assert ran.status == NO_CAPACITY
    assert "attempts in 5 minutes" in ran.err
    assert "there is room for this machine in" in ran.err, "then the other zones are asked"


@pytest.mark.tier("all")
def test_ctrl_c_ends_the_wait(verb: Verb, stopped: Holds, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(patience, "time", Pauses(lambda _: signal.raise_signal(signal.SIGINT)))
    ran = verb("start", "--yes", "--wait", "2h")
    assert ran.status == 128 + signal.SIGINT
    assert ran.err.endswith("start: interrupted\n")
    assert state(verb) == "stopped"


@pytest.mark.parametrize("time_", ["2", "25h", "0m", "soon"])
def test_a_time_has_the_form_of_keep_awake(verb: Verb, time_: str) -> None:
    ran = verb("start", "--wait", time_)
    assert ran.status == USAGE
    assert "is not a time such as 8h or 90m, at most 24h" in ran.err


@pytest.mark.tier("all")
def test_a_machine_is_not_started_while_it_may_be_replaced(
    aws: LocalAws, deployed: Stack, verb: Verb, stopped: Holds
) -> None:
    """By a deploy that a command began which is gone: it would delete what is written now."""
    from tests.support.assembly import assemble

    aws.control.set_capacity(None, True)
    aws.control.machine_silent(True)
    wanted = assemble(generation=2)
    wanted.publish(aws)
    update = threading.Thread(target=deployed.deploy, args=("update_stack", wanted.template))
    update.start()
    try:
        deadline = time.monotonic() + 60
        while not verb("status").out.count("UPDATE_IN_PROGRESS"):
            assert time.monotonic() < deadline
        ran = verb("start", "--yes")
        assert ran.status == FINDING
        assert "CloudFormation works on GpuWorkstation (UPDATE_IN_PROGRESS)" in ran.err
    finally:
        aws.client("cloudformation").cancel_update_stack(StackName=deployed.name)
        update.join()
        aws.control.reset()
