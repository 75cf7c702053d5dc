"""Zones with and without room: where the machine is, what a person reads, and what is billed.

Each row of what may go wrong between the hold and the launch. Only CloudFormation on an EC2 with
zones that are full shows that there are never two machines and no hold is left. What EC2 does with
a reservation is as AWS documents it; that a machine in a hold is counted once is not documented,
see tests/localaws/test_capacity_reservations.py.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from localaws import LocalAws
from tests.faults.conftest import MakeStack
from tests.faults.outcome import assert_no_machine_runs, launches, remove
from tests.support.assembly import WORKSTATION, assemble
from tests.support.probe_stack import G_QUOTA, Stack

CHOICE = "Generation1ImageChoice092B6F83"
RELEASE = "Generation1CapacityRelease57525E3F"
FULL = "InsufficientInstanceCapacity"
OPEN, TARGETED = "open", "targeted"
ZONES = tuple(f"us-east-1{letter}" for letter in "abcdef")


def full_but(aws: LocalAws, *zones: str) -> None:
    """No zone has room for anything, but these."""
    aws.control.set_capacity(None, False)
    for zone in zones:
        aws.control.set_capacity(None, True, zone=zone)


class Holds:
    """The reservations that were made since it was made."""

    def __init__(self, aws: LocalAws) -> None:
        self._aws = aws
        self._known = {row.reservation_id for row in aws.control.reservations()}

    @property
    def rows(self) -> list[Any]:
        rows = self._aws.control.reservations()
        return [row for row in rows if row.reservation_id not in self._known]

    def made(self) -> list[tuple[str, str]]:
        """How each was made, and whether it is over."""
        return [(row.match, row.state) for row in self.rows]

    def assert_over(self) -> None:
        assert all(row.state != "active" for row in self.rows), self.rows


@pytest.fixture
def holds(aws: LocalAws) -> Iterator[Holds]:
    """The test's reservations; at its end none may be left."""
    holds = Holds(aws)
    yield holds
    holds.assert_over()


def create(
    aws: LocalAws, stack: MakeStack, name: str = WORKSTATION, **settings: Any
) -> tuple[Stack, str]:
    assembly = assemble(**settings)
    assembly.publish(aws)
    made = stack(name)
    return made, made.deploy("create_stack", assembly.template)


def created(aws: LocalAws, stack: MakeStack, **settings: Any) -> Stack:
    made, status = create(aws, stack, **settings)
    assert status == "CREATE_COMPLETE", made.events()
    return made


def refusal(aws: LocalAws, stack: MakeStack, logical_id: str = CHOICE, **settings: Any) -> str:
    made, status = create(aws, stack, **settings)
    assert status == "ROLLBACK_COMPLETE"
    assert_no_machine_runs(aws)
    return made.reason(logical_id)


def machine(stack: Stack, logical_id: str = "") -> dict[str, Any]:
    ids = [stack.physical_id(logical_id or assemble().machine)]
    answer = stack.aws.client("ec2").describe_instances(InstanceIds=ids)
    return dict(answer["Reservations"][0]["Instances"][0])


def test_the_zone_that_has_room_is_found(aws: LocalAws, stack: MakeStack, holds: Holds) -> None:
    aws.control.set_quota(G_QUOTA, 64)
    full_but(aws, "us-east-1d")
    made = created(aws, stack)
    assert machine(made)["Placement"]["AvailabilityZone"] == "us-east-1d"
    text = made.outputs()["Capacity"]
    assert text.startswith("us-east-1d has room")
    assert holds.made() == [(OPEN, "cancelled")]
    (hold,) = holds.rows
    assert machine(made)["InstanceId"] in hold.instances or hold.total == 1


