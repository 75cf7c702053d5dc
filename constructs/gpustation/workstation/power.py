"""Stops, starts and reboots the machine of a workstation, and waits until it has done so."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from botocore.exceptions import ClientError

from gpustation.aws.calls import error_code
from gpustation.catalog.gpu_types import gpu_types
from gpustation.console.errors import CommandError
from gpustation.console.statuses import NO_CAPACITY
from gpustation.workstation.machine import Machine, describe, wait_for_state

if TYPE_CHECKING:
    from mypy_boto3_ec2 import EC2Client

STOP_SECONDS = 900.0
"""A GPU machine takes up to some minutes to stop; EC2 forces it after that."""
START_SECONDS = 600.0
"""A start takes half a minute; metal and large types up to ten minutes."""

Say = Callable[[str], None]

_REFUSALS = {
    "InsufficientInstanceCapacity": "the zone {zone} has no free {type} at the moment, and the "
    "machine's disk is in this zone; try again later, or deploy another instance_type, which keeps "
    "the disk",
    "VcpuLimitExceeded": "the account's quota {quota} for this family is in use or too small; "
    "`gpustation quota {type}` shows it, `gpustation quota request {type}` asks for more",
    "InstanceLimitExceeded": "the account's quota {quota} for this family is in use or too small; "
    "`gpustation quota {type}` shows it, `gpustation quota request {type}` asks for more",
    "Unsupported": "EC2 does not start a {type} in {zone} now; deploy another instance_type, which "
    "keeps the disk",
}
"""Why EC2 refuses to start a machine, by its error code."""


def stop(ec2: EC2Client, instance_id: str, say: Say) -> Machine:
    """Stops the machine and waits until it is stopped; its disk is kept and billed.

    Raises:
        CommandError: It is being terminated, or did not stop in ``STOP_SECONDS``.
    """
    machine = _settled(ec2, instance_id, say)
    if machine.state == "stopped":
        return machine
    ec2.stop_instances(InstanceIds=[instance_id])
    return _wait(ec2, instance_id, "stopped", STOP_SECONDS, say)


def start(ec2: EC2Client, instance_id: str, say: Say) -> Machine:
    """Starts the machine and waits until it runs.

    Raises:
        CommandError: EC2 refuses (``NO_CAPACITY`` for capacity and quota), it is being terminated,
            or it did not start in ``START_SECONDS``.
    """
    machine = describe(ec2, instance_id)
    if machine.state == "stopping":
        machine = _wait(ec2, instance_id, "stopped", STOP_SECONDS, say)
    if machine.state in ("pending", "running"):
        return _wait(ec2, instance_id, "running", START_SECONDS, say)
    try:
        ec2.start_instances(InstanceIds=[instance_id])
    except ClientError as error:
        raise refusal(error, machine) from error
    return _wait(ec2, instance_id, "running", START_SECONDS, say)


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


def refusal(error: ClientError, machine: Machine) -> Exception:
    """The error of a start as a message with its remedy; an unknown error unchanged."""
    code = error_code(error)
    if code not in _REFUSALS:
        return error
    gpu_type = gpu_types().get(machine.instance_type)
    why = _REFUSALS[code].format(
        zone=machine.zone,
        type=machine.instance_type,
        quota=gpu_type.quota_code if gpu_type else "of vCPUs",
    )
    return CommandError(f"{machine.instance_id} was not started: {why} ({code})", NO_CAPACITY)


def _settled(ec2: EC2Client, instance_id: str, say: Say) -> Machine:
    """The machine once it is no longer starting, when EC2 would refuse to stop it."""
    machine = describe(ec2, instance_id)
    if machine.state == "pending":
        return _wait(ec2, instance_id, "running", START_SECONDS, say)
    return machine


def _wait(ec2: EC2Client, instance_id: str, wanted: str, seconds: float, say: Say) -> Machine:
    begin = time.monotonic()
    return wait_for_state(
        ec2,
        instance_id,
        wanted,
        seconds,
        pause=time.sleep,
        now=time.monotonic,
        changed=lambda state: say(f"{state} after {time.monotonic() - begin:.0f} s"),
    )
