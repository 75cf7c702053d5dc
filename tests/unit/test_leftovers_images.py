"""Images and snapshots in every state: only what is whole stays on purpose."""

from __future__ import annotations

from typing import Any

import botocore.session
import pytest
from leftovers_account import OURS, Row, WrittenAccount, leftovers, search

from gpustation.leftovers.result import Leftover

SAVED = [*OURS, {"Key": "gpustation:saved-from", "Value": "i-1"}]


def states(shape: str) -> list[str]:
    model = botocore.session.get_session().get_service_model("ec2")
    return list(model.shape_for(shape).enum)  # type: ignore[attr-defined]


def image(name: str = "ami-1", snapshot: str = "snap-1", **more: Any) -> Row:
    disks = [{"DeviceName": "/dev/sda1", "Ebs": {"SnapshotId": snapshot}}, {"VirtualName": "e0"}]
    made = {"ImageId": name, "State": "available", "CreationDate": "2026-11-20T10:00:00.000Z"}
    return {**made, "BlockDeviceMappings": disks, **more}


def snapshot(**more: Any) -> Row:
    return {"SnapshotId": "snap-1", "State": "completed", "VolumeSize": 8, **more}


def rows(images: list[Row], *snapshots: Row) -> dict[str, Leftover]:
    answers = {"describe_images": images, "describe_snapshots": [*snapshots]}
    found = leftovers(search(WrittenAccount(answers)), "image", "snapshot")
    return {row.id: row for row in found}


@pytest.mark.parametrize("state", states("ImageState"))
def test_only_a_whole_image_stays_on_purpose(state: str) -> None:
    found = rows([image(State=state, Tags=SAVED)], snapshot(Tags=SAVED))
    if state == "deregistered":
        assert set(found) == {"snap-1"}
        assert (found["snap-1"].stays, found["snap-1"].doubt) == ("", "")
        return
    ami, snap = found["ami-1"], found["snap-1"]
    whole = state in ("available", "disabled")
    assert bool(ami.stays) == bool(snap.stays) == whole
    being_made = state in ("pending", "transient")
    assert ("still being created" in ami.doubt) == being_made
    assert ami.removal.startswith("# still being created" if being_made else "aws ec2 deregister")
    assert (f"its state is {state}" in ami.ours) == (not whole and not being_made)


@pytest.mark.parametrize("state", states("SnapshotState"))
def test_only_a_whole_snapshot_stays_on_purpose(state: str) -> None:
    snap = rows([image(Tags=SAVED)], snapshot(State=state, Tags=SAVED))["snap-1"]
    assert bool(snap.stays) == (state == "completed")
    assert ("still being created" in snap.doubt) == (state == "pending")
    assert (f"its state is {state}" in snap.ours) == (state not in ("completed", "pending"))


def test_snapshot_of_a_left_image_goes_with_it_unless_another_image_needs_it() -> None:
    left = image(Tags=OURS)
    assert rows([left], snapshot())["snap-1"].doubt == ""
    shared = rows([left, image("ami-2")], snapshot())["snap-1"]
    assert shared.doubt == "needed by the image ami-2, which is not left"
    assert shared.removal.startswith("# needed by the image ami-2")
    kept = rows([left, image("ami-2", Tags=SAVED)], snapshot())["snap-1"]
    assert "a person saved it" in kept.stays


def test_image_that_only_points_to_us_is_not_offered_and_neither_is_its_snapshot() -> None:
    described = [{"Key": "gpustation:framework", "Value": "mxnet"}]
    found = rows([image(Tags=described)], snapshot())
    assert {row.doubt for row in found.values()} == {"not proven to be ours"}
    assert rows([image()], snapshot()) == {}
