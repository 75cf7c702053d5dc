"""The steps of a move: copy the disk, write cdk.json, deploy the next generation from the copy.

The old machine stays, stopped and with its disk, until CloudFormation has the new one ready. A
move that ends at any step is gone on with, or taken back, by the next ``gpustation start``.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from botocore.exceptions import BotoCoreError, ClientError

from gpustation.aws.session import explain
from gpustation.console.errors import CommandError
from gpustation.console.interrupts import Interrupted, held, warn
from gpustation.console.shown_text import visible
from gpustation.deploy.operation import deploy
from gpustation.move.copies import make_copy, require_untouched
from gpustation.move.prepare import Prepared
from gpustation.plan.assembly import AssemblyError, assembly
from gpustation.saved_image.make import POLL_SECONDS
from gpustation.saved_image.remove import UNDO
from gpustation.settings.cdk_json import Change
from gpustation.workstation.find import Workstation, find_one

if TYPE_CHECKING:
    import boto3

SEEN_SECONDS = 3.0
"""How long CloudFormation may show a stack as idle whose update was just begun."""

Say = Callable[[str], None]


def move(
    session: boto3.Session,
    prepared: Prepared,
    say: Say,
    *,
    live: bool,
    poll_seconds: float = POLL_SECONDS,
) -> tuple[Workstation, str]:
    """Moves the machine.

    Args:
        session: The session.
        prepared: The move.
        say: Prints a line of progress.
        live: Show the steps of the deploy as a table that changes, on a terminal.
        poll_seconds: Polling interval of the image. Default: 10.

    Returns:
        The workstation with its new machine, and the id of the image, which is kept.

    Raises:
        CommandError: A step failed. The old machine and its disk are there.
        Interrupted: A signal was received; likewise, unless CloudFormation goes on.
    """
    ec2 = session.client("ec2")
    image = make_copy(ec2, prepared.saved, prepared.machine, say, poll_seconds)
    try:
        with assembly(context=prepared.settings(image)) as folder:
            require_untouched(ec2, prepared.machine)
            change = _change(prepared, image, say)
            return _deploy(session, prepared, change, folder, say, live=live), image
    except _GoesOnError:
        warn(f"{image} is the copy of the disk; do not delete it before that deploy has ended")
        raise
    except AssemblyError as error:
        warn(_kept(image))
        raise CommandError(str(error)) from error
    except BaseException:
        warn(_kept(image))
        raise


class _GoesOnError(CommandError):
    """The command ends, and CloudFormation goes on, or may go on, with the deploy."""


def _kept(image: str) -> str:
    return (
        f"{image}, the copy of the disk, is kept for another `gpustation start`, and billed; "
        f"{UNDO} {image} deletes it"
    )


def _change(prepared: Prepared, image: str, say: Say) -> Change:
    """The settings of the moved machine in cdk.json, which are printed and not yet written."""
    values = {"image": image, **prepared.target.values(prepared.machine)}
    change = Change.read(prepared.folder).with_values(values)
    for line in change.diff():
        say(visible(line))
    return change


def _deploy(
    session: boto3.Session,
    prepared: Prepared,
    change: Change,
    folder: Path,
    say: Say,
    *,
    live: bool,
) -> Workstation:
    """Write cdk.json and deploy; if that fails, take back cdk.json.

    The CDK CLI fails, or is interrupted, while CloudFormation goes on, too.

    Raises:
        CommandError: It failed.
        _GoesOnError: It goes on, or that is not known.
        Interrupted: A signal was received, and nothing goes on.
    """
    written = False
    try:
        with held(f"writing {change.path.name}"):
            change.write()
            written = True
        return deploy(session, folder, prepared.stack, say, live=live)
    except (CommandError, KeyboardInterrupt) as error:
        if not written:
            raise
        with held("looking whether CloudFormation goes on, which decides about cdk.json"):
            workstation = _after_failure(session, prepared, change, error)
        if isinstance(error, KeyboardInterrupt):
            raise
        return workstation


def _after_failure(
    session: boto3.Session, prepared: Prepared, change: Change, error: BaseException
) -> Workstation:
    """Take back cdk.json if nothing goes on; returns the workstation if the deploy succeeded.

    Raises:
        CommandError: It failed.
        _GoesOnError: It goes on, or that is not known.
    """
    old, name = prepared.machine.instance_id, change.path.name
    status = error.status if isinstance(error, (CommandError, Interrupted)) else 1
    why = str(error) if isinstance(error, CommandError) else "interrupted"
    later = (
        f"{name} has the settings of the moved machine: `gpustation wait` waits for the deploy, "
        "and if it fails, `gpustation start` here takes them back"
    )
    try:
        workstation = _settled(session, prepared)
    except (ClientError, BotoCoreError) as unknown:
        cause = explain(unknown)
        text = f"{why}; it is not known whether CloudFormation goes on ({cause}), and {later}"
        raise _GoesOnError(text, status) from error
    if workstation.busy:
        text = f"{why}; CloudFormation goes on ({workstation.status}), and {later}"
        raise _GoesOnError(text, status) from error
    if workstation.instance_id not in ("", old):
        return workstation
    try:
        replace(change, old=change.new, new=change.old).write()
        done = f"{name} is as before"
    except CommandError as fault:
        done = f"{name} has the settings of the move ({fault}): take them out"
    if isinstance(error, KeyboardInterrupt):
        warn(f"{old} and its disk are there, and {done}")
        return workstation
    raise CommandError(f"{why}; {old} and its disk are there, and {done}", status) from error


def _settled(session: boto3.Session, prepared: Prepared) -> Workstation:
    """The workstation, looked at twice if it seems unchanged.

    The last call of a CLI that was interrupted may not be seen yet.
    """
    cloudformation = session.client("cloudformation")
    workstation = find_one(cloudformation, prepared.stack)
    if workstation.busy or workstation.instance_id not in ("", prepared.machine.instance_id):
        return workstation
    time.sleep(SEEN_SECONDS)
    return find_one(cloudformation, prepared.stack)
