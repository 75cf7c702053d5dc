"""Makes an image of the running workstation, and takes one away again.

``python -m gpustation.save_image`` does what the chapter calls "Create Image": the machine of the
stack becomes an AMI, from which ``image=ami-...`` starts the next one with all that is on its
disk. The machine reboots meanwhile: only then is the copy of its disk consistent.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

from botocore.exceptions import BotoCoreError, ClientError

from gpustation.aws_session import make_session
from gpustation.handlers.images import content_tags
from gpustation.leftovers.prices import SNAPSHOT_PER_GIB
from gpustation.tags import OWNER_TAG, SAVED_TAG

if TYPE_CHECKING:
    from mypy_boto3_cloudformation import CloudFormationClient
    from mypy_boto3_ec2 import EC2Client
    from mypy_boto3_ec2.type_defs import ImageTypeDef
    from mypy_boto3_ssm import SSMClient

WAIT_MINUTES = 60
"""How long an image may take: the first snapshot of a full 64 GiB disk takes some ten minutes."""
POLL_SECONDS = 10.0
USD_PER_GIB_MONTH = SNAPSHOT_PER_GIB["standard"]

Tell = Callable[[str], None]


class SaveImageError(Exception):
    """What stands in the way, in one line."""


@dataclass(frozen=True)
class Workstation:
    """The machine of a stack, and what is on it.

    Attributes:
        stack: Name of the stack.
        instance_id: Id of the instance.
        settings: What the machine was told, from its settings parameter.
    """

    stack: str
    instance_id: str
    settings: dict[str, Any]

    @property
    def tags(self) -> dict[str, str]:
        """What an image of it is tagged with; the image choice compares these with the type."""
        held = content_tags(str(self.settings["framework"]), str(self.settings["driver_kind"]))
        return {OWNER_TAG: self.stack, SAVED_TAG: self.instance_id, **held}


def find_workstation(
    cloudformation: CloudFormationClient, ssm: SSMClient, stack: str
) -> Workstation:
    """The machine of a stack.

    Raises:
        SaveImageError: There is no such stack, or it has no machine.
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
            return Workstation(stack, outputs["InstanceId"], json.loads(value))
    raise SaveImageError(f"--stack {stack}: it has no settings parameter; is it a GpuWorkstation?")


def save(
    ec2: EC2Client,
    workstation: Workstation,
    name: str,
    *,
    tell: Tell,
    minutes: float = WAIT_MINUTES,
    poll_seconds: float = POLL_SECONDS,
) -> str:
    """Make the image and wait for it.

    Args:
        ec2: Client of the region.
        workstation: The machine; it is rebooted if it runs.
        name: Name of the image, 3 to 128 characters.
        tell: Gets a line whenever there is something new.
        minutes: How long it may take.
        poll_seconds: Pause between two looks.

    Returns:
        Id of the image, which is available.

    Raises:
        SaveImageError: It failed, or took too long. What there was of it is gone.
    """
    tags = [{"Key": key, "Value": value} for key, value in workstation.tags.items()]
    specifications: list[Any] = [
        {"ResourceType": kind, "Tags": tags} for kind in ("image", "snapshot")
    ]
    try:
        image_id = ec2.create_image(
            InstanceId=workstation.instance_id, Name=name, TagSpecifications=specifications
        )["ImageId"]
    except ClientError as error:
        raise SaveImageError(_line(error)) from error
    tell(f"{image_id} is being made of {workstation.instance_id}, which reboots if it runs")
    try:
        _await_available(ec2, image_id, tell, minutes, poll_seconds)
    except BaseException:
        tell(f"{image_id} is taken away again")
        remove(ec2, image_id)
        raise
    return image_id


def remove(ec2: EC2Client, image_id: str) -> list[str]:
    """Deregister an image of this module and delete its snapshots; returns their ids.

    Raises:
        SaveImageError: There is no such image, or it was not made here.
    """
    image = _image(ec2, image_id)
    tags = {tag["Key"]: tag["Value"] for tag in image.get("Tags", [])}
    if SAVED_TAG not in tags:
        raise SaveImageError(
            f"{image_id} has no tag {SAVED_TAG}: it was not saved from a workstation, and is left "
            "alone; what Image/GpuImage baked goes with `cdk destroy Image/GpuImage`"
        )
    # An image that is still pending may not name its snapshots yet
    made = f"Created by CreateImage({tags[SAVED_TAG]}) for {image_id}"
    named = ec2.describe_snapshots(
        OwnerIds=["self"], Filters=[{"Name": "description", "Values": [made]}]
    )["Snapshots"]
    snapshots = sorted({*_snapshots(image), *(row["SnapshotId"] for row in named)})
    ec2.deregister_image(ImageId=image_id)
    for snapshot in snapshots:
        ec2.delete_snapshot(SnapshotId=snapshot)
    return snapshots


