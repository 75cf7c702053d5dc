"""The copies of a stopped machine's disk that moves make: images with a tag of their own."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

from gpustation.catalog.names import LAST_START_TAG, SAVED_TAG, started_text
from gpustation.console.errors import CommandError
from gpustation.saved_image import make
from gpustation.saved_image.remove import UNDO
from gpustation.workstation.machine import Machine, describe

if TYPE_CHECKING:
    from mypy_boto3_ec2 import EC2Client

Say = Callable[[str], None]


@dataclass(frozen=True)
class Copy:
    """A copy of a machine's disk.

    Attributes:
        image_id: Id of the image.
        state: Its state in EC2, e.g. ``available``.
        machine: Id of the machine that it was made of.
        last_start: When that machine had been started last, as in ``started_text``.
    """

    image_id: str
    state: str
    machine: str
    last_start: str

    def is_newest(self, machine: Machine) -> bool:
        """Whether it has everything that is on the machine's disk."""
        stopped = machine.state == "stopped" and machine.instance_id == self.machine
        return stopped and started_text(machine.started) == self.last_start


def find_copies(ec2: EC2Client, machine: Machine) -> list[Copy]:
    """The copies of a machine's disk that moves made."""
    filters: list[Any] = [
        {"Name": f"tag:{SAVED_TAG}", "Values": [machine.instance_id]},
        {"Name": "tag-key", "Values": [LAST_START_TAG]},
    ]
    rows = ec2.describe_images(Owners=["self"], Filters=filters)["Images"]
    return [read_copy(row) for row in rows]


def read_copy(row: Any) -> Copy:
    """The copy in a row of EC2's description; its tags may be missing."""
    tags = {tag["Key"]: tag["Value"] for tag in row.get("Tags", [])}
    return Copy(
        row["ImageId"],
        row.get("State", ""),
        tags.get(SAVED_TAG, ""),
        tags.get(LAST_START_TAG, ""),
    )


def make_copy(
    ec2: EC2Client, saved: make.Workstation, machine: Machine, say: Say, poll_seconds: float
) -> str:
    """Id of a copy of the stopped machine's disk: that of a move before, or a new one.

    Raises:
        SaveImageError: It could not be made; nothing of it is left, or the last line passed to
            ``say`` names what is.
        Interrupted: A signal was received; likewise.
    """
    for copy in find_copies(ec2, machine):
        if not copy.is_newest(machine):
            say(f"{copy.image_id} is older than the disk and not used; {UNDO} {copy.image_id}")
        elif copy.state == "available":
            say(f"{copy.image_id} is a copy of the disk already")
            return copy.image_id
        elif copy.state == "pending":
            make.finish(ec2, copy.image_id, report=say, poll_seconds=poll_seconds)
            return copy.image_id
        else:
            say(f"{copy.image_id} is {copy.state} and not used; {UNDO} {copy.image_id}")
    stamp = datetime.now(timezone.utc).strftime("%Y%m%d-%H%M%S")
    return make.save(
        ec2,
        saved,
        f"{saved.stack[:90]}-move-{stamp}",
        report=say,
        tags={LAST_START_TAG: started_text(machine.started)},
        poll_seconds=poll_seconds,
    )


def require_untouched(ec2: EC2Client, machine: Machine) -> None:
    """Check that nobody started the machine since it was looked at.

    Raises:
        CommandError: Somebody did; a copy of its disk may be older than the disk now.
    """
    now = describe(ec2, machine.instance_id)
    if now.state == "stopped" and now.started == machine.started:
        return
    raise CommandError(
        f"{machine.instance_id} was started meanwhile and is {now.state}, so it is not moved; "
        "`gpustation status` shows it"
    )
