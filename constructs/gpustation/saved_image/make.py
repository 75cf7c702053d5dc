"""Makes an image of the running workstation.

It does what the chapter calls "Create Image": the machine of the stack becomes an AMI, from which
``image=ami-...`` starts the next one with all that is on its disk. The machine reboots meanwhile:
only then is the copy of its disk consistent.
"""

from __future__ import annotations

import contextlib
import json
import secrets
import time
from collections.abc import Callable
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
"""How long an image may take: the first snapshot of a full 64 GiB disk takes some ten minutes."""
POLL_SECONDS = 10.0
USD_PER_GIB_MONTH = SNAPSHOT_PER_GIB["standard"]
REQUEST_TAG = "gpustation:save-request"
"""Marks what one CreateImage made, so that it is found if its answer is lost."""

Tell = Callable[[str], None]


@dataclass(frozen=True)
class DataVolume:
    """A volume that is attached to the machine beside its root disk.

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
        """For a person."""
        return f"{self.volume_id} ({self.device}, {self.gib} GiB of {self.kind})"


@dataclass(frozen=True)
class Workstation:
    """The machine of a stack, and what is on it.

    Attributes:
        stack: Name of the stack.
        instance_id: Id of the instance.
        settings: The content of its settings parameter.
        data_volumes: The volumes attached to it beside its root disk. Default: none.
    """

    stack: str
    instance_id: str
    settings: dict[str, Any]
    data_volumes: tuple[DataVolume, ...] = ()

    @property
    def tags(self) -> dict[str, str]:
        """Tags of its images; the image choice compares them with the instance type."""
        held = content_tags(str(self.settings["framework"]), str(self.settings["driver_kind"]))
        return {OWNER_TAG: self.stack, SAVED_TAG: self.instance_id, **held}


def find_workstation(
    cloudformation: CloudFormationClient, ssm: SSMClient, ec2: EC2Client, stack: str
) -> Workstation:
    """The machine of a stack.

    Raises:
        SaveImageError: There is no such stack, or it has no machine, or that is terminated.
    """
    try:
        described = cloudformation.describe_stacks(StackName=stack)["Stacks"][0]
    except ClientError as error:
        if "does not exist" not in str(error):
            raise
        raise SaveImageError(
            f"--stack {stack}: there is no such stack in this account and region; name the one "
            "that `aws cloudformation list-stacks` shows, and check AWS_REGION"
        ) from error
    outputs = {row["OutputKey"]: row["OutputValue"] for row in described.get("Outputs", [])}
    if "InstanceId" not in outputs:
        raise SaveImageError(
            f"--stack {stack}: it is in status {described['StackStatus']} and has no machine; "
            "deploy the workstation first"
        )
    for resource in cloudformation.describe_stack_resources(StackName=stack)["StackResources"]:
        if resource["ResourceType"] == "AWS::SSM::Parameter":
            value = ssm.get_parameter(Name=resource["PhysicalResourceId"])["Parameter"]["Value"]
            settings, machine = json.loads(value), outputs["InstanceId"]
            return Workstation(stack, machine, settings, _data_volumes(ec2, stack, machine))
    raise SaveImageError(f"--stack {stack}: it has no settings parameter; is it a GpuWorkstation?")


def _data_volumes(ec2: EC2Client, stack: str, machine: str) -> tuple[DataVolume, ...]:
    reservations = ec2.describe_instances(InstanceIds=[machine])["Reservations"]
    found = [one for reservation in reservations for one in reservation["Instances"]]
    if not found or found[0]["State"]["Name"] in ("shutting-down", "terminated"):
        raise SaveImageError(
            f'--stack {stack}: its machine {machine} is terminated; deploy another "generation"'
        )
    devices = {
        mapping["Ebs"]["VolumeId"]: mapping["DeviceName"]
        for mapping in found[0]["BlockDeviceMappings"]
        if mapping["DeviceName"] != found[0]["RootDeviceName"]
    }
    if not devices:
        return ()
    volumes = [
        DataVolume(devices[row["VolumeId"]], row["VolumeId"], row["Size"], row["VolumeType"])
        for row in ec2.describe_volumes(VolumeIds=sorted(devices))["Volumes"]
    ]
    return tuple(sorted(volumes, key=lambda one: one.device))


def save(
    ec2: EC2Client,
    workstation: Workstation,
    name: str,
    *,
    tell: Tell,
    with_data_volumes: bool = False,
    minutes: float = WAIT_MINUTES,
    poll_seconds: float = POLL_SECONDS,
) -> str:
    """Make the image and wait for it.

    Args:
        ec2: Client of the region.
        workstation: The machine; it is rebooted if it runs.
        name: Name of the image, 3 to 128 characters.
        tell: Gets a line whenever there is something new.
        with_data_volumes: Copy the data volumes too; a machine from the image gets copies that
            are deleted with it. Default: they are left out.
        minutes: How long it may take.
        poll_seconds: Pause between two looks.

    Returns:
        Id of the image, which is available.

    Raises:
        SaveImageError: It failed, or took too long. The image is removed, or the last line that
            ``tell`` got says what is left of it.
        Interrupted: A signal came; likewise.
    """
    mark = secrets.token_hex(8)
    request = _request(workstation, name, mark, with_data_volumes)
    with held("EC2 has not answered CreateImage yet; then the image is removed") as hold:
        image_id = _create(ec2, request, mark, tell)
        hold.what = (
            f"{image_id} and its snapshots are being removed, which may take some minutes; if "
            f"this is killed meanwhile, run: {UNDO} {image_id}"
        )
        try:
            tell(f"{image_id} is being made of {workstation.instance_id}, which reboots if it runs")
            _await_available(ec2, image_id, tell, minutes, poll_seconds, hold)
            hold.check()
        except BaseException:
            _take_back(ec2, image_id, tell)
            raise
        hold.what = f"{image_id} is ready and stays; to remove it: {UNDO} {image_id}"
    return image_id


def _request(
    workstation: Workstation, name: str, mark: str, with_data_volumes: bool
) -> dict[str, Any]:
    tags = {**workstation.tags, REQUEST_TAG: mark}
    # EC2's own default for such a copy: it stays, and costs, after its machine is gone
    how: dict[str, Any] = {"Ebs": {"DeleteOnTermination": True}}
    if not with_data_volumes:
        how = {"NoDevice": ""}
    elif workstation.data_volumes:
        tags[DATA_VOLUMES_TAG] = " ".join(one.device for one in workstation.data_volumes)
    devices = [{"DeviceName": one.device, **how} for one in workstation.data_volumes]
    listed = [{"Key": key, "Value": value} for key, value in tags.items()]
    return {
        "InstanceId": workstation.instance_id,
        "Name": name,
        "TagSpecifications": [
            {"ResourceType": kind, "Tags": listed} for kind in ("image", "snapshot")
        ],
        **({"BlockDeviceMappings": devices} if devices else {}),
    }


def _create(ec2: EC2Client, request: dict[str, Any], mark: str, tell: Tell) -> str:
    """Id of the image that EC2 began to make, also if its answer got lost."""
    try:
        return ec2.create_image(**request)["ImageId"]
    except (ClientError, BotoCoreError) as error:
        why = explain(error)
        if why.startswith("InvalidAMIName."):
            why = f"--image-name {request['Name']}: {why}; take another name"
        if not _may_have_worked(error):
            raise SaveImageError(why) from error
        tell(f"EC2 gave no clear answer ({why}); looking for what it made")
        image_id = _find_made(ec2, mark)
        if not image_id:
            raise SaveImageError(
                f"{why}; EC2 shows no image of this request after {SETTLE_SECONDS:g} s. Should one "
                f"named {request['Name']} appear, run: {UNDO} with its id"
            ) from error
        return image_id


def _find_made(ec2: EC2Client, mark: str) -> str:
    """Id of the image that one CreateImage made; empty if EC2 does not come to show it."""
    filters: list[Any] = [{"Name": f"tag:{REQUEST_TAG}", "Values": [mark]}]
    for _ in tries(SETTLE_SECONDS):
        with contextlib.suppress(HTTPClientError, ConnectionError):
            images = ec2.describe_images(Owners=["self"], Filters=filters)["Images"]
            if images:
                return images[0]["ImageId"]
    return ""


def _may_have_worked(error: ClientError | BotoCoreError) -> bool:
    """Whether EC2 may have made the image: an answer got lost, at this try or at one before."""
    if isinstance(error, ClientError):
        answer = error.response["ResponseMetadata"]
        return answer.get("RetryAttempts", 0) > 0 or answer.get("HTTPStatusCode", 0) >= 500
    return isinstance(error, (HTTPClientError, ConnectionError))


def _await_available(
    ec2: EC2Client, image_id: str, tell: Tell, minutes: float, poll_seconds: float, hold: Hold
) -> None:
    began = known = time.monotonic()
    shown = ""
    while True:
        hold.check()
        try:
            image = find_image(ec2, image_id)
            if image is not None and image["State"] == "available":
                return
            progress = _progress(ec2, image)
        except (HTTPClientError, ConnectionError) as error:
            # EC2 goes on making the image while this computer has no network
            progress = f"EC2 cannot be reached: {explain(error)}"
            known = time.monotonic()
        else:
            known = time.monotonic() if image is not None else known
        now = time.monotonic()
        if now - known > SETTLE_SECONDS:
            raise SaveImageError(
                f"{image_id}: EC2 has not known it for {SETTLE_SECONDS:g} s; was it deregistered?"
            )
        if now - began > minutes * 60:
            raise SaveImageError(f"{image_id} was not available after {minutes:g} minutes")
        if progress != shown:
            tell(progress)
            shown = progress
        hold.pause(poll_seconds)


def _progress(ec2: EC2Client, image: ImageTypeDef | None) -> str:
    """What happens to an image that is not available yet.

    Raises:
        SaveImageError: It never will be.
    """
    if image is None:
        return "EC2 does not show the image yet"
    if image["State"] != "pending":
        why = image.get("StateReason", {}).get("Message") or "EC2 gives no reason"
        raise SaveImageError(f"{image['ImageId']} became {image['State']}: {why}")
    snapshots = snapshots_of(image)
    if not snapshots:
        return "the machine shuts down for a consistent copy"
    try:
        rows = ec2.describe_snapshots(SnapshotIds=snapshots)["Snapshots"]
    except ClientError as error:
        if error.response["Error"]["Code"] != "InvalidSnapshot.NotFound":
            raise
        rows = []
    shown = {row["SnapshotId"]: row.get("Progress") or "0%" for row in rows}
    return ", ".join(f"snapshot {one}: {shown.get(one, '0%')}" for one in snapshots)


def _take_back(ec2: EC2Client, image_id: str, tell: Tell) -> None:
    """Remove the image after a fault or a signal, and say what became of it."""
    try:
        deleted = remove(ec2, image_id, just_made=True)
    except SaveImageError as error:
        tell(f"LEFT: {error}")
    except (ClientError, BotoCoreError) as error:
        tell(f"LEFT: {image_id}, which costs ({explain(error)}); run: {UNDO} {image_id}")
    else:
        tell(f"{image_id} is deregistered again; deleted: {', '.join(deleted) or 'no snapshot'}")
