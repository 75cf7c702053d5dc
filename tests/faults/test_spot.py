"""Spot machines from their creation to a destroy in each of their states.

Only CloudFormation on an EC2 whose spot requests live on shows that no request and no machine is
left: a persistent request whose machine is terminated launches another one (VeriorPies/
MineCloud#69, hashicorp/terraform-provider-aws#38142).
"""

from __future__ import annotations

from typing import Any

import boto3
import pytest

from gpustation.leftovers import find_leftovers
from gpustation.leftovers.removal import remover, taken
from localaws import LocalAws
from tests.faults.conftest import MakeStack
from tests.faults.holds import Holds, machine
from tests.faults.outcome import assert_no_machine_runs, launches
from tests.support.assembly import WORKSTATION, assemble
from tests.support.probe_stack import G_QUOTA, Stack

CHOICE = "Generation1ImageChoice092B6F83"
REQUEST = "Generation1SpotRequestFF63AF26"
SPOT_QUOTA = "L-3819A6DF"
ALIVE = ("open", "active", "disabled")


def create(aws: LocalAws, stack: MakeStack, **settings: Any) -> tuple[Stack, str]:
    assembly = assemble(**settings)
    assembly.publish(aws)
    made = stack()
    return made, made.deploy("create_stack", assembly.template)


def created(aws: LocalAws, stack: MakeStack, **settings: Any) -> Stack:
    made, status = create(aws, stack, **settings)
    failed = [row for row in made.events() if row[1].endswith("FAILED")]
    assert status == "CREATE_COMPLETE", failed
    return made


def requests(aws: LocalAws) -> list[dict[str, Any]]:
    """The spot requests that have, or may launch, a machine."""
    rows = aws.client("ec2").describe_spot_instance_requests()["SpotInstanceRequests"]
    return [row for row in rows if row["State"] in ALIVE]


@pytest.fixture
def spot(aws: LocalAws) -> LocalAws:
    aws.control.set_quota(SPOT_QUOTA, 8)
    aws.control.set_quota(G_QUOTA, 0)
    return aws


@pytest.fixture
def person(spot: LocalAws, monkeypatch: pytest.MonkeyPatch) -> boto3.session.Session:
    """Whoever runs `gpustation leftovers`."""
    for name, value in spot.exports.items():
        monkeypatch.setenv(name, value)
    return boto3.session.Session()


def test_a_spot_machine_is_one(
    spot: LocalAws, stack: MakeStack, holds: Holds, person: boto3.session.Session
) -> None:
    """No on-demand quota, no hold; the request carries the stack's name alone."""
    made = created(spot, stack, spot=True)
    row = machine(made, assemble().machine)
    assert row["InstanceLifecycle"] == "spot"
    (request,) = requests(spot)
    assert request["SpotInstanceRequestId"] == row["SpotInstanceRequestId"]
    assert (request["Type"], request["InstanceInterruptionBehavior"]) == ("persistent", "stop")
    assert request["ValidUntil"].year == 2099
    tags = {tag["Key"]: tag["Value"] for tag in request["Tags"]}
    assert tags["gpustation"] == WORKSTATION
    assert not holds.rows
    assert made.outputs()["Capacity"].startswith("spot in us-east-1")
    assert SPOT_QUOTA in made.outputs()["Quota"]
    assert find_leftovers(person).left == (), "no stack lists a request, and this one is in use"


@pytest.mark.rows_in_make_test(1)
@pytest.mark.parametrize("state", ["interrupted", "stopped", "running"])
def test_a_destroy_leaves_no_request_and_no_machine(
    spot: LocalAws, stack: MakeStack, state: str
) -> None:
    made = created(spot, stack, spot=True)
    instance_id = made.physical_id(assemble().machine)
    ec2 = spot.client("ec2")
    if state == "stopped":
        ec2.stop_instances(InstanceIds=[instance_id])
        ec2.get_waiter("instance_stopped").wait(InstanceIds=[instance_id])
        spot.control.advance(10)
    elif state == "interrupted":
        spot.control.interrupt(instance_id)
        spot.control.advance(121)
    assert made.delete() == "DELETE_COMPLETE", made.events()
    assert requests(spot) == []
    spot.control.advance(3600)
    assert requests(spot) == []
    assert_no_machine_runs(spot)


