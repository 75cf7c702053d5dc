"""Makes an image of the running workstation, and removes one.

``python -m gpustation.save_image`` does what the chapter calls "Create Image": the machine of the
stack becomes an AMI, from which ``image=ami-...`` starts the next one with all that is on its
disk. The machine reboots meanwhile: only then is the copy of its disk consistent.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import re
import secrets
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

from botocore.exceptions import BotoCoreError, ClientError, ConnectionError, HTTPClientError

from gpustation.aws.session import explain, make_session
from gpustation.catalog.images import DATA_VOLUMES_TAG, content_tags
from gpustation.catalog.names import OWNER_TAG, SAVED_TAG, WORKSTATION, context_for, name_in
from gpustation.catalog.prices import SNAPSHOT_PER_GIB, volume
from gpustation.console.interrupts import Hold, end, held, leave, listening, say, warn
from gpustation.image_removal import (
    SETTLE_SECONDS,
    UNDO,
    SaveImageError,
    find_image,
    find_snapshots,
    remove,
    require_saved,
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
_NAME = re.compile(r"[A-Za-z0-9()\[\] ./\-'@_]{3,128}")
"""EC2's rule (API reference, CreateImage)."""
_ID = re.compile(r"ami-(?:[0-9a-f]{8}|[0-9a-f]{17})")

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
            why = f"--name {request['Name']}: {why}; take another name"
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


def _confirm(question: str, yes: bool) -> None:
    """Ask, unless the answer came along.

    Raises:
        SaveImageError: The answer is no, or there is nobody to ask.
    """
    if yes:
        return
    if not sys.stdin.isatty():
        raise SaveImageError("there is no terminal to ask in; pass --yes")
    try:
        answer = input(f"{question} [y/N] ")
    except EOFError:
        answer = ""
    if answer.strip().lower() not in ("y", "yes"):
        raise SaveImageError("nothing was done")


def _image_name(text: str) -> str:
    if not _NAME.fullmatch(text):
        raise argparse.ArgumentTypeError(
            f"{text!r} is no name of an image: 3 to 128 letters, digits, blanks and ()[]./-'@_"
        )
    return text


def _image_id(text: str) -> str:
    if not _ID.fullmatch(text):
        raise argparse.ArgumentTypeError(
            f"{text!r} is no id of an image: ami- and 17 (formerly 8) digits of 0-9a-f; "
            "`aws ec2 describe-images --owners self` lists them"
        )
    return text


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m gpustation.save_image",
        description="Makes an AMI of the running workstation and prints the setting that starts "
        "the next machine from it, or removes such an AMI.",
    )
    parser.add_argument(
        "--stack", default=WORKSTATION, help="its stack's whole name (default: %(default)s)"
    )
    parser.add_argument(
        "--name", type=_image_name, help="name of the image (default: from stack and time)"
    )
    parser.add_argument(
        "--with-data-volumes",
        action="store_true",
        help="also copy volumes that are attached beside the root disk (default: left out)",
    )
    parser.add_argument(
        "--undo",
        metavar="AMI",
        type=_image_id,
        help="remove this image and its snapshots instead; may be repeated for what is left",
    )
    parser.add_argument("--yes", action="store_true", help="do not ask")
    return parser


def _say_volumes(volumes: tuple[DataVolume, ...], taken: bool) -> None:
    for one in volumes:
        copy = f"up to {one.gib * USD_PER_GIB_MONTH:.2f} USD per month for its snapshot"
        if taken:
            usd, _ = volume(one.kind, one.gib)
            say(
                f"{one} is copied: {copy}, and {usd:.2f} USD per month for such a volume of each "
                "machine from the image, for as long as the machine exists"
            )
        else:
            say(f"{one} is left out; --with-data-volumes copies it: {copy}")


def _save(args: argparse.Namespace) -> None:
    session = make_session()
    cloudformation, ssm = session.client("cloudformation"), session.client("ssm")
    ec2 = session.client("ec2")
    workstation = find_workstation(cloudformation, ssm, ec2, args.stack)
    _say_volumes(workstation.data_volumes, args.with_data_volumes)
    _confirm(
        f"{workstation.instance_id} reboots to be copied: what runs on it ends. A snapshot then "
        f"costs {USD_PER_GIB_MONTH} USD per GiB and month. Go on?",
        args.yes,
    )
    stamp = datetime.now(timezone.utc).strftime("%Y%m%d-%H%M%S")
    image_id = save(
        ec2,
        workstation,
        args.name or f"{args.stack[:100]}-{stamp}",
        tell=say,
        with_data_volumes=args.with_data_volumes,
    )
    generation = int(workstation.settings["generation"]) % 255 + 1
    say(
        f"{image_id} is ready. A new machine from it: put these into the context of cdk.json,\n"
        f'  "image": "{image_id}", "generation": {generation}\n'
        f"then: cdk deploy{context_for(name_in(args.stack) or '')} "
        "(it deletes the old machine with its disk once the new one is ready)\n"
        f"Undo: {UNDO} {image_id}"
    )


def _undo(args: argparse.Namespace) -> None:
    ec2 = make_session().client("ec2")
    image = find_image(ec2, args.undo)
    if image is not None:
        require_saved(image)
        what = f"{args.undo} ({image.get('Name', '')}) and its snapshots are"
    elif snapshots := find_snapshots(ec2, args.undo):
        what = f"{', '.join(snapshots)}, left of {args.undo}, will be"
    else:
        what = ""  # remove() says why
    if what:
        _confirm(f"{what} deleted for good. Go on?", args.yes)
    with held(f"the removal of {args.undo} goes on to its end, which may take some minutes"):
        deleted = remove(ec2, args.undo)
        say(f"{args.undo} is deregistered; deleted: {', '.join(deleted) or 'no snapshot'}")


def main(words: list[str] | None = None) -> int:
    """Run the command line; returns the exit status."""
    args = _parser().parse_args(words)
    with listening():
        try:
            (_undo if args.undo else _save)(args)
        except KeyboardInterrupt as interrupt:
            return end("save_image", interrupt)
        except (SaveImageError, ClientError, BotoCoreError) as error:
            text = str(error) if isinstance(error, SaveImageError) else explain(error)
            warn(f"save_image: {text}")
            return 1
    return 0


if __name__ == "__main__":
    leave(main())
