"""``start``, ``stop`` and ``status`` of a spot machine, against the embedded AWS.

What EC2 does with a request is in its user guide ("Spot request status"). How long it takes to note
a stop, and in which state it refuses a start, is not documented: see tests/localaws.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from gpustation.console.statuses import NO_CAPACITY, TIMED_OUT
from gpustation.workstation import patience, spot_state
from localaws import LocalAws
from tests.cli.conftest import Pauses, Verb, deploy
from tests.support.cdk_cli import delete_stack
from tests.support.probe_stack import G_QUOTA, Stack

SPOT_QUOTA = "L-3819A6DF"


@pytest.fixture(autouse=True)
def no_app(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder without a cdk.json."""
    monkeypatch.chdir(tmp_path)


@pytest.fixture(scope="module")
def spot(server: LocalAws) -> Iterator[Stack]:
    server.control.reset()
    server.control.set_quota(SPOT_QUOTA, 8)
    stack = deploy(server, "GpuWorkstation-spot", name="spot", spot=True)
    yield stack
    server.control.reset()
    delete_stack(server, stack.name)


@pytest.fixture(autouse=True)
def quota(aws: LocalAws) -> None:
    aws.control.set_quota(SPOT_QUOTA, 8)


@pytest.fixture
def runs(aws: LocalAws, spot: Stack, verb: Verb) -> str:
    """Id of the machine, which a person has started."""
    machine = spot.outputs()["InstanceId"]
    if one(verb)["spot_request"]["interrupted"]:
        aws.control.resume_spot(machine)
    assert verb("start", "--yes", "--name", "spot").status == 0
    return machine


def one(verb: Verb) -> Any:
    (found,) = verb("status", "--json", "--name", "spot").document["workstations"]
    return found


def test_status_says_how_it_is_bought(verb: Verb, runs: str) -> None:
    found = one(verb)
    assert found["machine"]["lifecycle"] == "spot"
    assert found["spot_request"]["state"] == "active"
    assert found["spot_request"]["interrupted"] is False
    facts = dict(verb("status", "--name", "spot").rows)
    assert facts["bought"].startswith("spot, request sir-")
    assert facts["bought"].endswith("is active (fulfilled)")
    assert facts["price"].startswith("at most ")


def test_a_start_after_a_stop_waits_for_the_request(
    aws: LocalAws, verb: Verb, runs: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """How long EC2 takes is not documented; here, two seconds."""
    monkeypatch.setattr(spot_state, "POLL_SECONDS", 0.2)
    aws.control.spot_delays(stop=2)
    ran = verb("stop", "--yes", "--name", "spot")
    assert ran.status == 0
    assert "Next: gpustation start" in ran.out
    ran = verb("start", "--yes", "--name", "spot")
    assert ran.status == 0
    assert "EC2 has not noted the stop yet: spot request sir-" in ran.out
    assert "(marked-for-stop)" in ran.out


@pytest.mark.tier("all")
def test_it_is_not_waited_for_longer_than_two_minutes(
    aws: LocalAws, verb: Verb, runs: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(spot_state, "SETTLE_SECONDS", 1.0)
    monkeypatch.setattr(spot_state, "POLL_SECONDS", 0.2)
    aws.control.spot_delays(stop=600)
    verb("stop", "--yes", "--name", "spot")
    ran = verb("start", "--yes", "--name", "spot")
    assert ran.status == TIMED_OUT
    assert "is active (marked-for-stop) after 1 s" in ran.err
    aws.control.advance(601)


@pytest.mark.tier("all")
def test_without_the_right_to_read_the_request_it_starts_too(
    aws: LocalAws, verb: Verb, runs: str
) -> None:
    verb("stop", "--yes", "--name", "spot")
    aws.control.fault("DescribeSpotInstanceRequests", "deny")
    found = one(verb)
    assert found["spot_request"] is None
    assert "permission is missing" in found["spot_unknown"]
    ran = verb("start", "--yes", "--name", "spot")
    assert ran.status == 0
    assert "the state of the spot request is not known" in ran.out


def test_one_that_ec2_interrupted_is_not_started_by_a_person(
    aws: LocalAws, verb: Verb, runs: str
) -> None:
    aws.control.interrupt(runs, 0)
    found = one(verb)
    assert found["spot_request"]["interrupted"] is True
    assert found["spot_request"]["status"] == "instance-stopped-no-capacity"
    facts = dict(verb("status", "--name", "spot").rows)
    assert facts["bought"].startswith("spot, INTERRUPTED BY EC2 since 20")
    ran = verb("start", "--yes", "--name", "spot")
    assert ran.status == NO_CAPACITY
    assert "EC2 interrupted this spot machine since 20" in ran.err
    assert "only EC2 can start it again" in ran.err
    stopped = verb("stop", "--yes", "--name", "spot")
    assert stopped.status == 0
    assert "starts it again when it has the capacity" in stopped.out


@pytest.mark.tier("all")
def test_waiting_is_for_ec2_to_start_it(
    aws: LocalAws, verb: Verb, runs: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    aws.control.interrupt(runs, 0)
    monkeypatch.setattr(patience, "time", Pauses(lambda _: resume(aws, runs)))
    ran = verb("start", "--yes", "--wait", "2h", "--name", "spot")
    assert ran.status == 0
    assert one(verb)["machine"]["state"] == "running"


def resume(aws: LocalAws, machine: str) -> None:
    aws.control.resume_spot(machine)


@pytest.mark.tier("all")
def test_a_full_spot_market_is_no_full_zone(aws: LocalAws, verb: Verb, runs: str) -> None:
    """All zones are asked for on-demand room, its own too."""
    verb("stop", "--yes", "--name", "spot")
    time.sleep(1.1)  # until the request knows of the stop
    aws.control.set_capacity(None, False, use="spot")
    aws.control.set_quota(G_QUOTA, 12)
    ran = verb("start", "--yes", "--name", "spot")
    assert ran.status == NO_CAPACITY
    assert "has no spot capacity for a g4dn.xlarge" in ran.err
    assert "there is room for this on-demand machine in" in ran.err
    zone = one(verb)["machine"]["availability_zone"]
    assert [zone, "room", "-"] in ran.rows
