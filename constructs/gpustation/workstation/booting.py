"""Waits until a machine that was started or rebooted is set up again, by its own report."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from botocore.exceptions import ClientError

from gpustation.access.report import ReportError, SetUp, read_reports, report_of
from gpustation.console.errors import CommandError
from gpustation.console.statuses import TIMED_OUT

if TYPE_CHECKING:
    from mypy_boto3_ssm import SSMClient

    from gpustation.workstation.machine import Machine

BOOT_SECONDS = 600.0
"""A boot with nothing to install takes a minute or two; one after a change of type, some more."""
POLL_SECONDS = 3.0

Say = Callable[[str], None]


def reported(ssm: SSMClient, machine: Machine) -> SetUp | None:
    """The set-up that the machine reported last; ``None`` if that is unknown."""
    try:
        report = report_of(machine, read_reports(ssm, machine.stack))
    except (ClientError, ReportError):
        return None
    return report.set_up if report else None


def await_set_up(ssm: SSMClient, machine: Machine, before: SetUp | None, say: Say) -> None:
    """Wait until a machine that boots reports the end of its set-up.

    Args:
        ssm: The client.
        machine: The machine, which boots.
        before: What it reported before the boot. ``None``: it cannot be waited for, as with a
            machine of an earlier version; nothing is done.
        say: Prints a line of progress.

    Raises:
        CommandError: The set-up failed, or did not end in ``BOOT_SECONDS`` (``TIMED_OUT``).
    """
    if before is None:
        return
    begin = time.monotonic()
    last = ""
    while True:
        now = reported(ssm, machine)
        seconds = time.monotonic() - begin
        if now is not None and now.since != before.since:
            if now.state == "complete":
                say(f"set up after {seconds:.0f} s")
                return
            if now.state == "failed":
                raise CommandError(
                    f"{machine.instance_id} runs, but phase {now.phase} of its set-up failed; "
                    f"`gpustation log --machine --phase {now.phase}` shows why"
                )
            if now.phase != last:
                last = now.phase
                say(f"phase {last} after {seconds:.0f} s")
        if seconds + POLL_SECONDS > BOOT_SECONDS:
            where = f"phase {last} runs" if last else "it has not reported"
            raise CommandError(
                f"{machine.instance_id} was not set up within {BOOT_SECONDS:g} s: {where}; "
                "`gpustation log --machine` shows the phases",
                TIMED_OUT,
            )
        time.sleep(POLL_SECONDS)
