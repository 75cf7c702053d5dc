"""What ``gpustation start`` does if the machine does not start: other zones, and the move there."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from gpustation.cli.ending import agreed
from gpustation.console.errors import CommandError
from gpustation.console.interrupts import say, warn

if TYPE_CHECKING:
    import boto3

    from gpustation.workstation.find import Workstation
    from gpustation.workstation.other_zones import Zones
    from gpustation.workstation.refusal import NotStartedError


@dataclass(frozen=True)
class Request:
    """What a person asked for.

    Attributes:
        move: Move the machine if it does not start.
        yes: Ask nothing.
        as_json: Print nothing but a document.
    """

    move: bool
    yes: bool
    as_json: bool

    @property
    def may_ask(self) -> bool:
        """Whether there is somebody to offer a move to."""
        return not self.yes and sys.stdin.isatty()

    def report(self, line: str) -> None:
        """Print a line of progress."""
        (warn if self.as_json else say)(line)


def elsewhere(
    session: boto3.Session, workstation: Workstation, refusal: NotStartedError, request: Request
) -> tuple[Workstation, dict[str, str]]:
    """Show the zones with room, and move the machine to one of them after a yes.

    Returns:
        The workstation with its moved machine, and how it was moved, for the document.

    Raises:
        NotStartedError: There is no other zone, or the move was not wanted.
        CommandError: The move failed; the old machine and its disk are there.
    """
    from gpustation.move.prepare import prepare
    from gpustation.move.settings import Target
    from gpustation.move.steps import move
    from gpustation.saved_image.remove import UNDO
    from gpustation.workstation.other_zones import ask_zones

    machine = refusal.machine
    if not refusal.cause.is_of_the_zone:
        raise refusal
    wanted = request.move or request.may_ask
    if wanted:
        request.report(f"{machine.instance_id} does not start: {refusal.why}")
    zones = ask_zones(session, workstation, machine, own_zone=machine.is_spot)
    _show(zones, refusal, request)
    if not zones.order:
        raise _refused(refusal, _no_room(zones, refusal))
    where = _where(zones.order, refusal)
    hint = (
        f"{where}; `gpustation start --move`, in the folder of its CDK app, moves the machine "
        "there with its disk, `gpustation start --wait 2h` waits"
    )
    if not wanted:
        raise _refused(refusal, hint)
    target = Target(zones.order[0], to_on_demand=machine.is_spot)
    try:
        prepared = prepare(session, workstation, machine, target, Path.cwd())
    except CommandError as why:
        raise _refused(refusal, f"{where}, but it cannot be moved from here: {why}") from why
    for line in prepared.lines:
        request.report(line)
    written = ", ".join(f"{key}={value}" for key, value in prepared.target.values(machine).items())
    question = (
        f"Move {workstation.stack} to {target.zone}{' as on-demand' if machine.is_spot else ''} "
        f"now? Its disk is copied into an image, cdk.json gets that image and {written}, and cdk "
        f"deploy makes a new machine; {machine.instance_id} is deleted once that is ready."
    )
    if not request.yes and not agreed(question):
        raise _refused(refusal, f"{where}; it was not moved")
    moved, image = move(session, prepared, request.report, live=not request.as_json)
    request.report(
        f"moved from {machine.zone} to {target.zone}: {machine.instance_id} is now "
        f"{moved.instance_id}. {image}, the copy of the old disk, is yours and billed; "
        f"{UNDO} {image} deletes it"
    )
    return moved, {
        "from": machine.instance_id,
        "from_zone": machine.zone,
        "image": image,
        "undo": f"{UNDO} {image}",
    }


def _show(zones: Zones, refusal: NotStartedError, request: Request) -> None:
    """A row for each zone that answered."""
    from gpustation.catalog.capacity import Kind
    from gpustation.console.tables import say_table

    words = {
        Kind.ROOM: "room",
        Kind.FULL: "no room",
        Kind.UNSUPPORTED: "not reservable",
    }
    rows = [
        (answer.zone, words.get(answer.kind, "not known"), answer.code or None)
        for answer in zones.answers
    ]
    if request.as_json:
        for row in rows:
            warn("  ".join(str(cell or "-") for cell in row))
    elif rows:
        say_table(("zone", refusal.machine.instance_type, "answer of EC2"), rows)
    if zones.left:
        warn(
            f"{zones.left}, a capacity reservation by which a zone was asked, could not be "
            "cancelled and is billed until EC2 ends it, 15 to 75 minutes from now; sooner: aws ec2 "
            f"cancel-capacity-reservation --capacity-reservation-id {zones.left}"
        )
    if zones.order:
        warn("the price is the same in each zone of a region")


def _no_room(zones: Zones, refusal: NotStartedError) -> str:
    """What is known of the other zones, and what may help, if none has room."""
    from gpustation.catalog.capacity import Kind

    later = "`gpustation start --wait 2h` keeps trying" if refusal.cause.passes else ""
    full = [answer.zone for answer in zones.answers if answer.kind is Kind.FULL]
    silent = [answer.zone for answer in zones.answers if answer.kind is not Kind.FULL]
    known = f"{', '.join(full)} has no room either" if full else ""
    if zones.unknown:
        known += f"{'; ' if known else ''}whether another zone has room is not known: "
        known += zones.unknown
    elif silent:
        known += f"{'; ' if known else ''}whether {', '.join(silent)} has room is not known"
    another = "another instance_type may start, and keeps the disk where it is"
    if refusal.machine.is_spot:
        another = ""  # EC2 changes the type of no stopped spot machine
    return "; ".join(filter(None, (known, later, another)))


def _where(order: tuple[str, ...], refusal: NotStartedError) -> str:
    kind = "on-demand machine" if refusal.machine.is_spot else "machine"
    return f"there is room for this {kind} in {', '.join(order)}"


def _refused(refusal: NotStartedError, remedy: str) -> NotStartedError:
    """The refusal with what was found; the cause was printed already."""
    return type(refusal)(refusal.machine, refusal.cause, refusal.why, remedy)
