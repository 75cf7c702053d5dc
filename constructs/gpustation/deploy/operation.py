"""A deploy or a deletion with the CDK CLI, with a view of its steps."""

from __future__ import annotations

import contextlib
import tempfile
import time
from collections.abc import Callable, Collection, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from botocore.exceptions import BotoCoreError, ClientError

from gpustation.aws.stack_events import operation_events
from gpustation.catalog.capacity import says_capacity_is_missing
from gpustation.console.errors import CommandError
from gpustation.console.shown_text import one_line
from gpustation.console.state_folder import state_folder
from gpustation.console.statuses import FINDING, NO_CAPACITY
from gpustation.deploy.cdk import run_cdk
from gpustation.deploy.live import StepView
from gpustation.deploy.steps import QUOTA, Step, failure, steps_of
from gpustation.workstation.find import Workstation, find_one, is_gone

if TYPE_CHECKING:
    import boto3
    from mypy_boto3_cloudformation import CloudFormationClient
    from mypy_boto3_cloudformation.type_defs import StackEventTypeDef

Say = Callable[[str], None]


def deploy(
    session: boto3.Session, assembly: Path, stack: str, say: Say, *, live: bool
) -> Workstation:
    """Deploy a cloud assembly with ``cdk deploy``.

    Args:
        session: Account and region.
        assembly: Folder of the cloud assembly.
        stack: Name of its stack.
        say: Prints a line for each step.
        live: Show the steps as a table that changes, on a terminal.

    Raises:
        CommandError: The deploy failed; the message has the reason and the file with the CLI's
            output. Its status is ``NO_CAPACITY`` if quota or capacity were missing.
        Interrupted: A signal was received; CloudFormation goes on with the deploy.
    """
    cloudformation = session.client("cloudformation")
    log = _log_file("deploy", stack)
    before = _ids(cloudformation, stack)
    status = _run(
        cloudformation,
        ["deploy", "--app", str(assembly), "--require-approval", "never", "--progress", "events"],
        log,
        stack,
        say,
        before,
        live=live,
        deletes=False,
    )
    if status == 0:
        return find_one(cloudformation, stack)
    events = [one for one in _events(cloudformation, stack) if one["EventId"] not in before]
    why = failure(events) or _last_line(log)
    missing = says_capacity_is_missing(why) or _quota_failed(events)
    raise CommandError(
        f"the deploy of {stack} failed: {one_line(why)} (output of cdk: {log})",
        NO_CAPACITY if missing else FINDING,
    )


def destroy(
    session: boto3.Session, options: Sequence[str], stack: str, say: Say, *, live: bool
) -> None:
    """Delete a stack with ``cdk destroy``, and wait until it is gone.

    The app is synthesized into a folder of its own: the CDK CLI refuses a second command in
    ``cdk.out``, as long as a deploy of another stack goes on from there.

    Args:
        session: Account and region.
        options: Options that select the app and the stack.
        stack: Name of the stack.
        say: Prints a line for each step.
        live: Show the steps as a table that changes, on a terminal.

    Raises:
        CommandError: The deletion failed, or the app does not have this stack.
        Interrupted: A signal was received; CloudFormation goes on with the deletion.
    """
    cloudformation = session.client("cloudformation")
    log = _log_file("destroy", stack)
    with tempfile.TemporaryDirectory(prefix="gpustation-down-") as scratch:
        status = _run(
            cloudformation,
            ["destroy", "--force", *options, "--output", str(Path(scratch, "cdk.out"))],
            log,
            stack,
            say,
            _ids(cloudformation, stack),
            live=live,
            deletes=True,
        )
    if status != 0:
        why = failure(_events(cloudformation, stack)) or _last_line(log)
        raise CommandError(
            f"the deletion of {stack} failed: {one_line(why)} (output of cdk: {log})"
        )
    if not is_gone(cloudformation, stack):
        raise CommandError(
            f"cdk destroy ended, but {stack} still exists: the app in this folder may not have it; "
            f"its output: {log}"
        )


def _run(
    cloudformation: CloudFormationClient,
    words: Sequence[str],
    log: Path,
    stack: str,
    say: Say,
    before: Collection[str],
    *,
    live: bool,
    deletes: bool,
) -> int:
    def read() -> Sequence[Step]:
        events = _events(cloudformation, stack)
        new = [event for event in events if event["EventId"] not in before]
        return steps_of(new, deletes=deletes)

    operation = "deletion" if deletes else "deploy"
    on_signal = (
        f"ending the CDK CLI; CloudFormation goes on with the {operation} of {stack}, "
        "`gpustation status` shows it"
    )
    region = cloudformation.meta.region_name
    with StepView(read, say).shown(live=live) as view:
        return run_cdk(words, log, region=region, on_signal=on_signal, tick=view.tick)


def _events(cloudformation: CloudFormationClient, stack: str) -> list[StackEventTypeDef]:
    """Events of the last operation; none if they cannot be read now, as they are only shown."""
    with contextlib.suppress(ClientError, BotoCoreError):
        return operation_events(cloudformation, stack)
    return []


def _ids(cloudformation: CloudFormationClient, stack: str) -> frozenset[str]:
    """Events of earlier operations. Their times do not help: this computer's clock may differ."""
    return frozenset(event["EventId"] for event in _events(cloudformation, stack))


def _quota_failed(events: Iterable[StackEventTypeDef]) -> bool:
    return any(step.name == QUOTA and step.state == "failed" for step in steps_of(events))


def _last_line(log: Path) -> str:
    lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
    return next((line.strip() for line in reversed(lines) if line.strip()), "cdk printed nothing")


def _log_file(operation: str, stack: str) -> Path:
    stamp = time.strftime("%Y%m%d-%H%M%S", time.gmtime())
    folder = state_folder() / "logs"
    folder.mkdir(mode=0o700, exist_ok=True)
    return folder / f"{stamp}-{operation}-{stack}.log"
