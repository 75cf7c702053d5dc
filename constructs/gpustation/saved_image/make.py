"""Creates an image of the running workstation, as "Create Image" in the book's chapter does.

With ``image=ami-...`` a new machine starts with a copy of its disk. The machine reboots while the
image is created, so that the copy is consistent.
"""

from __future__ import annotations

import contextlib
import json
import re
import secrets
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from botocore.exceptions import BotoCoreError, ClientError, ConnectionError, HTTPClientError

from gpustation.aws.session import explain
from gpustation.catalog.images import DATA_VOLUMES_TAG, content_tags
from gpustation.catalog.names import OWNER_TAG, SAVED_TAG
from gpustation.catalog.prices import SNAPSHOT_PER_GIB
from gpustation.console.interrupts import Hold, held
from gpustation.saved_image.remove import (
    SETTLE_SECONDS,
    UNDO,
    SaveImageError,
    find_image,
    remove,
    snapshots_of,
    tries,
)

if TYPE_CHECKING:
    from mypy_boto3_cloudformation import CloudFormationClient
    from mypy_boto3_ec2 import EC2Client
    from mypy_boto3_ec2.type_defs import ImageTypeDef
    from mypy_boto3_ssm import SSMClient

WAIT_MINUTES = 60
"""Timeout for an image: the first snapshot of a full 64 GiB disk takes about ten minutes."""
POLL_SECONDS = 10.0
USD_PER_GIB_MONTH = SNAPSHOT_PER_GIB["standard"]
REQUEST_TAG = "gpustation:save-request"
"""Tag with a unique value per CreateImage, to find the image if the response is lost."""

_SETTINGS = re.compile(r".*Settings[0-9A-F]{8}")
"""Logical id of the parameter with the machine's settings."""

Report = Callable[[str], None]


@dataclass(frozen=True)
class DataVolume:
    """A volume that is attached to the machine in addition to its root disk.

    Attributes:
        device: Device name of the attachment, e.g. ``/dev/sdf``.
        volume_id: Id of the volume.
        gib: Size in GiB.
        kind: Volume type, e.g. ``gp3``.
    """

    device: str
    volume_id: str
    gib: int
    kind: str

    def __str__(self) -> str:
        """Description for messages."""
        return f"{self.volume_id} ({self.device}, {self.gib} GiB of {self.kind})"


@dataclass(frozen=True)
class Workstation:
    """The machine of a stack, with its settings and data volumes.

    Attributes:
        stack: Name of the stack.
        instance_id: Id of the instance.
        settings: Value of its settings parameter.
        data_volumes: Volumes attached to it in addition to its root disk. Default: none.
    """

    stack: str
    instance_id: str
    settings: dict[str, Any]
    data_volumes: tuple[DataVolume, ...] = ()

    @property
    def tags(self) -> dict[str, str]:
        """Tags of its images; the image choice checks those that describe the contents."""
        contents = content_tags(str(self.settings["framework"]), str(self.settings["driver_kind"]))
        return {OWNER_TAG: self.stack, SAVED_TAG: self.instance_id, **contents}


def find_workstation(
    cloudformation: CloudFormationClient, ssm: SSMClient, ec2: EC2Client, stack: str
) -> Workstation:
    """The machine of a stack.

    Raises:
        SaveImageError: The stack does not exist, has no machine, or its machine is terminated.
    """
    try:
        description = cloudformation.describe_stacks(StackName=stack)["Stacks"][0]
    except ClientError as error:
        if "does not exist" not in str(error):
            raise
        raise SaveImageError(
            f"--stack {stack}: there is no such stack in this account and region; list them with "
            "`aws cloudformation list-stacks`, and check AWS_REGION"
        ) from error
    outputs = {row["OutputKey"]: row["OutputValue"] for row in description.get("Outputs", [])}
    if "InstanceId" not in outputs:
        raise SaveImageError(
            f"--stack {stack}: it is in status {description['StackStatus']} and has no machine; "
            "deploy the workstation first"
        )
    for resource in cloudformation.describe_stack_resources(StackName=stack)["StackResources"]:
        if _SETTINGS.fullmatch(resource["LogicalResourceId"]):
            value = ssm.get_parameter(Name=resource["PhysicalResourceId"])["Parameter"]["Value"]
            settings, machine = json.loads(value), outputs["InstanceId"]
            return Workstation(stack, machine, settings, _data_volumes(ec2, stack, machine))
    raise SaveImageError(f"--stack {stack}: it has no settings parameter; is it a GpuWorkstation?")


