"""Zones with and without room: where the machine is, what a person reads, and what is billed.

Each row of what may go wrong between the hold and the launch. Only CloudFormation on an EC2 with
zones that are full shows that there are never two machines and no hold is left. What EC2 does with
a reservation is as AWS documents it; that a machine in a hold is counted once is not documented,
see tests/localaws/test_capacity_reservations.py.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from localaws import LocalAws
from tests.faults.conftest import MakeStack
from tests.faults.holds import OPEN, TARGETED, Holds, machine
from tests.faults.outcome import assert_no_machine_runs, launches
from tests.support.assembly import WORKSTATION, assemble
from tests.support.probe_stack import G_QUOTA, Stack

CHOICE = "Generation1ImageChoice092B6F83"
FULL = "InsufficientInstanceCapacity"


def full_but(aws: LocalAws, *zones: str) -> None:
    """No zone has room for anything, but these."""
    aws.control.set_capacity(None, False)
    for zone in zones:
        aws.control.set_capacity(None, True, zone=zone)


def create(
    aws: LocalAws, stack: MakeStack, name: str = WORKSTATION, **settings: Any
) -> tuple[Stack, str]:
    assembly = assemble(**settings)
    assembly.publish(aws)
    made = stack(name)
    return made, made.deploy("create_stack", assembly.template)


def created(aws: LocalAws, stack: MakeStack, **settings: Any) -> Stack:
    made, status = create(aws, stack, **settings)
    failed = [row for row in made.events() if row[1].endswith("FAILED")]
    assert status == "CREATE_COMPLETE", failed
    return made


def refusal(aws: LocalAws, stack: MakeStack, logical_id: str = CHOICE, **settings: Any) -> str:
    made, status = create(aws, stack, **settings)
    assert status == "ROLLBACK_COMPLETE"
    assert_no_machine_runs(aws)
    return made.reason(logical_id)


def test_the_zone_that_has_room_is_found(aws: LocalAws, stack: MakeStack, holds: Holds) -> None:
    aws.control.set_quota(G_QUOTA, 64)
    full_but(aws, "us-east-1d")
    made = created(aws, stack)
    assert machine(made, assemble().machine)["Placement"]["AvailabilityZone"] == "us-east-1d"
    text = made.outputs()["Capacity"]
    assert text.startswith("us-east-1d has room")
    assert holds.made() == [(OPEN, "cancelled")]
    (hold,) = holds.rows
    assert machine(made, assemble().machine)["InstanceId"] in hold.instances or hold.total == 1


def test_the_machine_is_launched_into_the_hold(
    aws: LocalAws, stack: MakeStack, holds: Holds
) -> None:
    """Right after the hold the zone is full for everybody else: only the hold lets it in."""
    aws.control.set_quota(G_QUOTA, 64)
    aws.control.set_capacity(None, False, use="launch")
    made = created(aws, stack)
    assert machine(made, assemble().machine)["State"]["Name"] == "running"
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


@pytest.mark.tier("all")
def test_a_pinned_zone_has_none(aws: LocalAws, stack: MakeStack, holds: Holds) -> None:
    full_but(aws, "us-east-1c")
    text = refusal(aws, stack, availability_zone="us-east-1a")
    assert "availability_zone=us-east-1a has no room for a g4dn.xlarge now:" in text
    assert "There is room in us-east-1c: set availability_zone to one of these" in text
    assert holds.made() == [(TARGETED, "cancelled")]


def test_a_quota_for_exactly_one(aws: LocalAws, stack: MakeStack, holds: Holds) -> None:
    aws.control.set_quota(G_QUOTA, 4)
    made = created(aws, stack)
    assert machine(made, assemble().machine)["State"]["Name"] == "running"
    assert holds.made() == [(TARGETED, "cancelled")]


@pytest.mark.tier("all")
def test_a_quota_that_is_used_up_meanwhile(aws: LocalAws, stack: MakeStack, holds: Holds) -> None:
    """With quota=warn the check lets the deploy go on, as it does before others use it up."""
    aws.control.set_quota(G_QUOTA, 3)
    text = refusal(aws, stack, quota="warn")
    assert "the quota was used up since it was checked: g4dn.xlarge needs 4 vCPUs" in text
    assert not holds.rows


@pytest.mark.tier("all")
def test_another_machine_takes_the_open_slot(aws: LocalAws, stack: MakeStack, holds: Holds) -> None:
    aws.control.set_quota(G_QUOTA, 64)
    aws.control.take_slots()
    made = created(aws, stack)
    assert machine(made, assemble().machine)["State"]["Name"] == "running"


@pytest.mark.tier("all")
@pytest.mark.parametrize("limit", [64, 4], ids=["hold", "probe"])
def test_the_room_is_gone_at_the_launch(
    aws: LocalAws, stack: MakeStack, holds: Holds, limit: int
) -> None:
    """Another machine takes the slot, or the room after a probe: EC2's own message is shown."""
    aws.control.set_quota(G_QUOTA, limit)
    aws.control.take_slots()
    aws.control.set_capacity(None, False, use="launch")
    assert "not have sufficient g4dn.xlarge capacity" in refusal(aws, stack, assemble().machine)
    holds.assert_over()


