"""Waits until a workstation is ready, runs or is stopped."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from gpustation.console.errors import CommandError
from gpustation.console.statuses import TIMED_OUT
from gpustation.workstation.find import Workstation, find_one
from gpustation.workstation.machine import POLL_SECONDS, Machine, describe

if TYPE_CHECKING:
    from mypy_boto3_cloudformation import CloudFormationClient
    from mypy_boto3_ec2 import EC2Client

_FAILED = ("FAILED", "ROLLBACK")


def await_goal(
    cloudformation: CloudFormationClient,
    ec2: EC2Client,
    stack: str,
    goal: str,
    seconds: float,
    say: Callable[[str], None],
) -> Machine:
    """Waits for a state of the workstation.

    Args:
        cloudformation: Client of the stack's region.
        ec2: Client of the same region.
        stack: Name of the stack.
        goal: ``ready``, ``running`` or ``stopped``.
        seconds: How long to wait at most.
        say: Prints a line whenever the state changes.

    Raises:
        CommandError: The state cannot be reached any more, or the time is over (``TIMED_OUT``).
            The message has the last state.
    """
    begin, last = time.monotonic(), ""
    while True:
        state, machine = _state(find_one(cloudformation, stack), ec2, goal)
        if state != last:
            say(f"{state} after {time.monotonic() - begin:.0f} s")
            last = state
        if state == goal and machine is not None:
            return machine
        if time.monotonic() - begin + POLL_SECONDS > seconds:
            raise CommandError(f"{stack} is not {goal} after {seconds:g} s: {state}", TIMED_OUT)
        time.sleep(POLL_SECONDS)


def _state(workstation: Workstation, ec2: EC2Client, goal: str) -> tuple[str, Machine | None]:
    """The goal, or what keeps the workstation from it; and the machine, if there is one."""
    if not workstation.instance_id:
        if not workstation.busy:
            raise CommandError(
                f"{workstation.stack} is in status {workstation.status} and has no machine; it "
                f"will not be {goal}"
            )
        return workstation.status, None
    machine = describe(ec2, workstation.instance_id)
    if machine.is_gone:
        raise CommandError(f"{machine.instance_id} is {machine.state}; it will not be {goal}")
    if goal != "ready" or machine.state != "running":
        return machine.state, machine
    if workstation.busy:
        return workstation.status, machine
    if any(word in workstation.status for word in _FAILED) and "Ready" not in workstation.outputs:
        raise CommandError(
            f"{workstation.stack} is in status {workstation.status}; `gpustation log` shows why"
        )
    rows = ec2.describe_instance_status(InstanceIds=[machine.instance_id])["InstanceStatuses"]
    checks = {row[check]["Status"] for row in rows for check in ("InstanceStatus", "SystemStatus")}
    return ("ready" if checks == {"ok"} else "status checks pending"), machine
