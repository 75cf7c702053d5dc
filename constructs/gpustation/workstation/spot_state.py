"""The state of a spot machine's request, which decides whether a person can start the machine."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from botocore.exceptions import ClientError

from gpustation.aws.calls import UnknownError
from gpustation.aws.spot import read_by_id
from gpustation.catalog.spot import SpotRequest, Standing
from gpustation.console.errors import CommandError
from gpustation.console.statuses import TIMED_OUT
from gpustation.workstation.machine import POLL_SECONDS, Machine, describe
from gpustation.workstation.refusal import ended, interrupted

if TYPE_CHECKING:
    from mypy_boto3_ec2 import EC2Client

SETTLE_SECONDS = 120.0
"""How long EC2 may take to note a stop in the request. Public reports speak of less than a minute
(hashicorp/terraform-provider-aws#33399); AWS documents no time."""


def read_request(ec2: EC2Client, machine: Machine) -> SpotRequest | None:
    """The request of a spot machine; ``None`` if EC2 does not know it any more.

    Raises:
        UnknownError: It could not be read.
    """
    try:
        return read_by_id(ec2, [machine.spot_request]).get(machine.spot_request)
    except ClientError as error:
        raise UnknownError(f"spot request {machine.spot_request}: {error}") from error


def await_startable(ec2: EC2Client, machine: Machine, say: Callable[[str], None]) -> Machine:
    """Waits until EC2 has noted in the request that a person stopped the machine.

    If the request cannot be read, it returns: then the start itself shows it.

    Args:
        ec2: The client.
        machine: A spot machine.
        say: Prints a line of progress.

    Returns:
        The machine, stopped, or already starting if EC2 did that meanwhile.

    Raises:
        NotStartedError: EC2 has interrupted the machine, or its request is over.
        CommandError: EC2 has not noted the stop in time (``TIMED_OUT``).
    """
    deadline = time.monotonic() + SETTLE_SECONDS
    is_said = False
    while machine.state == "stopped":
        try:
            request = read_request(ec2, machine)
        except UnknownError as why:
            say(f"the state of the spot request is not known: {why}")
            break
        if request is None or request.standing is Standing.ENDED:
            raise ended(machine, request)
        if request.standing is Standing.INTERRUPTED:
            raise interrupted(machine, request)
        if request.standing is not Standing.SETTLING:
            break
        if not is_said:
            say(f"EC2 has not noted the stop yet: spot request {request}")
            is_said = True
        if time.monotonic() + POLL_SECONDS > deadline:
            raise CommandError(
                f"{machine.instance_id} was not started: its spot request {request} after "
                f"{SETTLE_SECONDS:g} s, and EC2 starts a spot machine only once it has noted the "
                "stop; run this again in a minute",
                TIMED_OUT,
            )
        time.sleep(POLL_SECONDS)
        machine = describe(ec2, machine.instance_id)
    return machine