def test_the_machine_is_launched_into_the_hold(
    aws: LocalAws, stack: MakeStack, holds: Holds
) -> None:
    """Right after the hold the zone is full for everybody else: only the hold lets it in."""
    aws.control.set_quota(G_QUOTA, 64)
    aws.control.set_capacity(None, False, use="launch")
    made = created(aws, stack)
    assert machine(made)["State"]["Name"] == "running"
    assert holds.made() == [(OPEN, "cancelled")]


def test_no_zone_has_room(aws: LocalAws, stack: MakeStack, holds: Holds) -> None:
    full_but(aws)
    before = launches(aws)
    lines = refusal(aws, stack).splitlines()
    assert lines[0].endswith("no zone of us-east-1 has room for a g4dn.xlarge now:")
    offering = [line.partition(":")[0] for line in lines[1:-1]]
    assert len(offering) >= 3
    assert all(line.endswith(f": {FULL}") for line in lines[1:-1])
    assert "gpustation regions g4dn.xlarge" in lines[-1]
    assert launches(aws) == before
    assert not holds.rows


def test_a_pinned_zone_has_none(aws: LocalAws, stack: MakeStack, holds: Holds) -> None:
    full_but(aws, "us-east-1c")
    text = refusal(aws, stack, availability_zone="us-east-1a")
    assert "availability_zone=us-east-1a has no room for a g4dn.xlarge now:" in text
    assert "There is room in us-east-1c: set availability_zone to one of these" in text
    assert holds.made() == [(TARGETED, "cancelled")]


def test_a_quota_for_exactly_one(aws: LocalAws, stack: MakeStack, holds: Holds) -> None:
    aws.control.set_quota(G_QUOTA, 4)
    made = created(aws, stack)
    assert machine(made)["State"]["Name"] == "running"
    assert holds.made() == [(TARGETED, "cancelled")]


def test_a_quota_that_is_used_up_meanwhile(aws: LocalAws, stack: MakeStack, holds: Holds) -> None:
    """With quota=warn the check lets the deploy go on, as it does before others use it up."""
    aws.control.set_quota(G_QUOTA, 3)
    text = refusal(aws, stack, quota="warn")
    assert "the quota was used up since it was checked: g4dn.xlarge needs 4 vCPUs" in text
    assert not holds.rows


def test_another_machine_takes_the_open_slot(aws: LocalAws, stack: MakeStack, holds: Holds) -> None:
    aws.control.set_quota(G_QUOTA, 64)
    aws.control.take_slots()
    made = created(aws, stack)
    assert machine(made)["State"]["Name"] == "running"


@pytest.mark.parametrize("limit", [64, 4], ids=["hold", "probe"])
def test_the_room_is_gone_at_the_launch(
    aws: LocalAws, stack: MakeStack, holds: Holds, limit: int
) -> None:
    """Another machine takes the slot, or the room after a probe: EC2's own message is shown."""
    aws.control.set_quota(G_QUOTA, limit)
    aws.control.take_slots()
    aws.control.set_capacity(None, False, use="launch")
    assert FULL in refusal(aws, stack, assemble().machine)
    holds.assert_over()


def test_the_answer_is_lost_after_the_hold_was_made(
    aws: LocalAws, stack: MakeStack, holds: Holds
) -> None:
    aws.control.set_quota(G_QUOTA, 64)
    aws.control.fault("CreateCapacityReservation", "lost", times=1)
    made = created(aws, stack)
    assert "has room" in made.outputs()["Capacity"]
    assert holds.made() == [(OPEN, "cancelled")]


@pytest.mark.tier("all")
def test_every_answer_is_lost(aws: LocalAws, stack: MakeStack, holds: Holds) -> None:
    aws.control.set_quota(G_QUOTA, 64)
    aws.control.fault("CreateCapacityReservation", "lost", times=2)
    made = created(aws, stack)
    assert made.outputs()["Capacity"].startswith("not checked in ")
    assert holds.made() == [(OPEN, "cancelled")]