@pytest.mark.tier("all")
def test_a_request_that_cannot_be_cancelled_is_told_and_removed_by_leftovers(
    spot: LocalAws, stack: MakeStack, person: boto3.session.Session
) -> None:
    """The deletion goes on: the machine ends, another one comes, and the function is gone."""
    made = created(spot, stack, spot=True)
    first, before = made.physical_id(assemble().machine), launches(spot)
    spot.control.fault("CancelSpotInstanceRequests", "forbid")
    assert made.delete() == "DELETE_FAILED"
    text = made.reason(REQUEST)
    assert "the machine's spot request was not cancelled" in text
    assert "gpustation leftovers --region us-east-1" in text
    assert f"--stack-name {made.name} --retain-resources {REQUEST}" in text
    (request,) = requests(spot)
    assert request["InstanceId"] != first
    assert launches(spot) == before + 1
    spot.control.fault("CancelSpotInstanceRequests", None)
    found = find_leftovers(person).left
    assert [row.kind for row in found[:3]] == ["spot request", "instance", "stack"]
    assert taken(found[:2]) == [*found[:2]]
    for row in found[:3]:
        remover(person)(row)
    assert made.describe()["StackStatus"] == "DELETE_COMPLETE"
    assert launches(spot) == before + 1


@pytest.mark.tier("all")
@pytest.mark.parametrize("step", ["launch", "later"])
def test_a_creation_that_fails_leaves_no_request(
    spot: LocalAws, stack: MakeStack, step: str
) -> None:
    if step == "launch":
        spot.control.set_capacity(None, False, use="spot")
        failing = assemble().machine
    else:
        spot.control.resource_fault("create", REQUEST, "not today")
        failing = REQUEST
    made, status = create(spot, stack, spot=True)
    assert status == "ROLLBACK_COMPLETE"
    assert made.reason(failing)
    assert requests(spot) == []
    spot.control.reset()
    spot.control.advance(3600)
    assert requests(spot) == []
    assert_no_machine_runs(spot)


@pytest.mark.tier("all")
def test_the_zone_with_the_best_score_is_taken(spot: LocalAws, stack: MakeStack) -> None:
    spot.control.set_placement_score("us-east-1c", 9)
    made = created(spot, stack, spot=True)
    row = machine(made, assemble().machine)
    assert row["Placement"]["AvailabilityZone"] == "us-east-1c"
    assert "spot in us-east-1c: placement score 9" in made.outputs()["Capacity"]


@pytest.mark.tier("all")
def test_denied_scores_do_not_matter(spot: LocalAws, stack: MakeStack) -> None:
    """Organizations often deny them."""
    spot.control.fault("GetSpotPlacementScores", "forbid")
    assert "spot in" in created(spot, stack, spot=True).outputs()["Capacity"]


@pytest.mark.tier("all")
def test_the_spot_quota_decides(aws: LocalAws, stack: MakeStack) -> None:
    aws.control.set_quota(SPOT_QUOTA, 3)
    aws.control.set_quota(G_QUOTA, 64)
    made, status = create(aws, stack, spot=True)
    assert status == "ROLLBACK_COMPLETE"
    text = made.reason("QuotaCheckB2735ED9")
    assert "g4dn.xlarge needs 4 vCPUs, 3 free" in text
    assert f"--quota-code {SPOT_QUOTA}" in text


