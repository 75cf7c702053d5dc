"""The volumes of an instance, from its launch to its termination.

Upstream every instance has one volume of 8 GiB, whatever launch and image define.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ministack.services import ec2

from localaws.account.ec2.images import Image
from localaws.account.errors import ApiError

Record = dict[str, Any]
Disk = Mapping[str, Any]


def requested(image: Image, disks: tuple[Disk, ...]) -> list[dict[str, Any]]:
    """All volumes of a launch: those of the image, changed and extended by the requested disks."""
    if image.root_device_type != "ebs":
        return []
    default = {"VolumeType": "gp2", "DeleteOnTermination": True, "Encrypted": False}
    volumes = {row["DeviceName"]: {**default, **row["Ebs"]} for row in image.devices()}
    for disk in disks:
        name = disk["DeviceName"]
        if disk.get("NoDevice"):
            volumes.pop(name, None)
            continue
        volumes[name] = {**default, **volumes.get(name, {}), **(disk.get("Ebs") or {})}
    size = int(volumes[image.root_device]["VolumeSize"])
    if size < image.size_gib:
        raise ApiError(
            "InvalidBlockDeviceMapping",
            f"Volume of size {size}GB is smaller than snapshot "
            f"'{image.snapshot_id}', expect size>= {image.size_gib}GB",
        )
    return [{"DeviceName": name, **ebs} for name, ebs in volumes.items()]


def attach(
    record: Record, image: Image, disks: list[dict[str, Any]], tags: tuple[Mapping[str, str], ...]
) -> None:
    """Replace the one volume that ministack creates for every instance."""
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


def attach_later(instances: Any, request: Mapping[str, Any]) -> Any:
    """AttachVolume; upstream the instance does not show the volume."""
    record = instances.get(ec2._p(request, "InstanceId"))
    response = ec2._attach_volume(request)
    for volume in (ec2._volumes.get(ec2._p(request, "VolumeId")) or {}).get("Attachments", []):
        kept = {k: volume[k] for k in ("VolumeId", "AttachTime", "DeleteOnTermination")}
        disk = {"DeviceName": volume["Device"], "Ebs": {**kept, "Status": "attached"}}
        record["BlockDeviceMappings"].append(disk)
    return response


def release(record: Record) -> None:
    """Delete or detach the volumes of a terminated instance."""
    for device in record["BlockDeviceMappings"]:
        volume = device["Ebs"]["VolumeId"]
        if device["Ebs"]["DeleteOnTermination"]:
            ec2._volumes.pop(volume, None)
            ec2._tags.pop(volume, None)
        else:
            ec2._volumes[volume] |= {"State": "available", "Attachments": []}


def is_true(value: Any) -> bool:
    """The value of a boolean that may be text, in a template or a form."""
    return str(value).lower() == "true"
