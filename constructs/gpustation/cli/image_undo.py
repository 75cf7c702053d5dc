"""``gpustation image undo``: deletes an image that ``image save`` created."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gpustation.cli.ending import confirm, run, say_json
from gpustation.cli.options import AsJson, ImageId, Region, Yes, epilog
from gpustation.console.interrupts import held, say
from gpustation.console.statuses import FINDING

if TYPE_CHECKING:
    from mypy_boto3_ec2 import EC2Client

EPILOG = epilog("gpustation image undo ami-0123456789abcdef0", FINDING)


def undo(image: ImageId, region: Region = "", yes: Yes = False, as_json: AsJson = False) -> None:
    """Delete a saved image and its snapshots.

    Can be repeated if snapshots remain.
    """

    def work() -> int:
        from gpustation.aws.session import make_session

        return delete_saved(make_session(region).client("ec2"), image, yes, as_json)

    run("image undo", work)


def delete_saved(ec2: EC2Client, image: str, yes: bool, as_json: bool) -> int:
    """Delete a saved image after asking; returns the exit status."""
    from gpustation.saved_image.remove import find_image, find_snapshots, remove, require_saved

    description = find_image(ec2, image)
    what = ""
    if description is not None:
        require_saved(description)
        what = f"{image} ({description.get('Name', '')}) and its snapshots"
    elif snapshots := find_snapshots(ec2, image):
        what = f"{', '.join(snapshots)}, which remain of {image},"
    # Otherwise remove() raises an error
    if what:
        confirm(f"{what} will be deleted permanently. Continue?", yes)
    with held(f"finishing the deletion of {image}, which may take some minutes"):
        deleted = remove(ec2, image)
        if as_json:
            say_json({"image": image, "deleted": deleted})
        else:
            say(f"{image} is deregistered; deleted: {', '.join(deleted) or 'no snapshot'}")
    return 0
