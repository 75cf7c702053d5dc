"""Removes images that were saved from a workstation, with their snapshots.

EC2 is eventually consistent. For some seconds it may not know an image that it has just made, show
no snapshots of a pending one, or count a snapshot as used whose image is gone.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from gpustation.aws.session import explain
from gpustation.catalog.images import DATA_VOLUMES_TAG
from gpustation.catalog.names import SAVED_TAG
from gpustation.console.errors import CommandError

if TYPE_CHECKING:
    from mypy_boto3_ec2 import EC2Client
    from mypy_boto3_ec2.type_defs import ImageTypeDef

SETTLE_SECONDS = 120.0
"""How long EC2 may contradict itself. Public reports speak of seconds, and of minutes for a
snapshot in use (amazon.aws#1321, boto/boto#3019)."""
FIRST_PAUSE, LONGEST_PAUSE = 1.0, 10.0
"""Seconds between two tries."""
UNDO = "gpustation image undo"
_UNKNOWN = ("InvalidAMIID.NotFound", "InvalidAMIID.Unavailable")
"""EC2's codes for an image that it does not know yet, or any more."""


class SaveImageError(CommandError):
    """What stands in the way, in one line."""


def remove(ec2: EC2Client, image_id: str, *, just_made: bool = False) -> list[str]:
    """Deregister an image of this module and delete its snapshots; returns their ids.

    It may be called again for what is left of an image that is gone.

    Args:
        ec2: Client of the region.
        image_id: The image.
        just_made: EC2 may not know it yet, so it is waited for. Default: then it is gone.

    Raises:
        SaveImageError: There is nothing of it, it was not made here, or something is left.
    """
    image = _settled(ec2, image_id, just_made)
    if image is not None and not just_made:
        require_saved(image)
    snapshots = {*snapshots_of(image), *find_snapshots(ec2, image_id)}
    if image is None and not snapshots and not just_made:
        raise SaveImageError(
            f"{image_id}: this account has neither such an image nor snapshots of it in this "
            "region; check AWS_REGION"
        )
    # None: EC2 knows no such image
    results = _deregister(ec2, image_id, SETTLE_SECONDS if image else 0)
    if just_made and image is None and results is None:
        known = ", ".join(sorted(snapshots)) or "none yet"
        raise SaveImageError(
            f"{image_id} (snapshots: {known}): EC2 did not know it for {SETTLE_SECONDS:g} s; it "
            f"may appear later, and costs; run: {UNDO} {image_id}"
        )
    results = results or {}
    # What EC2 named late, or showed to one call and not to the other
    snapshots |= {*results, *find_snapshots(ec2, image_id)}
    settled = {one for one, code in results.items() if code in ("success", "skipped")}
    left = _delete_snapshots(ec2, snapshots - settled)
    left |= {one: "another image uses it" for one, code in results.items() if code == "skipped"}
    if left:
        ids = ", ".join(sorted(left))
        raise SaveImageError(
            f"{image_id} is deregistered, but {ids} could not be deleted and costs: "
            f"{'; '.join(sorted({*left.values()}))}. Once that is cured, run: {UNDO} {image_id}"
        )
    return sorted(snapshots)


def find_image(ec2: EC2Client, image_id: str) -> ImageTypeDef | None:
    """An image of this account; None if EC2 does not know it, yet or any more."""
    try:
        images = ec2.describe_images(ImageIds=[image_id], Owners=["self"])["Images"]
    except ClientError as error:
        if error.response["Error"]["Code"] in _UNKNOWN:
            return None
        raise
    return images[0] if images else None


def find_snapshots(ec2: EC2Client, image_id: str) -> list[str]:
    """Snapshots that were made for an image of this module, also when the image is gone."""
    # EC2's own text: Created by CreateImage(i-...) for ami-..., and formerly: from vol-...
    filters: list[Any] = [
        {"Name": "tag-key", "Values": [SAVED_TAG]},
        {"Name": "description", "Values": [f"*{image_id}*"]},
    ]
    shown = ec2.describe_snapshots(OwnerIds=["self"], Filters=filters)["Snapshots"]
    return sorted(row["SnapshotId"] for row in shown)


def require_saved(image: ImageTypeDef) -> None:
    """Refuse to touch an image that was not made here.

    Raises:
        SaveImageError: It has no tag of this module.
    """
    if SAVED_TAG not in {tag["Key"] for tag in image.get("Tags", [])}:
        raise SaveImageError(
            f"{image['ImageId']} has no tag {SAVED_TAG}: it was not saved from a workstation, and "
            "is left alone; `cdk destroy Image/GpuImage` removes what that stack baked"
        )


def snapshots_of(image: ImageTypeDef | None) -> list[str]:
    """The snapshots that an image names; none where there is no image."""
    disks = (mapping.get("Ebs", {}) for mapping in (image or {}).get("BlockDeviceMappings", []))
    return [disk["SnapshotId"] for disk in disks if "SnapshotId" in disk]


def tries(seconds: float) -> Iterator[None]:
    """One round at least, and more of them for some seconds, with growing pauses."""
    end, pause = time.monotonic() + seconds, FIRST_PAUSE
    while True:
        yield
        if time.monotonic() + pause > end:
            return
        time.sleep(pause)
        pause = min(pause * 2, LONGEST_PAUSE)


def _settled(ec2: EC2Client, image_id: str, just_made: bool) -> ImageTypeDef | None:
    """The image, once EC2 knows it and all snapshots of it; None if it is gone."""
    image = None
    for _ in tries(SETTLE_SECONDS):
        image = find_image(ec2, image_id) or image
        if image is None:
            if not just_made:
                return None
        # A snapshot that a pending image does not name yet would stay behind
        elif image["State"] != "pending" or _names_all(ec2, image):
            return image
    return image


def _names_all(ec2: EC2Client, image: ImageTypeDef) -> bool:
    """Whether a snapshot is known of the root disk and of each data volume of the image."""
    tags = {tag["Key"]: tag["Value"] for tag in image.get("Tags", [])}
    volumes = 1 + len(tags.get(DATA_VOLUMES_TAG, "").split())
    return len({*snapshots_of(image), *find_snapshots(ec2, image["ImageId"])}) >= volumes


def _deregister(ec2: EC2Client, image_id: str, seconds: float) -> dict[str, str] | None:
    """The return code of each snapshot that EC2 tried to delete; None if it knows no such image."""
    for _ in tries(seconds):
        try:
            answer = ec2.deregister_image(ImageId=image_id, DeleteAssociatedSnapshots=True)
        except ClientError as error:
            if error.response["Error"]["Code"] not in _UNKNOWN:
                raise
        else:
            rows = answer.get("DeleteSnapshotResults", []) if answer else []
            return {row["SnapshotId"]: row["ReturnCode"] for row in rows}
    return None


def _delete_snapshots(ec2: EC2Client, snapshots: set[str]) -> dict[str, str]:
    """Delete snapshots; answers why, for each that is still there."""
    left = dict.fromkeys(snapshots, "")
    for _ in tries(SETTLE_SECONDS):
        for snapshot in sorted(left):
            try:
                ec2.delete_snapshot(SnapshotId=snapshot)
            except ClientError as error:
                if error.response["Error"]["Code"] != "InvalidSnapshot.NotFound":
                    left[snapshot] = explain(error)
                    continue
            del left[snapshot]
        if not any(why.startswith("InvalidSnapshot.InUse") for why in left.values()):
            break
    return left
