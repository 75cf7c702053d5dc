"""The volumes of an instance: what a launch asks for, and what becomes of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ministack.services import ec2

from localaws.account.ec2.images import Image
from localaws.account.errors import ApiError

Record = dict[str, Any]
Disk = Mapping[str, Any]


def wanted(image: Image, asked: tuple[Disk, ...]) -> list[dict[str, Any]]:
    """Every volume of the launch: the image's root, changed and joined by what was asked."""
    if image.root_device_type != "ebs":
        return []
    default = {"VolumeType": "gp2", "DeleteOnTermination": True, "Encrypted": False}
    disks = {one["DeviceName"]: {**default, **one["Ebs"]} for one in image.devices()}
    for disk in asked:
        name = disk["DeviceName"]
        if disk.get("NoDevice"):
            disks.pop(name, None)
            continue
        disks[name] = {**default, **disks.get(name, {}), **(disk.get("Ebs") or {})}
    size = int(disks[image.root_device]["VolumeSize"])
    if size < image.size_gib:
        raise ApiError(
            "InvalidBlockDeviceMapping",
            f"Volume of size {size}GB is smaller than snapshot "
            f"'{image.snapshot_id}', expect size>= {image.size_gib}GB",
        )
    return [{"DeviceName": name, **ebs} for name, ebs in disks.items()]


def attach(
    record: Record, image: Image, disks: list[dict[str, Any]], tags: tuple[Mapping[str, str], ...]
) -> None:
    """Volumes as asked, in the place of the one that ministack makes for every instance."""
    template = ec2._volumes.pop(record["BlockDeviceMappings"][0]["Ebs"]["VolumeId"])
    record["RootDeviceName"] = image.root_device
    record["RootDeviceType"] = image.root_device_type
    record["BlockDeviceMappings"] = []
    for disk in disks:
        volume, keep = ec2._new_volume_id(), is_true(disk["DeleteOnTermination"])
        attachment = {**template["Attachments"][0], "VolumeId": volume}
        attachment |= {"Device": disk["DeviceName"], "DeleteOnTermination": keep}
        ec2._volumes[volume] = {
            **template,
            "VolumeId": volume,
            "Size": int(disk["VolumeSize"]),
            "VolumeType": disk["VolumeType"],
            "Encrypted": is_true(disk["Encrypted"]),
            "SnapshotId": disk.get("SnapshotId", ""),
            "AvailabilityZone": record["Placement"]["AvailabilityZone"],
            "Attachments": [attachment],
        }
        if tags:
            ec2._tags[volume] = [dict(tag) for tag in tags]
        ebs = {"VolumeId": volume, "Status": "attached", "DeleteOnTermination": keep}
        ebs["AttachTime"] = attachment["AttachTime"]
        record["BlockDeviceMappings"].append({"DeviceName": disk["DeviceName"], "Ebs": ebs})


def attach_later(instances: Any, asked: Mapping[str, Any]) -> Any:
    """AttachVolume; ministack does not tell the instance."""
    record = instances.get(ec2._p(asked, "InstanceId"))
    answer = ec2._attach_volume(asked)
    for volume in (ec2._volumes.get(ec2._p(asked, "VolumeId")) or {}).get("Attachments", []):
        kept = {k: volume[k] for k in ("VolumeId", "AttachTime", "DeleteOnTermination")}
        disk = {"DeviceName": volume["Device"], "Ebs": {**kept, "Status": "attached"}}
        record["BlockDeviceMappings"].append(disk)
    return answer


def release(record: Record) -> None:
    """After termination: volumes go, or stay behind unattached."""
    for device in record["BlockDeviceMappings"]:
        volume = device["Ebs"]["VolumeId"]
        if device["Ebs"]["DeleteOnTermination"]:
            ec2._volumes.pop(volume, None)
            ec2._tags.pop(volume, None)
        else:
            ec2._volumes[volume] |= {"State": "available", "Attachments": []}


def is_true(value: Any) -> bool:
    """A boolean of a template or of a form, where it may be text."""
    return str(value).lower() == "true"