def _data_volumes(ec2: EC2Client, stack: str, machine: str) -> tuple[DataVolume, ...]:
    reservations = ec2.describe_instances(InstanceIds=[machine])["Reservations"]
    instances = [row for reservation in reservations for row in reservation["Instances"]]
    if not instances or instances[0]["State"]["Name"] in ("shutting-down", "terminated"):
        raise SaveImageError(
            f'--stack {stack}: its machine {machine} is terminated; deploy a new "generation"'
        )
    devices = {
        mapping["Ebs"]["VolumeId"]: mapping["DeviceName"]
        for mapping in instances[0]["BlockDeviceMappings"]
        if mapping["DeviceName"] != instances[0]["RootDeviceName"]
    }
    if not devices:
        return ()
    volumes = [
        DataVolume(devices[row["VolumeId"]], row["VolumeId"], row["Size"], row["VolumeType"])
        for row in ec2.describe_volumes(VolumeIds=sorted(devices))["Volumes"]
    ]
    return tuple(sorted(volumes, key=lambda volume: volume.device))


def save(
    ec2: EC2Client,
    workstation: Workstation,
    name: str,
    *,
    report: Report,
    with_data_volumes: bool = False,
    tags: Mapping[str, str] | None = None,
    minutes: float = WAIT_MINUTES,
    poll_seconds: float = POLL_SECONDS,
) -> str:
    """Create the image and wait until it is available.

    Args:
        ec2: Client of the region.
        workstation: The machine. It reboots if it is running.
        name: Name of the image, 3 to 128 characters.
        report: Called with a line of text for each change of progress.
        with_data_volumes: Include the data volumes; a machine started from the image gets copies
            that are deleted with it. Default: they are omitted.
        tags: Further tags of image and snapshots. Default: none.
        minutes: Timeout. Default: 60.
        poll_seconds: Polling interval. Default: 10.

    Returns:
        Id of the image, which is available.

    Raises:
        SaveImageError: It failed, or timed out. The image is deleted, or the last line passed to
            ``report`` says what remains of it.
        Interrupted: A signal was received. The image is deleted as well.
    """
    request_id = secrets.token_hex(8)
    of_image = {**workstation.tags, **(tags or {}), REQUEST_TAG: request_id}
    request = _request(workstation, name, of_image, with_data_volumes)
    with held("waiting for EC2's response to CreateImage, then deleting the image") as hold:
        image_id = _create(ec2, request, request_id, report)
        line = f"creating {image_id} from {workstation.instance_id}, which reboots if it is running"
        _finish(ec2, image_id, line, report, minutes, poll_seconds, hold)
    return image_id


def finish(
    ec2: EC2Client,
    image_id: str,
    *,
    report: Report,
    minutes: float = WAIT_MINUTES,
    poll_seconds: float = POLL_SECONDS,
) -> None:
    """Wait for an image whose creation was begun before; the rest is as in ``save``."""
    with held("deleting the image") as hold:
        _finish(ec2, image_id, f"waiting for {image_id}", report, minutes, poll_seconds, hold)


def _finish(
    ec2: EC2Client,
    image_id: str,
    line: str,
    report: Report,
    minutes: float,
    poll_seconds: float,
    hold: Hold,
) -> None:
    hold.what = (
        f"deleting {image_id} and its snapshots, which may take some minutes; if this process "
        f"is killed, run: {UNDO} {image_id}"
    )
    try:
        report(line)
        _await_available(ec2, image_id, report, minutes, poll_seconds, hold)
        hold.check()
    except BaseException:
        _delete_again(ec2, image_id, report)
        raise
    hold.what = f"{image_id} is ready and kept; to delete it, run: {UNDO} {image_id}"


def _request(
    workstation: Workstation, name: str, tags: dict[str, str], with_data_volumes: bool
) -> dict[str, Any]:
    # By default EC2 would keep, and bill, the copied volume after its machine is terminated
    mapping: dict[str, Any] = {"Ebs": {"DeleteOnTermination": True}}
    if not with_data_volumes:
        mapping = {"NoDevice": ""}
    elif workstation.data_volumes:
        tags[DATA_VOLUMES_TAG] = " ".join(volume.device for volume in workstation.data_volumes)
    devices = [{"DeviceName": volume.device, **mapping} for volume in workstation.data_volumes]
    tag_list = [{"Key": key, "Value": value} for key, value in tags.items()]
    return {
        "InstanceId": workstation.instance_id,
        "Name": name,
        "TagSpecifications": [
            {"ResourceType": kind, "Tags": tag_list} for kind in ("image", "snapshot")
        ],
        **({"BlockDeviceMappings": devices} if devices else {}),
    }