@pytest.mark.tier("all")
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


@pytest.mark.tier("all")
def test_a_failure_without_rollback_ends_by_the_end_date(
    aws: LocalAws, stack: MakeStack, holds: Holds
) -> None:
    aws.control.set_quota(G_QUOTA, 64)
    aws.control.resource_fault("create", assemble().machine, "not today")
    assemble().publish(aws)
    made = stack()
    assert made.deploy("create_stack", assemble().template, DisableRollback=True) == "CREATE_FAILED"
    assert holds.made() == [(OPEN, "active")]
    aws.control.advance(16 * 60)
    assert holds.made() == [(OPEN, "expired")]


@pytest.mark.tier("all")
def test_a_destroy_has_nothing_to_release(aws: LocalAws, stack: MakeStack, holds: Holds) -> None:
    made = created(aws, stack)
    before = holds.made()
    assert made.delete() == "DELETE_COMPLETE"
    assert holds.made() == before


@pytest.mark.tier("all")
@pytest.mark.parametrize("kind", ["forbid", "unsupported"])
def test_a_policy_or_a_type_that_forbids_it(
    aws: LocalAws, stack: MakeStack, holds: Holds, kind: Any
) -> None:
    aws.control.fault("CreateCapacityReservation", kind)
    made = created(aws, stack)
    assert made.outputs()["Capacity"].startswith("not checked")
    assert machine(made, assemble().machine)["State"]["Name"] == "running"
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


@pytest.mark.tier("all")
def test_a_hold_that_ec2_does_not_list_yet_is_released(
    aws: LocalAws, stack: MakeStack, holds: Holds
) -> None:
    aws.control.set_quota(G_QUOTA, 64)
    aws.control.late_reservations(300)
    created(aws, stack)
    assert holds.made() == [(OPEN, "cancelled")]


@pytest.mark.tier("all")
def test_the_setting_turns_it_off(aws: LocalAws, stack: MakeStack, holds: Holds) -> None:
    aws.control.set_capacity(None, False, use="reservation")
    made = created(aws, stack, capacity_check=False)
    assert made.outputs()["Capacity"] == "not checked: capacity_check is false"
    assert not holds.rows


@pytest.mark.tier("all")
def test_three_stacks_at_once(aws: LocalAws, stack: MakeStack, holds: Holds) -> None:
    """Each brings a slot of its own, if no machine that runs already takes it; all end."""
    aws.control.set_quota(G_QUOTA, 64)
    full_but(aws, "us-east-1b")
    names = ["a", "b", "c"]
    for name in names:
        assemble(name=name).publish(aws)
    stacks = [stack(f"{WORKSTATION}-{name}") for name in names]

    def deploy(number: int) -> str:
        return stacks[number].deploy("create_stack", assemble(name=names[number]).template)

    with ThreadPoolExecutor(3) as pool:
        statuses = list(pool.map(deploy, range(3)))
        for made in stacks:  # the fixture expects one alone
            assert made.delete() == "DELETE_COMPLETE"
    failed = [row for made in stacks for row in made.events() if row[1] == "CREATE_FAILED"]
    assert statuses == ["CREATE_COMPLETE"] * 3, failed
    assert [row.match for row in holds.rows].count(OPEN) == 3
    holds.assert_over()


@pytest.mark.tier("all")
@pytest.mark.parametrize("limit", [8, 64], ids=["probe", "hold"])
def test_another_generation_beside_it(
    aws: LocalAws, stack: MakeStack, holds: Holds, limit: int
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
