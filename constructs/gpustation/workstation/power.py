"""Stops, starts and reboots the machine of a workstation, and waits until it has done so."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from botocore.exceptions import ClientError

from gpustation.aws.calls import error_code
from gpustation.console.errors import CommandError
from gpustation.workstation.machine import POLL_SECONDS, Machine, describe, wait_for_state
from gpustation.workstation.refusal import FAILED_START, TOO_EARLY, no_room, refused
from gpustation.workstation.spot_state import SETTLE_SECONDS, await_startable

if TYPE_CHECKING:
    from mypy_boto3_ec2 import EC2Client

    from gpustation.workstation.find import Workstation

STOP_SECONDS = 900.0
"""A GPU machine takes up to some minutes to stop; EC2 forces it after that."""
START_SECONDS = 600.0
"""A start takes half a minute; metal and large types up to ten minutes."""

Say = Callable[[str], None]


def stop(ec2: EC2Client, instance_id: str, say: Say) -> Machine:
    """Stops the machine and waits until it is stopped; its disk is kept and billed.

    Raises:
        CommandError: It is being terminated, or did not stop in ``STOP_SECONDS``.
    """
    machine = _settled(ec2, instance_id, say)
    if machine.state == "stopped":
        return machine
    try:
        ec2.stop_instances(InstanceIds=[instance_id])
    except ClientError as error:
        if error_code(error) != TOO_EARLY:
            raise
        raise CommandError(
            f"{instance_id} was not stopped: EC2 is interrupting this spot machine, or has ended "
            f"its request ({error_code(error)}); `gpustation status` shows which"
        ) from error
    return _wait(ec2, instance_id, "stopped", STOP_SECONDS, say)


def require_no_update(workstation: Workstation, machine: Machine) -> None:
    """Refuses the start of a machine that a deploy is about to change or delete.

    Raises:
        CommandError: CloudFormation updates the stack, and the machine does not run.
    """
    first = workstation.status.startswith("CREATE_")
    if workstation.busy and not first and machine.state != "running":
        raise CommandError(
            f"CloudFormation works on {workstation.stack} ({workstation.status}), and may be "
            f"replacing {machine.instance_id}; `gpustation wait` waits for its end, `gpustation "
            "status` shows it"
        )


def start(ec2: EC2Client, instance_id: str, say: Say) -> Machine:
    """Starts the machine and waits until it runs.

    A spot machine can be started only once EC2 has noted in its request that a person stopped it.

    Raises:
        NotStartedError: EC2 refuses for capacity or quota, or has interrupted the spot machine.
        CommandError: It is being terminated, or it did not start in ``START_SECONDS``.
    """
    machine = describe(ec2, instance_id)
    if machine.state == "stopping":
        machine = _wait(ec2, instance_id, "stopped", STOP_SECONDS, say)
    if machine.is_spot:
        machine = await_startable(ec2, machine, say)
    if machine.state in ("pending", "running"):
        return _wait(ec2, instance_id, "running", START_SECONDS, say)
    deadline = time.monotonic() + SETTLE_SECONDS
    while True:
        try:
            ec2.start_instances(InstanceIds=[instance_id])
        except ClientError as error:
            early = error_code(error) == TOO_EARLY
            if not early or time.monotonic() + POLL_SECONDS > deadline:
                raise refused(error, machine) from error
            time.sleep(POLL_SECONDS)
        else:
            return _await_running(ec2, machine, say)


def reboot(ec2: EC2Client, instance_id: str, say: Say) -> Machine:
    """Requests a reboot of the running machine; EC2 does not tell when it is over.

    Raises:
        CommandError: The machine is not running.
    """
    machine = describe(ec2, instance_id)
    if machine.state != "running":
        raise CommandError(
            f"{instance_id} is {machine.state}, and only a running machine can reboot; "
            "`gpustation start` starts a stopped one"
        )
    ec2.reboot_instances(InstanceIds=[instance_id])
    say("reboot requested")
    return machine


def _await_running(ec2: EC2Client, before: Machine, say: Say) -> Machine:
    """Wait until a machine runs whose start was accepted, or the start fails after that.

    The reason of an earlier start that failed may be shown for a moment longer.
    """
    seen: set[str] = set()

    def judge(now: Machine) -> None:
        seen.add(now.state)
        is_new = "pending" in seen or before.state_code != FAILED_START
        if now.state == "stopped" and now.state_code == FAILED_START and is_new:
            raise no_room(now, FAILED_START)

    return _wait(ec2, before.instance_id, "running", START_SECONDS, say, judge)


def _settled(ec2: EC2Client, instance_id: str, say: Say) -> Machine:
    """The machine once it is no longer starting, when EC2 would refuse to stop it."""
    machine = describe(ec2, instance_id)
    if machine.state == "pending":
        return _wait(ec2, instance_id, "running", START_SECONDS, say)
    return machine


def _wait(
    ec2: EC2Client,
    instance_id: str,
    wanted: str,
    seconds: float,
    say: Say,
    judge: Callable[[Machine], None] = lambda _: None,
) -> Machine:
    begin = time.monotonic()
    return wait_for_state(
        ec2,
        instance_id,
        wanted,
        seconds,
        pause=time.sleep,
        now=time.monotonic,
        changed=lambda state: say(f"{state} after {time.monotonic() - begin:.0f} s"),
        judge=judge,
    )