def _await_available(
    ec2: EC2Client, image_id: str, tell: Tell, minutes: float, poll_seconds: float
) -> None:
    deadline = time.monotonic() + minutes * 60
    told = ""
    while True:
        image = _image(ec2, image_id)
        if image["State"] == "available":
            return
        if image["State"] != "pending":
            why = image.get("StateReason", {}).get("Message") or "EC2 gives no reason"
            raise SaveImageError(f"{image_id} became {image['State']}: {why}")
        if time.monotonic() > deadline:
            raise SaveImageError(f"{image_id} was not available after {minutes:g} minutes")
        progress = _progress(ec2, image)
        if progress != told:
            tell(progress)
            told = progress
        time.sleep(poll_seconds)


def _progress(ec2: EC2Client, image: ImageTypeDef) -> str:
    snapshots = _snapshots(image)
    if not snapshots:
        return "the machine shuts down for a consistent copy"
    shown = ec2.describe_snapshots(SnapshotIds=snapshots)["Snapshots"]
    return ", ".join(f"snapshot {row['SnapshotId']}: {row['Progress'] or '0%'}" for row in shown)


def _image(ec2: EC2Client, image_id: str) -> ImageTypeDef:
    try:
        images = ec2.describe_images(ImageIds=[image_id], Owners=["self"])["Images"]
    except ClientError as error:
        raise SaveImageError(_line(error)) from error
    if not images:
        raise SaveImageError(f"{image_id}: this account has no such image in this region")
    return images[0]


def _snapshots(image: ImageTypeDef) -> list[str]:
    disks = (mapping.get("Ebs", {}) for mapping in image.get("BlockDeviceMappings", []))
    return [disk["SnapshotId"] for disk in disks if "SnapshotId" in disk]


def _line(error: ClientError) -> str:
    told = error.response["Error"]
    return f"{told['Code']}: {told['Message']}"


def _confirm(question: str, yes: bool) -> None:
    """Ask, unless the answer came along.

    Raises:
        SaveImageError: The answer is no, or there is nobody to ask.
    """
    if yes:
        return
    if not sys.stdin.isatty():
        raise SaveImageError("there is no terminal to ask in; pass --yes")
    if input(f"{question} [y/N] ").strip().lower() not in ("y", "yes"):
        raise SaveImageError("nothing was done")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m gpustation.save_image",
        description="Makes an AMI of the running workstation and prints the setting that starts "
        "the next machine from it, or takes such an AMI away.",
    )
    parser.add_argument(
        "--stack", default="GpuWorkstation", help="its stack (default: %(default)s)"
    )
    parser.add_argument("--name", help="name of the image (default: from stack and time)")
    parser.add_argument("--undo", metavar="AMI", help="remove this image and its snapshots instead")
    parser.add_argument("--yes", action="store_true", help="do not ask")
    return parser


def _save(told: argparse.Namespace) -> None:
    session = make_session()
    cloudformation, ssm = session.client("cloudformation"), session.client("ssm")
    workstation = find_workstation(cloudformation, ssm, told.stack)
    _confirm(
        f"{workstation.instance_id} reboots to be copied: what runs on it ends. Its snapshot then "
        f"costs {USD_PER_GIB_MONTH} USD per GiB and month. Go on?",
        told.yes,
    )
    stamp = datetime.now(timezone.utc).strftime("%Y%m%d-%H%M%S")
    name = told.name or f"{told.stack}-{stamp}"
    image_id = save(session.client("ec2"), workstation, name, tell=_tell)
    generation = int(workstation.settings["generation"]) % 255 + 1
    print(
        f"{image_id} is ready. A new machine from it: put these into the context of cdk.json,\n"
        f'  "image": "{image_id}", "generation": {generation}\n'
        "then: cdk deploy (the old machine goes with its disk once the new one is ready)\n"
        f"Undo: python -m gpustation.save_image --undo {image_id}"
    )


def _undo(told: argparse.Namespace) -> None:
    ec2 = make_session().client("ec2")
    image = _image(ec2, told.undo)
    _confirm(
        f"{told.undo} ({image.get('Name', '')}) and its snapshots go for good. Go on?", told.yes
    )
    snapshots = remove(ec2, told.undo)
    print(f"{told.undo} is deregistered; deleted: {', '.join(snapshots) or 'no snapshot'}")


def _tell(line: str) -> None:
    print(line, flush=True)


def main(words: list[str] | None = None) -> int:
    """Run the command line; returns the exit status."""
    told = _parser().parse_args(words)
    try:
        (_undo if told.undo else _save)(told)
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130
    except (SaveImageError, ClientError, BotoCoreError) as error:
        text = _line(error) if isinstance(error, ClientError) else str(error)
        print(f"save_image: {text}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