def _create(ec2: EC2Client, request: dict[str, Any], request_id: str, report: Report) -> str:
    """Id of the image that EC2 creates, even if the response is lost."""
    try:
        return ec2.create_image(**request)["ImageId"]
    except (ClientError, BotoCoreError) as error:
        reason = explain(error)
        if reason.startswith("InvalidAMIName."):
            reason = f"--image-name {request['Name']}: {reason}; use another name"
        if not _may_have_worked(error):
            raise SaveImageError(reason) from error
        report(f"CreateImage may have succeeded ({reason}); looking for the image")
        image_id = _find_requested(ec2, request_id)
        if not image_id:
            raise SaveImageError(
                f"{reason}; EC2 shows no image of this request after {SETTLE_SECONDS:g} s. If one "
                f"named {request['Name']} appears later, run: {UNDO} with its id"
            ) from error
        return image_id


def _find_requested(ec2: EC2Client, request_id: str) -> str:
    """Id of the image of one CreateImage; empty if EC2 does not show it in time."""
    filters: list[Any] = [{"Name": f"tag:{REQUEST_TAG}", "Values": [request_id]}]
    for _ in tries(SETTLE_SECONDS):
        with contextlib.suppress(HTTPClientError, ConnectionError):
            images = ec2.describe_images(Owners=["self"], Filters=filters)["Images"]
            if images:
                return images[0]["ImageId"]
    return ""


def _may_have_worked(error: ClientError | BotoCoreError) -> bool:
    """Whether EC2 may have created the image: the response to this or an earlier try was lost."""
    if isinstance(error, ClientError):
        metadata = error.response["ResponseMetadata"]
        return metadata.get("RetryAttempts", 0) > 0 or metadata.get("HTTPStatusCode", 0) >= 500
    return isinstance(error, (HTTPClientError, ConnectionError))


def _await_available(
    ec2: EC2Client,
    image_id: str,
    report: Report,
    minutes: float,
    poll_seconds: float,
    hold: Hold,
) -> None:
    began = last_seen = time.monotonic()
    reported = ""
    while True:
        hold.check()
        try:
            image = find_image(ec2, image_id)
            if image is not None and image["State"] == "available":
                return
            progress = _progress(ec2, image)
        except (HTTPClientError, ConnectionError) as error:
            # EC2 continues to create the image while this computer has no network
            progress = f"EC2 cannot be reached: {explain(error)}"
            last_seen = time.monotonic()
        else:
            last_seen = time.monotonic() if image is not None else last_seen
        now = time.monotonic()
        if now - last_seen > SETTLE_SECONDS:
            raise SaveImageError(
                f"{image_id}: EC2 has not shown it for {SETTLE_SECONDS:g} s; was it deregistered?"
            )
        if now - began > minutes * 60:
            raise SaveImageError(f"{image_id} was not available after {minutes:g} minutes")
        if progress != reported:
            report(progress)
            reported = progress
        hold.pause(poll_seconds)


def _progress(ec2: EC2Client, image: ImageTypeDef | None) -> str:
    """Progress of an image that is not available yet.

    Raises:
        SaveImageError: The image failed.
    """
    if image is None:
        return "EC2 does not show the image yet"
    if image["State"] != "pending":
        reason = image.get("StateReason", {}).get("Message") or "EC2 gives no reason"
        raise SaveImageError(f"{image['ImageId']} became {image['State']}: {reason}")
    snapshots = snapshots_of(image)
    if not snapshots:
        return "the machine is shutting down for a consistent copy"
    try:
        rows = ec2.describe_snapshots(SnapshotIds=snapshots)["Snapshots"]
    except ClientError as error:
        if error.response["Error"]["Code"] != "InvalidSnapshot.NotFound":
            raise
        rows = []
    progress = {row["SnapshotId"]: row.get("Progress") or "0%" for row in rows}
    return ", ".join(f"snapshot {name}: {progress.get(name, '0%')}" for name in snapshots)


def _delete_again(ec2: EC2Client, image_id: str, report: Report) -> None:
    """Delete the image after an error or a signal, and report the result."""
    try:
        deleted = remove(ec2, image_id, just_made=True)
    except SaveImageError as error:
        report(f"LEFT: {error}")
    except (ClientError, BotoCoreError) as error:
        report(f"LEFT: {image_id}, which is billed ({explain(error)}); run: {UNDO} {image_id}")
    else:
        report(f"{image_id} is deregistered again; deleted: {', '.join(deleted) or 'no snapshot'}")
