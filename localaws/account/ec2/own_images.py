"""The account's own images and their snapshots, which ministack cannot make from an instance."""

from __future__ import annotations

import contextvars
import re
import subprocess
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from typing import Any

from ministack.core.responses import get_account_id, get_region
from ministack.services import ec2

from localaws.account.ec2.images import OwnImage
from localaws.account.ec2.reservation import LINUX
from localaws.account.ec2.volumes import is_true
from localaws.account.errors import ApiError
from localaws.machines.booted.machines import BootedMachines
from localaws.machines.booted.namespaces import BootError
from localaws.machines.records import RecordMachines

Record = dict[str, Any]
Tags = tuple[Mapping[str, str], ...]
PENDING_SECONDS = 0.5
"""Minimum time that an image is pending, so that a caller who does not wait is refused."""
_NAME = re.compile(r"[A-Za-z0-9()\[\] ./\-'@_]{3,128}")


@dataclass(frozen=True)
class ImageRequest:
    """Parameters of CreateImage."""

    name: str
    description: str = ""
    reboot: bool = True
    image_tags: Tags = ()
    snapshot_tags: Tags = ()
    disks: tuple[Mapping[str, Any], ...] = ()


class OwnImages:
    """Every image that the account made and has not deregistered.

    Args:
        machines: The machines, which keep the images' disks.
    """

    def __init__(self, machines: RecordMachines | BootedMachines) -> None:
        self._machines = machines
        self._images: dict[str, OwnImage] = {}
        self._gone: set[str] = set()

    def all(self) -> list[OwnImage]:
        """The images of the region."""
        return [i for i in list(self._images.values()) if i.region == get_region()]

    def find(self, image_id: str) -> OwnImage | None:
        """An image that exists, whatever its state."""
        image = self._images.get(image_id)
        return image if image and image.region == get_region() else None

    def require_available(self, image_id: str) -> None:
        """Refuse a launch from an image that is pending, failed or deregistered."""
        image = self.find(image_id)
        if image_id in self._gone or (image and image.state != "available"):
            raise ApiError(
                "InvalidAMIID.Unavailable", f"The image ID '{image_id}' is not available"
            )

    def create(self, record: Record, request: ImageRequest) -> OwnImage:
        """Create a pending image of an instance; it becomes available by itself."""
        image = self._register(record, request)
        context = contextvars.copy_context()
        arguments = (self._keep, record["InstanceId"], image.image_id, request.reboot)
        threading.Thread(target=context.run, args=arguments, daemon=True).start()
        return image

    def take(self, record: Record, request: ImageRequest) -> OwnImage:
        """Create an available image of a stopped instance that will not start again."""
        image = self._register(record, request)
        self._machines.take_image(record["InstanceId"], image.image_id)
        self._settle(image.image_id, "available")
        return self._images[image.image_id]

    def deregister(self, image_id: str, with_snapshots: bool) -> list[dict[str, str]]:
        """Remove an image; returns the result for each snapshot that was to be deleted with it."""
        if image_id in self._gone:
            raise ApiError(
                "InvalidAMIID.Unavailable", f"The image ID '{image_id}' is no longer available"
            )
        image = self.find(image_id)
        if image is None:
            raise ApiError("InvalidAMIID.NotFound", f"The image id '[{image_id}]' does not exist")
        del self._images[image_id]
        self._gone.add(image_id)
        ec2._tags.pop(image_id, None)
        self._machines.drop_image(image_id)
        results = []
        for snapshot in image.snapshots() if with_snapshots else []:
            shared = self._user(snapshot) is not None
            if not shared:
                _remove_snapshot(snapshot)
            results.append(
                {"SnapshotId": snapshot, "ReturnCode": "skipped" if shared else "success"}
            )
        return results

    def delete_snapshot(self, snapshot: str) -> None:
        """Delete a snapshot.

        Raises:
            ApiError: An image needs it.
        """
        if snapshot not in ec2._snapshots:
            raise ApiError("InvalidSnapshot.NotFound", f"The snapshot '{snapshot}' does not exist.")
        user = self._user(snapshot)
        if user is not None:
            raise ApiError(
                "InvalidSnapshot.InUse", f"The snapshot {snapshot} is currently in use by {user}"
            )
        _remove_snapshot(snapshot)

    def _user(self, snapshot: str) -> str | None:
        """An image that needs a snapshot."""
        return next((i.image_id for i in self.all() if snapshot in i.snapshots()), None)

    def _register(self, record: Record, request: ImageRequest) -> OwnImage:
        self._require_name(request.name)
        image_id = ec2._new_image_id()
        omitted = {disk["DeviceName"] for disk in request.disks if disk.get("NoDevice")}
        devices = [d for d in record["BlockDeviceMappings"] if d["DeviceName"] not in omitted]
        mappings = tuple(_mapping(device, request) for device in devices)
        for device, mapping in zip(devices, mappings, strict=True):
            _new_snapshot(device["Ebs"]["VolumeId"], mapping, record, image_id, request)
        root = next(m for m in mappings if m["DeviceName"] == record["RootDeviceName"])
        image = OwnImage(
            image_id=image_id,
            name=request.name,
            architecture=record["Architecture"],
            root_device=record["RootDeviceName"],
            size_gib=int(root["Ebs"]["VolumeSize"]),
            owner=get_account_id(),
            platform=record.get("_platform", LINUX),
            region=get_region(),
            description=request.description,
            source_instance=record["InstanceId"],
            created=_now(),
            mappings=mappings,
        )
        self._images[image_id] = image
        if request.image_tags:
            ec2._tags[image_id] = [dict(tag) for tag in request.image_tags]
        return image

    def _require_name(self, name: str) -> None:
        if not _NAME.fullmatch(name):
            raise ApiError(
                "InvalidAMIName.Malformed",
                "AMI names must be between 3 and 128 characters long, and may contain letters, "
                "numbers, '(', ')', '.', '-', '/' and '_'",
            )
        for image in self.all():
            if image.name == name:
                raise ApiError(
                    "InvalidAMIName.Duplicate",
                    f"AMI name {name} is already in use by AMI {image.image_id}",
                )

    def _keep(self, instance_id: str, image_id: str, reboot: bool) -> None:
        """Copy the disk, then set the image's state; runs on a thread."""
        time.sleep(PENDING_SECONDS)
        try:
            self._machines.keep_image(instance_id, image_id, reboot)
        except (BootError, OSError, subprocess.SubprocessError, ValueError) as error:
            self._settle(image_id, "failed", f"the disk could not be copied: {error}")
        else:
            self._settle(image_id, "available")

    def _settle(self, image_id: str, state: Any, reason: str = "") -> None:
        image = self._images.get(image_id)
        if image is None:  # deregistered while it was pending
            self._machines.drop_image(image_id)
            return
        for snapshot in image.snapshots():
            known = ec2._snapshots.get(snapshot)
            if known is not None:
                done = {"State": "completed", "Progress": "100%"}
                known.update(done if state == "available" else {"State": "error"})
        self._images[image_id] = replace(image, state=state, reason=reason)