def test_a_launch_that_fails_leaves_no_hold(aws: LocalAws, stack: MakeStack, holds: Holds) -> None:
    aws.control.set_quota(G_QUOTA, 64)
    aws.control.resource_fault("create", assemble().machine, "not today")
    assert "not today" in refusal(aws, stack, assemble().machine)
    assert holds.made() == [(OPEN, "cancelled")]


def test_a_failure_without_rollback_ends_by_the_end_date(
    aws: LocalAws, stack: MakeStack, holds: Holds
) -> None:
    aws.control.set_quota(G_QUOTA, 64)
    aws.control.resource_fault("create", assemble().machine, "not today")
    assemble().publish(aws)
    made = stack()
    assert made.deploy("create_stack", assemble().template, DisableRollback=True) == "CREATE_FAILED"
    assert holds.made() == [(OPEN, "active")]
    aws.control.reset()
    assert made.delete() == "DELETE_COMPLETE"
    assert holds.made() == [(OPEN, "cancelled")]


def test_a_destroy_has_nothing_to_release(aws: LocalAws, stack: MakeStack, holds: Holds) -> None:
    made = created(aws, stack)
    before = holds.made()
    assert made.delete() == "DELETE_COMPLETE"
    assert holds.made() == before


@pytest.mark.parametrize("kind", ["forbid", "unsupported"])
def test_a_policy_or_a_type_that_forbids_it(
    aws: LocalAws, stack: MakeStack, holds: Holds, kind: Any
) -> None:
    aws.control.fault("CreateCapacityReservation", kind)
    made = created(aws, stack)
    assert made.outputs()["Capacity"].startswith("not checked")
    assert machine(made)["State"]["Name"] == "running"
    assert not holds.rows


@pytest.mark.tier("all")
@pytest.mark.parametrize("kind", ["deny", "throttle"])
def test_a_permission_that_is_missing_or_throttling(
    aws: LocalAws, stack: MakeStack, holds: Holds, kind: Any
) -> None:
    """Each is retried for a while in real time, 20 and 45 s, and then does not fail the deploy."""
    aws.control.fault("CreateCapacityReservation", kind)
    made = created(aws, stack)
    assert made.outputs()["Capacity"].startswith("not checked in ")


def test_a_hold_that_ec2_does_not_list_yet_is_released(
    aws: LocalAws, stack: MakeStack, holds: Holds
) -> None:
    aws.control.set_quota(G_QUOTA, 64)
    aws.control.late_reservations(300)
    created(aws, stack)
    assert holds.made() == [(OPEN, "cancelled")]


def test_the_setting_turns_it_off(aws: LocalAws, stack: MakeStack, holds: Holds) -> None:
    aws.control.set_capacity(None, False, use="reservation")
    made = created(aws, stack, capacity_check=False)
    assert made.outputs()["Capacity"] == "not checked: capacity_check is false"
    assert not holds.rows


def test_three_stacks_at_once(aws: LocalAws, stack: MakeStack, holds: Holds) -> None:
    """Each brings a slot of its own; slots may be exchanged, their number is right."""
    aws.control.set_quota(G_QUOTA, 64)
    aws.control.set_capacity(None, False, use="launch")
    full_but(aws, "us-east-1b")
    aws.control.set_capacity(None, False, zone="us-east-1b", use="launch")
    names = ["a", "b", "c"]
    for name in names:
        assemble(name=name).publish(aws)
    stacks = [stack(f"{WORKSTATION}-{name}") for name in names]

    def deploy(number: int) -> str:
        return stacks[number].deploy("create_stack", assemble(name=names[number]).template)

    with ThreadPoolExecutor(3) as pool:
        statuses = list(pool.map(deploy, range(3)))
    assert statuses == ["CREATE_COMPLETE"] * 3, [made.events() for made in stacks]
    assert launches(aws) >= 3
    holds.assert_over()


