"""Which leftovers --delete takes, and that it goes on with what does not depend on a fault."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from botocore.exceptions import ClientError
from leftovers_account import NOW, OURS, WrittenAccount, leftovers, search, stack

from gpustation.leftovers.removal import Outcome, delete_all, taken
from gpustation.leftovers.result import Leftover, NotChecked, Result
from gpustation.leftovers.steps import Step

STACK_ID = "arn:aws:cloudformation:us-east-1:123456789012:stack/GpuWorkstation/9"
FORMATION = [
    {"Key": "aws:cloudformation:stack-id", "Value": STACK_ID},
    {"Key": "aws:cloudformation:stack-name", "Value": "GpuWorkstation"},
]


def volume(tags: list[dict[str, str]], name: str = "vol-1") -> dict[str, Any]:
    return {
        "VolumeId": name,
        "Size": 8,
        "VolumeType": "gp3",
        "State": "available",
        "CreateTime": NOW,
        "Tags": tags,
    }


def found(tags: list[dict[str, str]], **answers: Any) -> Leftover:
    account = WrittenAccount({"describe_volumes": [volume(tags)], **answers})
    (row,) = leftovers(search(account), "volume")
    return row


def deleted(name: str = "GpuWorkstation", **more: Any) -> dict[str, Any]:
    return stack(name, "DELETE_COMPLETE", DeletionTime=NOW, **more)


def test_our_tag_counts_only_with_a_deleted_stack_of_its_name() -> None:
    assert found(OURS).proof == ""
    assert found(OURS, list_stacks=[deleted("GpuWorkstation-anna")]).proof == ""
    row = found(OURS, list_stacks=[deleted()])
    assert row.proof.startswith("tag gpustation=GpuWorkstation, and arn:aws:cloudformation")
    assert row.obstacle == ""


def test_our_tag_does_not_count_if_the_stack_has_come_back() -> None:
    here = stack("GpuWorkstation", "CREATE_COMPLETE", 2)
    row = found(OURS, list_stacks=[deleted()], describe_stacks=[here])
    assert (row.proof, taken([row])) == ("", [])


def test_our_tag_does_not_count_on_what_was_made_after_the_stack_ended() -> None:
    from datetime import timedelta

    ended = {**deleted(), "DeletionTime": NOW - timedelta(days=1)}
    assert found(OURS, list_stacks=[ended]).proof == ""


def test_cloudformations_own_tag_counts() -> None:
    assert found([*OURS, *FORMATION]).proof == f"tag aws:cloudformation:stack-id={STACK_ID}"


ROW = Leftover(
    kind="volume",
    id="vol-1",
    region="us-east-1",
    created=NOW,
    usd_per_month=1.0,
    cost="8 GiB",
    ours="tag",
    removal="aws ec2 delete-volume --volume-id vol-1",
    proof="tag",
    steps=(Step("ec2 delete-volume", "us-east-1", {"volume_id": "vol-1"}),),
    mentions='{"VolumeId": "vol-1"}',
)


@pytest.mark.parametrize(
    ("change", "obstacle"),
    [
        ({"doubt": "not proven to be ours"}, "not proven"),
        ({"stays": "a person saved it"}, "a person saved it"),
        ({"proof": ""}, "no tag proves"),
        ({"steps": (Step("iam delete-role", "", {"role_name": "-x"}),)}, "special meaning"),
        ({"steps": ()}, "special meaning"),
    ],
)
def test_what_is_not_taken(change: dict[str, Any], obstacle: str) -> None:
    row = replace(ROW, **change)
    assert obstacle in row.obstacle
    assert taken([row, ROW]) == [ROW]


class World:
    """Leftovers that can be read again and removed, some with a fault."""

    def __init__(self, *rows: Leftover, refused: str = "") -> None:
        self.rows = {row.id: row for row in rows}
        self.refused = refused
        self.removed: list[str] = []
        self.not_checked: tuple[NotChecked, ...] = ()

    def again(self, row: Leftover) -> Result:
        now = self.rows.get(row.id)
        return Result("", "us-east-1", (now,) if now else (), self.not_checked)

    def remove(self, row: Leftover) -> None:
        if row.id == self.refused:
            message = {"Error": {"Code": "UnauthorizedOperation", "Message": "no"}}
            raise ClientError(message, "DeleteVolume")  # type: ignore[arg-type]
        self.removed.append(row.id)

    def delete(self, *rows: Leftover) -> dict[str, str]:
        told: list[Outcome] = []
        outcomes = delete_all(rows, self.again, self.remove, told.append)
        assert told == outcomes
        return {outcome.row.id: outcome.state for outcome in outcomes}


def named(name: str, mentions: str = "", **more: Any) -> Leftover:
    return replace(ROW, id=name, mentions=mentions or f'"{name}"', **more)


MACHINE = named("i-1", '{"InstanceId": "i-1", "SubnetId": "subnet-1", "Groups": ["sg-1"]}')
GROUP = named("sg-1", '{"GroupId": "sg-1", "VpcId": "vpc-1"}')
VPC = named("vpc-1")
KEY = named("key-1")


def test_all_are_deleted_in_their_order() -> None:
    world = World(MACHINE, GROUP, VPC, KEY)
    assert {*world.delete(MACHINE, GROUP, VPC, KEY).values()} == {"deleted"}
    assert world.removed == ["i-1", "sg-1", "vpc-1", "key-1"]


def test_after_a_fault_it_goes_on_with_what_does_not_depend_on_it() -> None:
    world = World(MACHINE, GROUP, VPC, KEY, refused="i-1")
    states = world.delete(MACHINE, GROUP, VPC, KEY)
    assert states == {"i-1": "failed", "sg-1": "skipped", "vpc-1": "skipped", "key-1": "deleted"}
    assert world.removed == ["key-1"]


def test_each_is_read_again_right_before() -> None:
    used = replace(GROUP, doubt="in use by i-2, which is not left")
    world = World(MACHINE, used)
    states = world.delete(MACHINE, GROUP, VPC)
    assert states == {"i-1": "deleted", "sg-1": "skipped", "vpc-1": "skipped"}
    assert world.removed == ["i-1"]
    assert World().delete(KEY) == {"key-1": "gone"}


def test_the_steps_are_those_of_the_second_reading() -> None:
    steps: list[tuple[Step, ...]] = []
    newer = replace(KEY, steps=(Step("ec2 delete-key-pair", "us-east-1", {"key_pair_id": "k"}),))
    world = World(newer)
    delete_all([KEY], world.again, lambda row: steps.append(row.steps), lambda _: None)
    assert steps == [newer.steps]


def test_what_cannot_be_read_again_is_left() -> None:
    world = World()
    world.not_checked = (NotChecked("ec2:DescribeVolumes", "us-east-1", "denied"),)
    assert world.delete(KEY) == {"key-1": "skipped"}