def _mapping(device: Mapping[str, Any], request: ImageRequest) -> dict[str, Any]:
    """A volume as the image describes it, with what the request changes."""
    volume = ec2._volumes[device["Ebs"]["VolumeId"]]
    name = device["DeviceName"]
    ebs = {
        "DeleteOnTermination": is_true(device["Ebs"]["DeleteOnTermination"]),
        "SnapshotId": ec2._new_snapshot_id(),
        "VolumeSize": volume["Size"],
        "VolumeType": volume["VolumeType"],
        "Encrypted": volume["Encrypted"],
    }
    for disk in request.disks:
        if disk["DeviceName"] == name:
            ebs |= {k: v for k, v in (disk.get("Ebs") or {}).items() if k != "SnapshotId"}
    return {"DeviceName": name, "Ebs": ebs}


def _new_snapshot(
    volume: str, mapping: Mapping[str, Any], record: Record, image_id: str, request: ImageRequest
) -> None:
    ebs = mapping["Ebs"]
    ec2._snapshots[ebs["SnapshotId"]] = {
        "SnapshotId": ebs["SnapshotId"],
        "VolumeId": volume,
        "VolumeSize": ec2._volumes[volume]["Size"],
        "Description": f"Created by CreateImage({record['InstanceId']}) for {image_id}",
        "State": "pending",
        "StartTime": _now(),
        "Progress": "0%",
        "OwnerId": get_account_id(),
        "Encrypted": is_true(ebs["Encrypted"]),
        "StorageTier": "standard",
    }
    if request.snapshot_tags:
        ec2._tags[ebs["SnapshotId"]] = [dict(tag) for tag in request.snapshot_tags]


def _remove_snapshot(snapshot: str) -> None:
    ec2._snapshots.pop(snapshot, None)
    ec2._tags.pop(snapshot, None)


def _now() -> str:
    return datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%S.000Z")
