"""The copy of a stopped disk after a move that ended half-way: used, waited for, or made anew."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import Any

import pytest

from gpustation.catalog.names import LAST_START_TAG, SAVED_TAG, started_text
from gpustation.console import interrupts
from gpustation.move.copies import make_copy
from gpustation.saved_image import make as making
from gpustation.saved_image import remove as removing
from gpustation.saved_image.make import Workstation
from gpustation.workstation.machine import Machine, read_machine
from tests.unit.fake_ec2 import IMAGE, MACHINE, FakeEc2

SETTINGS = {"framework": "mxnet", "driver_kind": "open", "generation": 1}
STARTED = datetime(2026, 11, 28, 21, 31, tzinfo=timezone.utc)


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Waits take no time here; the list has them."""
    waits: list[float] = []

    class Clock:
        @staticmethod
        def monotonic() -> float:
            return sum(waits)

        @staticmethod
        def sleep(seconds: float) -> None:
            waits.append(seconds)

    for module in (making, removing, interrupts):
        monkeypatch.setattr(module, "time", Clock)
    return waits


def stopped(started: datetime = STARTED) -> Machine:
    described: Any = {
        "InstanceId": MACHINE,
        "InstanceType": "g4dn.xlarge",
        "State": {"Name": "stopped"},
        "Placement": {"AvailabilityZone": "us-east-1a"},
        "LaunchTime": started,
    }
    return read_machine(described)


def with_copy(state: str, pending: int = 0) -> FakeEc2:
    """An account in which an earlier move made a copy."""
    ec2 = FakeEc2(pending=pending)
    tags = {SAVED_TAG: MACHINE, LAST_START_TAG: started_text(STARTED)}
    ec2.images[IMAGE] = {
        "ImageId": IMAGE,
        "Name": "an earlier move",
        "State": state,
        "Tags": [{"Key": key, "Value": value} for key, value in tags.items()],
    }
    return ec2


def copied(ec2: FakeEc2, lines: list[str], machine: Machine | None = None) -> str:
    saved = Workstation("Mine", MACHINE, SETTINGS)
    return make_copy(ec2.client, saved, machine or stopped(), lines.append, 10)


def test_one_that_is_there_is_used() -> None:
    ec2 = with_copy("available")
    lines: list[str] = []
    assert copied(ec2, lines) == IMAGE
    assert lines == [f"{IMAGE} is a copy of the disk already"]
    assert ec2.calls == ["DescribeImages"]


def test_one_that_is_still_being_made_is_waited_for(clock: list[float]) -> None:
    """As after a power cut while the disk was copied: no second copy is made, and billed."""
    ec2 = with_copy("pending", pending=3)
    lines: list[str] = []
    assert copied(ec2, lines) == IMAGE
    assert lines[0] == f"waiting for {IMAGE}"
    assert sum(clock) == 30
    assert "CreateImage" not in ec2.calls


@pytest.mark.parametrize(
    ("state", "later", "words"),
    [
        ("failed", 0, f"{IMAGE} is failed and not used"),
        ("available", 1, f"{IMAGE} is older than the disk and not used"),
        ("pending", 1, f"{IMAGE} is older than the disk and not used"),
    ],
)
def test_one_without_everything_on_the_disk_is_named_and_not_used(
    state: str, later: int, words: str
) -> None:
    ec2 = with_copy(state)
    lines: list[str] = []
    started = STARTED + timedelta(hours=later)
    copied(ec2, lines, stopped(started))
    assert lines[0] == f"{words}; gpustation image undo {IMAGE}"
    assert ec2.calls.count("CreateImage") == 1
    tags = {tag["Key"]: tag["Value"] for tag in ec2.request["TagSpecifications"][0]["Tags"]}
    assert tags[LAST_START_TAG] == started_text(started)
    assert tags[SAVED_TAG] == MACHINE
