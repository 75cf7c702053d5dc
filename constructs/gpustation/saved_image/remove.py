"""Deletes images that were saved from a workstation, with their snapshots.

EC2 is eventually consistent. For some seconds it may report a new image as not found, show no
snapshots of a pending image, or report a snapshot as in use although its image is deregistered.
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
"""How long EC2 may be inconsistent. Public reports mention seconds, and minutes for a snapshot in
use (amazon.aws#1321, boto/boto#3019)."""
FIRST_PAUSE, LONGEST_PAUSE = 1.0, 10.0
"""Seconds between two attempts."""
UNDO = "gpustation image undo"
_UNKNOWN = ("InvalidAMIID.NotFound", "InvalidAMIID.Unavailable")
"""EC2's error codes for an image that does not exist yet, or is deregistered."""


class SaveImageError(CommandError):
    """An image could not be saved or deleted; the message says why in one line."""


def remove(ec2: EC2Client, image_id: str, *, just_made: bool = False) -> list[str]:
    """Deregister a saved image and delete its snapshots.

    It can be repeated for snapshots that remain of a deregistered image.

    Args:
        ec2: Client of the region.
        image_id: Id of the image.
        just_made: Wait for the image if EC2 does not show it yet. Default: it is deregistered.

    Returns:
        Ids of the deleted snapshots.

    Raises:
        SaveImageError: There is no such image, it was not saved from a workstation, or some
            snapshots remain.
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
    # None if EC2 does not show the image
    results = _deregister(ec2, image_id, SETTLE_SECONDS if image else 0)
    if just_made and image is None and results is None:
        known = ", ".join(sorted(snapshots)) or "none yet"
        raise SaveImageError(
            f"{image_id} (snapshots: {known}): EC2 did not show it for {SETTLE_SECONDS:g} s; it "
            f"may appear later and be billed; then run: {UNDO} {image_id}"
        )
    results = results or {}
    # Also those that only one of the calls showed, or that appeared late
    snapshots |= {*results, *find_snapshots(ec2, image_id)}
    done = {name for name, code in results.items() if code in ("success", "skipped")}
    left = _delete_snapshots(ec2, snapshots - done)
    left |= {name: "another image uses it" for name, code in results.items() if code == "skipped"}
    if left:
        ids = ", ".join(sorted(left))
        raise SaveImageError(
            f"{image_id} is deregistered, but {ids} could not be deleted and is billed: "
            f"{'; '.join(sorted({*left.values()}))}. After fixing that, run: {UNDO} {image_id}"
        )
    return sorted(snapshots)


def find_image(ec2: EC2Client, image_id: str) -> ImageTypeDef | None:
    """An image of this account; ``None`` if EC2 does not show it (yet)."""
    try:
        images = ec2.describe_images(ImageIds=[image_id], Owners=["self"])["Images"]
    except ClientError as error:
        if error.response["Error"]["Code"] in _UNKNOWN:
            return None
        raise
    return images[0] if images else None


def find_snapshots(ec2: EC2Client, image_id: str) -> list[str]:
    """Ids of the snapshots of a saved image, also after it is deregistered."""
    # EC2's description: "Created by CreateImage(i-...) for ami-...", formerly with "from vol-..."
    filters: list[Any] = [
        {"Name": "tag-key", "Values": [SAVED_TAG]},
        {"Name": "description", "Values": [f"*{image_id}*"]},
    ]
    rows = ec2.describe_snapshots(OwnerIds=["self"], Filters=filters)["Snapshots"]
    return sorted(row["SnapshotId"] for row in rows)


def require_saved(image: ImageTypeDef) -> None:
    """Check that an image was saved from a workstation.

    Raises:
        SaveImageError: It lacks the tag of saved images.
    """
    if SAVED_TAG not in {tag["Key"] for tag in image.get("Tags", [])}:
        raise SaveImageError(
            f"{image['ImageId']} has no tag {SAVED_TAG}: it was not saved from a workstation, and "
            "is not deleted; `cdk destroy Image/GpuImage` deletes an image of that stack"
        )


def snapshots_of(image: ImageTypeDef | None) -> list[str]:
    """Ids of the snapshots in an image's block device mappings; empty if there is no image."""
    disks = (mapping.get("Ebs", {}) for mapping in (image or {}).get("BlockDeviceMappings", []))
    return [disk["SnapshotId"] for disk in disks if "SnapshotId" in disk]


def tries(seconds: float) -> Iterator[None]:
    """Yield at least once, then again with exponential back-off until the time is up."""
    end, pause = time.monotonic() + seconds, FIRST_PAUSE
    while True:
        yield
        if time.monotonic() + pause > end:
            return
        time.sleep(pause)
        pause = min(pause * 2, LONGEST_PAUSE)


def _settled(ec2: EC2Client, image_id: str, just_made: bool) -> ImageTypeDef | None:
    """The image, once EC2 shows it with all its snapshots; ``None`` if it is deregistered."""
    image = None
    for _ in tries(SETTLE_SECONDS):
        image = find_image(ec2, image_id) or image
        if image is None:
            if not just_made:
                return None
        # A snapshot that a pending image does not list yet would not be deleted
        elif image["State"] != "pending" or _lists_all(ec2, image):
            return image
    return image


def _lists_all(ec2: EC2Client, image: ImageTypeDef) -> bool:
    """Whether EC2 shows a snapshot for the root disk and for each data volume of the image."""
    tags = {tag["Key"]: tag["Value"] for tag in image.get("Tags", [])}
    volumes = 1 + len(tags.get(DATA_VOLUMES_TAG, "").split())
    return len({*snapshots_of(image), *find_snapshots(ec2, image["ImageId"])}) >= volumes


def _deregister(ec2: EC2Client, image_id: str, seconds: float) -> dict[str, str] | None:
    """EC2's return code by deleted snapshot; ``None`` if EC2 does not show the image."""
    for _ in tries(seconds):
        try:
            response = ec2.deregister_image(ImageId=image_id, DeleteAssociatedSnapshots=True)
        except ClientError as error:
            if error.response["Error"]["Code"] not in _UNKNOWN:
                raise
        else:
            rows = response.get("DeleteSnapshotResults", []) if response else []
            return {row["SnapshotId"]: row["ReturnCode"] for row in rows}
    return None


def _delete_snapshots(ec2: EC2Client, snapshots: set[str]) -> dict[str, str]:
    """Delete snapshots; returns the reason for each that remains."""
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