@pytest.fixture(scope="module")
def running(server: LocalAws) -> Iterator[Stack]:
    """One workstation whose type is changed."""
    server.control.reset()
    server.control.set_quota(G_QUOTA, 8)
    assemble().publish(server)
    made = Stack(server, f"{WORKSTATION}-types")
    assert made.deploy("create_stack", assemble(name="types").template) == "CREATE_COMPLETE"
    yield made
    server.control.reset()
    remove(made)


class TestAnotherType:
    """The machine is a g4dn.xlarge again after each test, and was never replaced."""

    @pytest.fixture(autouse=True)
    def back(self, aws: LocalAws, running: Stack, holds: Holds) -> Iterator[None]:
        before = machine(running)["InstanceId"]
        yield
        aws.control.reset()
        aws.control.set_quota(G_QUOTA, 64)
        running.restore(assemble(name="types").template)
        assert machine(running)["InstanceId"] == before
        assert machine(running)["InstanceType"] == "g4dn.xlarge"

    def change(self, aws: LocalAws, running: Stack, instance_type: str = "g5.xlarge") -> str:
        wanted = assemble(name="types", instance_type=instance_type)
        wanted.publish(aws)
        return running.deploy("update_stack", wanted.template)

    def test_is_held_before_the_machine_is_stopped(
        self, aws: LocalAws, running: Stack, holds: Holds
    ) -> None:
        """The zone is full for the start: only the hold lets the machine in again."""
        aws.control.set_quota(G_QUOTA, 64)
        aws.control.set_capacity("g5.xlarge", False, use="launch")
        assert self.change(aws, running) == "UPDATE_COMPLETE", running.events()
        assert machine(running)["InstanceType"] == "g5.xlarge"
        assert holds.made() == [(OPEN, "cancelled")]
        assert "has room" in running.outputs()["Capacity"]

    def test_without_room_the_machine_runs_on(
        self, aws: LocalAws, running: Stack, holds: Holds
    ) -> None:
        aws.control.set_capacity("g5.xlarge", False)
        stops = [event for event in aws.control.history() if event.event == "stopped"]
        assert self.change(aws, running) == "UPDATE_ROLLBACK_COMPLETE"
        assert "runs on as g4dn.xlarge" in running.reason(CHOICE)
        assert machine(running)["State"]["Name"] == "running"
        assert stops == [event for event in aws.control.history() if event.event == "stopped"]

    def test_without_quota_beside_it_the_change_works_as_before(
        self, aws: LocalAws, running: Stack, holds: Holds
    ) -> None:
        aws.control.set_quota(G_QUOTA, 4)
        assert self.change(aws, running) == "UPDATE_COMPLETE"
        assert "no room beside the running machine" in running.outputs()["Capacity"]
        assert not holds.rows

    def test_a_rollback_asks_nothing(self, aws: LocalAws, running: Stack, holds: Holds) -> None:
        """Room for the old type is gone for reservations: a question would wedge the stack."""
        aws.control.set_quota(G_QUOTA, 64)
        aws.control.resource_fault("update", RELEASE, "not today", times=1)
        aws.control.set_capacity("g4dn.xlarge", False, use="reservation")
        assert self.change(aws, running) == "UPDATE_ROLLBACK_COMPLETE", running.events()
        assert machine(running)["InstanceType"] == "g4dn.xlarge"
        holds.assert_over()

    @pytest.mark.parametrize("limit", [8, 64], ids=["probe", "hold"])
    def test_another_generation_beside_it(
        self, aws: LocalAws, stack: MakeStack, holds: Holds, limit: int
    ) -> None:
        """A running machine of the same zone and type takes an open hold, which proves nothing."""
        aws.control.set_quota(G_QUOTA, limit + 4)
        full_but(aws, "us-east-1b")
        made = created(aws, stack, name="two")
        wanted = assemble(name="two", generation=2)
        wanted.publish(aws)
        assert made.deploy("update_stack", wanted.template) == "UPDATE_COMPLETE", made.events()
        holds.assert_over()
        assert holds.made()[-1] == (TARGETED, "cancelled")