@pytest.mark.tier("all")
def test_preferred_and_possible_it_is_spot(spot: LocalAws, stack: MakeStack, holds: Holds) -> None:
    spot.control.set_quota(G_QUOTA, 64)
    made = created(spot, stack, spot="prefer")
    assert machine(made, assemble().machine)["InstanceLifecycle"] == "spot"
    assert made.outputs()["Capacity"].startswith("spot in us-east-1")
    assert not holds.rows
    assert made.delete() == "DELETE_COMPLETE"
    assert requests(spot) == []


def test_preferred_without_quota_it_is_on_demand_and_held(
    aws: LocalAws, stack: MakeStack, holds: Holds
) -> None:
    aws.control.set_quota(SPOT_QUOTA, 0)
    aws.control.set_quota(G_QUOTA, 64)
    made = created(aws, stack, spot="prefer")
    assert "InstanceLifecycle" not in machine(made, assemble().machine)
    text = made.outputs()["Capacity"]
    assert text.startswith(f"on-demand, because the spot quota {SPOT_QUOTA} has 0 of 4 vCPUs free")
    assert "has room" in text
    assert [row.state for row in holds.rows] == ["cancelled"]
    assert requests(aws) == []


@pytest.mark.tier("all")
def test_preferred_it_stays_what_it_was(aws: LocalAws, stack: MakeStack) -> None:
    """Decided once, at the creation: another deploy with another quota changes nothing."""
    aws.control.set_quota(SPOT_QUOTA, 0)
    aws.control.set_quota(G_QUOTA, 64)
    made = created(aws, stack, spot="prefer")
    before = machine(made, assemble().machine)["InstanceId"]
    aws.control.set_quota(SPOT_QUOTA, 64)
    wanted = assemble(spot="prefer", instance_type="g4dn.2xlarge")
    wanted.publish(aws)
    assert made.deploy("update_stack", wanted.template) == "UPDATE_COMPLETE", made.events()
    after = machine(made, assemble().machine)
    assert (after["InstanceId"], after["InstanceType"]) == (before, "g4dn.2xlarge")


@pytest.mark.tier("all")
@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"spot": False}, "spot=false (the machine has true)"),
        ({"spot": "prefer"}, "spot=prefer (the machine has true)"),
        ({"spot": True, "instance_type": "g5.xlarge"}, "instance_type=g5.xlarge (the machine has"),
    ],
)
def test_what_needs_another_machine_is_refused(
    spot: LocalAws, stack: MakeStack, settings: dict[str, Any], words: str
) -> None:
    """A stopped spot machine's type cannot be changed, nor how it was bought."""
    spot.control.set_quota(G_QUOTA, 64)
    made = created(spot, stack, spot=True)
    wanted = assemble(**settings)
    wanted.publish(spot)
    assert made.deploy("update_stack", wanted.template) == "UPDATE_ROLLBACK_COMPLETE"
    assert words in made.reason(CHOICE)
    assert machine(made, assemble().machine)["State"]["Name"] == "running"


@pytest.mark.tier("all")
def test_another_generation_cancels_the_old_request_alone(spot: LocalAws, stack: MakeStack) -> None:
    made = created(spot, stack, spot=True)
    (old,) = requests(spot)
    wanted = assemble(spot=True, generation=2)
    wanted.publish(spot)
    assert made.deploy("update_stack", wanted.template) == "UPDATE_COMPLETE", made.events()
    (new,) = requests(spot)
    assert new["SpotInstanceRequestId"] != old["SpotInstanceRequestId"]
    assert new["State"] == "active"


@pytest.mark.tier("all")
def test_from_on_demand_to_spot_by_another_generation(spot: LocalAws, stack: MakeStack) -> None:
    spot.control.set_quota(G_QUOTA, 64)
    made = created(spot, stack)
    wanted = assemble(spot=True, generation=2)
    wanted.publish(spot)
    assert made.deploy("update_stack", wanted.template) == "UPDATE_COMPLETE", made.events()
    assert len(requests(spot)) == 1
    back = assemble(generation=3)
    back.publish(spot)
    assert made.deploy("update_stack", back.template) == "UPDATE_COMPLETE", made.events()
    assert requests(spot) == []
