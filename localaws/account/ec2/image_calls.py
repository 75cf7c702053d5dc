"""EC2's calls about images and snapshots, the account's own beside the public ones."""

from __future__ import annotations

from typing import Any

from ministack.core.responses import get_account_id
from ministack.services import ec2

from localaws.account.ec2 import wire
from localaws.account.ec2.images import AMAZON
from localaws.account.ec2.instances import Instances
from localaws.account.ec2.own_images import ImageRequest
from localaws.account.ec2.request import Parameters, disks, filtered, one, passes, tags
from localaws.account.errors import ApiError

IMAGE_FILTERS = {
    "architecture": "Architecture",
    "creation-date": "CreationDate",
    "description": "Description",
    "image-id": "ImageId",
    "image-type": "ImageType",
    "is-public": "Public",
    "name": "Name",
    "owner-id": "OwnerId",
    "root-device-name": "RootDeviceName",
    "root-device-type": "RootDeviceType",
    "source-instance-id": "SourceInstanceId",
    "state": "State",
    "virtualization-type": "VirtualizationType",
}
SNAPSHOT_FILTERS = {
    "description": "Description",
    "encrypted": "Encrypted",
    "owner-id": "OwnerId",
    "progress": "Progress",
    "snapshot-id": "SnapshotId",
    "start-time": "StartTime",
    "status": "State",
    "storage-tier": "StorageTier",
    "volume-id": "VolumeId",
    "volume-size": "VolumeSize",
}
"""What ministack filters by, without wildcards; it ignores every other name."""
TAGS = ("tag:", "tag-key", "tag-value")


def create(instances: Instances, asked: Parameters) -> wire.Answer:
    """CreateImage; the image is pending in the answer's moment."""
    record = instances.get(one(asked, "InstanceId"))
    if record["State"]["Name"] not in ("running", "stopped"):
        raise ApiError(
            "IncorrectState",
            f"The instance '{record['InstanceId']}' is not in a state from which it can be "
            f"imaged: {record['State']['Name']}",
        )
    if record["RootDeviceType"] != "ebs":
        raise ApiError(
            "InvalidParameterValue", "Instance does not have a volume attached at root (null)"
        )
    if not one(asked, "Name"):
        raise ApiError("MissingParameter", "The request must contain the parameter name")
    wanted = ImageRequest(
        name=one(asked, "Name"),
        description=one(asked, "Description"),
        reboot=one(asked, "NoReboot") != "true",
        image_tags=tuple(tags(asked, "image")),
        snapshot_tags=tuple(tags(asked, "snapshot")),
        disks=tuple(disks(asked)),
    )
    return wire.answer("CreateImage", {"ImageId": instances.own.create(record, wanted).image_id})


def deregister(instances: Instances, asked: Parameters) -> wire.Answer:
    """DeregisterImage, with its snapshots where that is asked."""
    image_id, with_snapshots = one(asked, "ImageId"), one(asked, "DeleteAssociatedSnapshots")
    if instances.own.find(image_id) is None and image_id in [
        i.image_id for i in instances.images()
    ]:
        raise ApiError("AuthFailure", f"Not authorized for image:{image_id}", 403)
    results = instances.own.deregister(image_id, with_snapshots == "true")
    return wire.answer("DeregisterImage", {"Return": True, "DeleteSnapshotResults": results})


def describe(instances: Instances, asked: Parameters) -> wire.Answer:
    """DescribeImages: public ones, those of other accounts that a test added, and own ones."""
    names = ec2._parse_member_list(asked, "ImageId")
    owners = set(ec2._parse_member_list(asked, "Owner"))
    owners |= {get_account_id()} if "self" in owners else set()
    owners |= {AMAZON} if "amazon" in owners else set()
    found = [instances.image(name) for name in names] or instances.images()
    rows: list[dict[str, Any]] = [
        {"Description": "", "SourceInstanceId": "", **image.answer()} for image in found
    ]
    rows = [row for row in rows if not owners or row["OwnerId"] in owners]
    filters = ec2._parse_filters(asked)
    rows = [row for row in rows if ec2._resource_matches_tag_filters(row["ImageId"], filters)]
    for row in rows:
        row["Tags"] = ec2._tags.get(row["ImageId"], [])
    return wire.answer("DescribeImages", {"Images": filtered(rows, asked, IMAGE_FILTERS, TAGS)})


def snapshots(_instances: Instances, asked: Parameters) -> wire.Answer:
    """DescribeSnapshots."""
    for name in ec2._parse_filters(asked):
        if name not in SNAPSHOT_FILTERS and not name.startswith(TAGS):
            raise ApiError("InvalidParameterValue", f"The filter '{name}' is invalid")
    found: wire.Answer = ec2._describe_snapshots(asked)
    return found


def snapshot_matches(snapshot: dict[str, Any], filters: dict[str, list[str]]) -> bool:
    """Whether a snapshot passes the filters but for those of tags, with EC2's wildcards."""
    return all(
        passes(snapshot[SNAPSHOT_FILTERS[name]], values)
        for name, values in filters.items()
        if name in SNAPSHOT_FILTERS
    )


def delete_snapshot(instances: Instances, asked: Parameters) -> wire.Answer:
    """DeleteSnapshot, refused while an image needs it."""
    instances.own.delete_snapshot(one(asked, "SnapshotId"))
    found: wire.Answer = ec2._xml(200, "DeleteSnapshotResponse", "<return>true</return>")
    return found


def create_tags(instances: Instances, asked: Parameters) -> wire.Answer:
    """CreateTags; an image or snapshot must exist."""
    for name in ec2._parse_member_list(asked, "ResourceId"):
        if name.startswith("ami-"):
            instances.image(name)
        elif name.startswith("snap-") and name not in ec2._snapshots:
            raise ApiError("InvalidSnapshot.NotFound", f"The snapshot '{name}' does not exist.")
    found: wire.Answer = ec2._create_tags(asked)
    return found
