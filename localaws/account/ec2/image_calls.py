"""EC2's calls about images and snapshots, both public and of the account."""

from __future__ import annotations

from typing import Any

from ministack.core.responses import get_account_id
from ministack.services import ec2

from localaws.account.ec2 import wire
from localaws.account.ec2.images import AMAZON
from localaws.account.ec2.instances import Instances
from localaws.account.ec2.own_images import ImageRequest
from localaws.account.ec2.request import Parameters, disks, filtered, passes, tags, value
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
"""Member of a snapshot that a filter compares; upstream these filters have no wildcards."""
TAGS = ("tag:", "tag-key", "tag-value")


def create(instances: Instances, request: Parameters) -> wire.Response:
    """CreateImage, which ministack lacks; the image is pending when the response is sent."""
    record = instances.get(value(request, "InstanceId"))
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
    if not value(request, "Name"):
        raise ApiError("MissingParameter", "The request must contain the parameter name")
    image_request = ImageRequest(
        name=value(request, "Name"),
        description=value(request, "Description"),
        reboot=value(request, "NoReboot") != "true",
        image_tags=tuple(tags(request, "image")),
        snapshot_tags=tuple(tags(request, "snapshot")),
        disks=tuple(disks(request)),
    )
    return wire.response(
        "CreateImage", {"ImageId": instances.own.create(record, image_request).image_id}
    )


def deregister(instances: Instances, request: Parameters) -> wire.Response:
    """DeregisterImage, with DeleteAssociatedSnapshots."""
    image_id, with_snapshots = (
        value(request, "ImageId"),
        value(request, "DeleteAssociatedSnapshots"),
    )
    if instances.own.find(image_id) is None and image_id in [
        i.image_id for i in instances.images()
    ]:
        raise ApiError("AuthFailure", f"Not authorized for image:{image_id}", 403)
    results = instances.own.deregister(image_id, with_snapshots == "true")
    return wire.response("DeregisterImage", {"Return": True, "DeleteSnapshotResults": results})


def describe(instances: Instances, request: Parameters) -> wire.Response:
    """DescribeImages: public images, images of other accounts that a test added, and own ones."""
    names = ec2._parse_member_list(request, "ImageId")
    owners = set(ec2._parse_member_list(request, "Owner"))
    owners |= {get_account_id()} if "self" in owners else set()
    owners |= {AMAZON} if "amazon" in owners else set()
    images = [instances.image(name) for name in names] or instances.images()
    rows: list[dict[str, Any]] = [
        {"Description": "", "SourceInstanceId": "", **image.description_row()} for image in images
    ]
    rows = [row for row in rows if not owners or row["OwnerId"] in owners]
    filters = ec2._parse_filters(request)
    rows = [row for row in rows if ec2._resource_matches_tag_filters(row["ImageId"], filters)]
    for row in rows:
        row["Tags"] = ec2._tags.get(row["ImageId"], [])
    return wire.response("DescribeImages", {"Images": filtered(rows, request, IMAGE_FILTERS, TAGS)})


def snapshots(_instances: Instances, request: Parameters) -> wire.Response:
    """DescribeSnapshots."""
    for name in ec2._parse_filters(request):
        if name not in SNAPSHOT_FILTERS and not name.startswith(TAGS):
            raise ApiError("InvalidParameterValue", f"The filter '{name}' is invalid")
    response: wire.Response = ec2._describe_snapshots(request)
    return response


def snapshot_matches(snapshot: dict[str, Any], filters: dict[str, list[str]]) -> bool:
    """Whether a snapshot passes all filters except those of tags, with EC2's wildcards."""
    return all(
        passes(snapshot[SNAPSHOT_FILTERS[name]], values)
        for name, values in filters.items()
        if name in SNAPSHOT_FILTERS
    )


def delete_snapshot(instances: Instances, request: Parameters) -> wire.Response:
    """DeleteSnapshot; upstream it deletes a snapshot that an image needs."""
    instances.own.delete_snapshot(value(request, "SnapshotId"))
    response: wire.Response = ec2._xml(200, "DeleteSnapshotResponse", "<return>true</return>")
    return response


def create_tags(instances: Instances, request: Parameters) -> wire.Response:
    """CreateTags; upstream it tags images and snapshots that do not exist."""
    for name in ec2._parse_member_list(request, "ResourceId"):
        if name.startswith("ami-"):
            instances.image(name)
        elif name.startswith("snap-") and name not in ec2._snapshots:
            raise ApiError("InvalidSnapshot.NotFound", f"The snapshot '{name}' does not exist.")
    response: wire.Response = ec2._create_tags(request)
    return response
