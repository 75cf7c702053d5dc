"""What becomes of an instance whose machine powers itself off.

In this process, as a machine without a boot has no power to switch off; the ones that boot stop in
``tests/boot``, and none of this project terminates.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from localaws.account.ec2 import instances as inside
from localaws.account.ec2.images import public_images
from localaws.account.ec2.instance_record import Record
from localaws.account.ec2.instances import Instances
from localaws.account.ec2.launch import Launch
from localaws.account.world import World
from localaws.machines.records import RecordMachines
from tests.support.probe_stack import G_QUOTA

ec2 = inside.ec2
"""The account's EC2, as the embedded AWS has it."""

INSIDE = ("Client.InstanceInitiatedShutdown", "Instance initiated shutdown")


@pytest.fixture
def instances(tmp_path: Path) -> Iterator[Instances]:
    world = World()
    world.applied[G_QUOTA] = 4
    yield Instances(world, RecordMachines(tmp_path, "http://127.0.0.1:9"))
    ec2.reset()


@pytest.fixture
def record(instances: Instances) -> Record:
    """A running instance, as a launch without more makes it: a shutdown stops it."""
    image = next(iter(public_images("us-east-1").values()))
    return instances.launch(Launch(image.image_id, "g4dn.xlarge", next(iter(ec2._subnets))))


def events(instances: Instances) -> list[str]:
    return [event.event for event in instances.world.events]


def test_it_stops_and_keeps_its_disk(instances: Instances, record: Record) -> None:
    instances.follow_shutdown(record["InstanceId"])
    assert (record["State"]["Name"], record["_reason"]) == ("stopped", INSIDE)
    assert [*ec2._volumes]
    assert events(instances) == ["launched", "stopped"]


def test_it_is_terminated_with_its_disk_where_that_is_set(
    instances: Instances, record: Record
) -> None:
    record["_at_shutdown"] = "terminate"
    instances.follow_shutdown(record["InstanceId"])
    assert (record["State"]["Name"], record["_reason"]) == ("terminated", INSIDE)
    assert not [*ec2._volumes]
    assert events(instances) == ["launched", "terminated"]
    again = instances.launch(
        Launch(record["ImageId"], "g4dn.xlarge", record["SubnetId"]),
    )
    assert again["State"]["Name"] == "running", "its vCPUs are free again"
