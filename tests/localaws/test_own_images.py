"""Images of the account's own instances, and their snapshots."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from localaws import LocalAws
from tests.support.probe_stack import UBUNTU

WRITES = """#!/bin/bash
mkdir -p "$GPUSTATION_ROOT/etc"
echo "$INSTANCE_ID" >> "$GPUSTATION_ROOT/etc/ids"
"""
ROOT = {
    "DeviceName": "/dev/sda1",
    "Ebs": {"VolumeSize": 64, "VolumeType": "gp3", "Encrypted": True},
}
TAG = {"Key": "gpustation", "Value": "saved"}


@pytest.fixture
def ec2(aws: LocalAws) -> Any:
    return aws.client("ec2")


def launch(aws: LocalAws, image: str | None = None, **more: Any) -> str:
    image = image or aws.client("ssm").get_parameter(Name=UBUNTU)["Parameter"]["Value"]
    asked = {"ImageId": image, "InstanceType": "g4dn.xlarge", "MinCount": 1, "MaxCount": 1}
    answer = aws.client("ec2").run_instances(**asked, **more)
    instance_id = str(answer["Instances"][0]["InstanceId"])
    assert aws.control.machine_idle(instance_id)
    return instance_id


@pytest.fixture
def box(aws: LocalAws, ec2: Any) -> Iterator[str]:
    """A running instance; nothing of it, nor of images made in the test, stays."""
    made = launch(aws, UserData=WRITES, BlockDeviceMappings=[ROOT])
    yield made
    ec2.terminate_instances(InstanceIds=[made])
    for image in ec2.describe_images(Owners=["self"])["Images"]:
        ec2.deregister_image(ImageId=image["ImageId"])
    for snapshot in ec2.describe_snapshots(OwnerIds=["self"])["Snapshots"]:
        ec2.delete_snapshot(SnapshotId=snapshot["SnapshotId"])


def saved(ec2: Any, instance_id: str, name: str = "my machine", **more: Any) -> str:
    made = str(ec2.create_image(InstanceId=instance_id, Name=name, **more)["ImageId"])
    ec2.get_waiter("image_available").wait(ImageIds=[made], WaiterConfig={"Delay": 1})
    return made


def snapshot_of(ec2: Any, image_id: str) -> str:
    (image,) = ec2.describe_images(ImageIds=[image_id])["Images"]
    return str(image["BlockDeviceMappings"][0]["Ebs"]["SnapshotId"])


def test_image_has_the_disk_a_snapshot_and_tags(ec2: Any, box: str, aws: LocalAws) -> None:
    tags = [{"ResourceType": kind, "Tags": [TAG]} for kind in ("image", "snapshot")]
    made = saved(ec2, box, Description="with D2L", TagSpecifications=tags)
    (image,) = ec2.describe_images(Owners=["self"])["Images"]
    assert (image["ImageId"], image["State"], image["Public"]) == (made, "available", False)
    assert (image["OwnerId"], image["SourceInstanceId"]) == (aws.account, box)
    assert (image["Description"], image["Tags"]) == ("with D2L", [TAG])
    (root,) = image["BlockDeviceMappings"]
    ebs = root["Ebs"]
    assert (ebs["VolumeSize"], ebs["VolumeType"], ebs["Encrypted"]) == (64, "gp3", True)
    (snapshot,) = ec2.describe_snapshots(SnapshotIds=[ebs["SnapshotId"]])["Snapshots"]
    assert (snapshot["State"], snapshot["VolumeSize"]) == ("completed", 64)
    assert (snapshot["Tags"], snapshot["Encrypted"]) == ([TAG], True)
    kinds = [(row.kind, row.id) for row in aws.inventory()]
    assert {("image", made), ("snapshot", ebs["SnapshotId"])} <= {*kinds}


def test_image_is_pending_first_and_then_nothing_starts_from_it(
    ec2: Any, box: str, aws: LocalAws
) -> None:
    made = ec2.create_image(InstanceId=box, Name="too early")["ImageId"]
    with pytest.raises(ClientError, match=r"InvalidAMIID\.Unavailable"):
        launch(aws, made)
    ec2.get_waiter("image_available").wait(ImageIds=[made], WaiterConfig={"Delay": 1})
    assert [e.event for e in aws.control.history(box)] == ["launched"]


def test_machine_from_the_image_has_its_files_and_is_another(
    ec2: Any, box: str, aws: LocalAws
) -> None:
    made = saved(ec2, box)
    assert Path(aws.control.image_root(made), "etc/ids").read_text().split() == [box]
    second = launch(aws, made, UserData=WRITES)
    ids = Path(aws.control.machine_root(second), "etc/ids").read_text().split()
    assert ids == [box, second]
    (row,) = ec2.describe_instances(InstanceIds=[second])["Reservations"][0]["Instances"]
    volume = row["BlockDeviceMappings"][0]["Ebs"]["VolumeId"]
    (disk,) = ec2.describe_volumes(VolumeIds=[volume])["Volumes"]
    assert (disk["Size"], disk["VolumeType"], disk["Encrypted"]) == (64, "gp3", True)
    assert disk["SnapshotId"] == snapshot_of(ec2, made)
    small = [{"DeviceName": "/dev/sda1", "Ebs": {"VolumeSize": 63}}]
    with pytest.raises(ClientError, match="expect size>= 64GB"):
        launch(aws, made, BlockDeviceMappings=small)
    ec2.deregister_image(ImageId=made)
    assert Path(aws.control.machine_root(second), "etc/ids").exists()
    ec2.terminate_instances(InstanceIds=[second])


DATA = {"DeviceName": "/dev/sdf", "Ebs": {"VolumeSize": 9, "DeleteOnTermination": False}}


def test_a_volume_of_the_launch_or_attached_later_is_in_the_image_unless_left_out(
    ec2: Any, aws: LocalAws
) -> None:
    others = aws.inventory()  # of the account, which is shared
    made = launch(aws, BlockDeviceMappings=[ROOT, DATA])
    zone = ec2.describe_instances(InstanceIds=[made])["Reservations"][0]["Instances"][0]
    zone = zone["Placement"]["AvailabilityZone"]
    volume = ec2.create_volume(AvailabilityZone=zone, Size=7)["VolumeId"]
    ec2.attach_volume(VolumeId=volume, InstanceId=made, Device="/dev/sdg")
    try:
        whole = saved(ec2, made, "whole")
        part = saved(
            *(ec2, made, "part"),
            BlockDeviceMappings=[
                {"DeviceName": "/dev/sdf", "NoDevice": ""},
                {"DeviceName": "/dev/sdg", "Ebs": {"DeleteOnTermination": True}},
            ],
        )
        shown = {
            image["ImageId"]: {
                one["DeviceName"]: (one["Ebs"]["VolumeSize"], one["Ebs"]["DeleteOnTermination"])
                for one in image["BlockDeviceMappings"]
            }
            for image in ec2.describe_images(Owners=["self"])["Images"]
        }
        root = {"/dev/sda1": (64, True)}
        assert shown[whole] == {**root, "/dev/sdf": (9, False), "/dev/sdg": (7, False)}
        assert shown[part] == {**root, "/dev/sdg": (7, True)}
        left_out = [{"DeviceName": "/dev/sdg", "NoDevice": ""}]
        second = launch(aws, part, BlockDeviceMappings=left_out)
        (row,) = ec2.describe_instances(InstanceIds=[second])["Reservations"][0]["Instances"]
        assert [one["DeviceName"] for one in row["BlockDeviceMappings"]] == ["/dev/sda1"]
        ec2.terminate_instances(InstanceIds=[second])
    finally:
        ec2.terminate_instances(InstanceIds=[made])
        for image in ec2.describe_images(Owners=["self"])["Images"]:
            ec2.deregister_image(ImageId=image["ImageId"], DeleteAssociatedSnapshots=True)
        for row in ec2.describe_volumes()["Volumes"]:
            ec2.delete_volume(VolumeId=row["VolumeId"])
    assert aws.inventory() == others


def test_ec2_may_contradict_itself_for_a_while(ec2: Any, box: str, aws: LocalAws) -> None:
    made = saved(ec2, box)
    snapshot = snapshot_of(ec2, made)
    refusals = {
        "DescribeImages": (lambda: ec2.describe_images(ImageIds=[made]), "InvalidAMIID.NotFound"),
        "DescribeSnapshots": (
            lambda: ec2.describe_snapshots(SnapshotIds=[snapshot]),
            "InvalidSnapshot.NotFound",
        ),
        "DeregisterImage": (
            lambda: ec2.deregister_image(ImageId=made),
            "InvalidAMIID.NotFound",
        ),
        "DeleteSnapshot": (
            lambda: ec2.delete_snapshot(SnapshotId=snapshot),
            "InvalidSnapshot.InUse",
        ),
    }
    for operation, (call, code) in refusals.items():
        aws.control.fault(operation, "unsettled", times=2)
        for _ in range(2):
            with pytest.raises(ClientError, match=re.escape(code)):
                call()
        call()


def test_stopped_instance_can_be_saved(ec2: Any, box: str) -> None:
    ec2.stop_instances(InstanceIds=[box])
    assert saved(ec2, box, NoReboot=True)


def test_images_are_found_by_owner_state_and_tag(ec2: Any, box: str) -> None:
    made = saved(ec2, box)
    ec2.create_tags(Resources=[made, snapshot_of(ec2, made)], Tags=[TAG])
    filters = [
        {"Name": "tag:gpustation", "Values": ["sav*"]},
        {"Name": "state", "Values": ["available"]},
        {"Name": "name", "Values": ["my *"]},
        {"Name": "is-public", "Values": ["false"]},
    ]
    (image,) = ec2.describe_images(Filters=filters)["Images"]
    assert image["ImageId"] == made
    assert made not in [i["ImageId"] for i in ec2.describe_images(Owners=["amazon"])["Images"]]
    assert len(ec2.describe_images()["Images"]) > 1
    filters = [{"Name": "tag:gpustation", "Values": ["saved"]}]
    assert len(ec2.describe_snapshots(Filters=filters)["Snapshots"]) == 1
    for text, count in ((f"* for {made}*", 1), ("* for ami-0ddd*", 0), (made, 0)):
        filters = [{"Name": "description", "Values": [text]}]
        assert len(ec2.describe_snapshots(Filters=filters)["Snapshots"]) == count
    with pytest.raises(ClientError, match="The filter 'colour' is invalid"):
        ec2.describe_snapshots(Filters=[{"Name": "colour", "Values": ["red"]}])


def test_snapshot_goes_after_its_image_or_with_it(ec2: Any, box: str) -> None:
    first, second = saved(ec2, box), saved(ec2, box, "another")
    kept = snapshot_of(ec2, first)
    with pytest.raises(ClientError, match=rf"InvalidSnapshot\.InUse.*in use by {first}"):
        ec2.delete_snapshot(SnapshotId=kept)
    ec2.deregister_image(ImageId=first)
    ec2.delete_snapshot(SnapshotId=kept)
    gone = snapshot_of(ec2, second)
    answer = ec2.deregister_image(ImageId=second, DeleteAssociatedSnapshots=True)
    assert answer["DeleteSnapshotResults"] == [{"SnapshotId": gone, "ReturnCode": "success"}]
    for snapshot in (kept, gone):
        with pytest.raises(ClientError, match=r"InvalidSnapshot\.NotFound"):
            ec2.describe_snapshots(SnapshotIds=[snapshot])


def test_fails_when_ec2_would_refuse(ec2: Any, box: str, aws: LocalAws) -> None:
    made = saved(ec2, box)
    public = aws.client("ssm").get_parameter(Name=UBUNTU)["Parameter"]["Value"]
    none, no_snapshot = "ami-0dddddddddddddddd", "snap-0dddddddddddddddd"
    refused = [
        ("InvalidAMIName.Duplicate", lambda: ec2.create_image(InstanceId=box, Name="my machine")),
        ("InvalidAMIName.Malformed", lambda: ec2.create_image(InstanceId=box, Name="?!*")),
        ("InvalidInstanceID", lambda: ec2.create_image(InstanceId="i-0ddd", Name="abc")),
        ("InvalidAMIID.NotFound", lambda: ec2.deregister_image(ImageId=none)),
        ("InvalidAMIID.NotFound", lambda: ec2.create_tags(Resources=[none], Tags=[TAG])),
        ("AuthFailure", lambda: ec2.deregister_image(ImageId=public)),
        ("InvalidSnapshot.NotFound", lambda: ec2.delete_snapshot(SnapshotId=no_snapshot)),
        ("InvalidSnapshot.NotFound", lambda: ec2.create_tags(Resources=[no_snapshot], Tags=[TAG])),
    ]
    for code, call in refused:
        with pytest.raises(ClientError, match=code):
            call()
    ec2.deregister_image(ImageId=made)
    for call in (lambda: ec2.deregister_image(ImageId=made), lambda: launch(aws, made)):
        with pytest.raises(ClientError, match=r"InvalidAMIID\.Unavailable"):
            call()
    with pytest.raises(ClientError, match=r"InvalidAMIID\.NotFound"):
        ec2.describe_images(ImageIds=[made])
