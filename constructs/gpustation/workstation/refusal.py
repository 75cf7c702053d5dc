"""Why a machine was not started, in words, and what may help."""

from __future__ import annotations

import enum

from botocore.exceptions import ClientError

from gpustation.aws.calls import error_code
from gpustation.catalog.capacity import Kind, kind_of
from gpustation.catalog.gpu_types import gpu_types
from gpustation.catalog.spot import SpotRequest
from gpustation.console.errors import CommandError
from gpustation.console.statuses import NO_CAPACITY
from gpustation.workstation.machine import Machine

FAILED_START = "Server.InsufficientInstanceCapacity"
"""State reason of a machine whose start was accepted, and failed for want of capacity (EC2 API,
StateReason)."""

SPOT_QUOTA = "MaxSpotInstanceCountExceeded"

TOO_EARLY = "IncorrectSpotRequestState"
"""EC2's code for a start or stop of a spot machine whose request is in another state (public
reports: hashicorp/terraform-provider-aws#33399)."""


class Cause(enum.Enum):
    """Why EC2 did not start a machine."""

    FULL = "full"
    """The zone has no room now."""
    QUOTA = "quota"
    """The account's vCPU quota has no room."""
    UNSUPPORTED = "unsupported"
    """The zone does not start this type."""
    INTERRUPTED = "interrupted"
    """EC2 stopped the spot machine, and only EC2 starts it again."""
    ENDED = "ended"
    """Its spot request is over, so that nobody can start it."""

    @property
    def passes(self) -> bool:
        """Whether waiting may help."""
        return self in (Cause.FULL, Cause.QUOTA, Cause.INTERRUPTED)

    @property
    def is_of_the_zone(self) -> bool:
        """Whether a machine in another zone, or one on demand, may start."""
        return self is not Cause.QUOTA


class NotStartedError(CommandError):
    """EC2 does not start the machine now; its status is ``NO_CAPACITY``.

    Args:
        machine: The machine, which is stopped.
        cause: Why.
        why: The same in words, with EC2's code.
        remedy: What may help.

    Attributes:
        machine: The machine.
        cause: Why.
        why: The same in words.
        remedy: What may help.
    """

    def __init__(self, machine: Machine, cause: Cause, why: str, remedy: str) -> None:
        super().__init__(f"{machine.instance_id} was not started: {why}; {remedy}", NO_CAPACITY)
        self.machine = machine
        self.cause = cause
        self.why = why
        self.remedy = remedy


def refused(error: ClientError, machine: Machine) -> Exception:
    """The error of a start as a ``NotStartedError``; another error unchanged."""
    code = error_code(error)
    if code == SPOT_QUOTA:
        return _no_quota(machine, code)
    if code == TOO_EARLY:
        return _wrong_request(machine, code)
    match kind_of(code):
        case Kind.FULL:
            return no_room(machine, code)
        case Kind.QUOTA:
            return _no_quota(machine, code)
        case Kind.UNSUPPORTED if code == "Unsupported":
            why = f"EC2 does not start a {machine.instance_type} in {machine.zone} now ({code})"
            remedy = "`gpustation start` can move the machine to another zone; another "
            remedy += "instance_type keeps the disk where it is"
            return NotStartedError(machine, Cause.UNSUPPORTED, why, remedy)
    return error


def no_room(machine: Machine, code: str) -> NotStartedError:
    """The zone has no room for the machine."""
    what = (
        f"spot capacity for a {machine.instance_type}"
        if machine.is_spot
        else (f"free {machine.instance_type}")
    )
    why = f"{machine.zone}, the zone of its disk, has no {what} at the moment ({code})"
    remedy = (
        "`gpustation start` asks the other zones and can move it, `gpustation start --wait 2h` "
        "keeps trying, and another instance_type keeps the disk where it is"
    )
    return NotStartedError(machine, Cause.FULL, why, remedy)


def interrupted(machine: Machine, request: SpotRequest) -> NotStartedError:
    """EC2 has interrupted the spot machine."""
    why = (
        f"EC2 interrupted this spot machine {request.interrupted_since}".rstrip()
        + f" ({request.code}), and only EC2 can start it again, when it has the capacity"
    )
    remedy = (
        "`gpustation start --wait 2h` waits for that, and `gpustation start` can move its disk to "
        "an on-demand machine"
    )
    return NotStartedError(machine, Cause.INTERRUPTED, why, remedy)


def ended(machine: Machine, request: SpotRequest | None) -> NotStartedError:
    """Its spot request is over."""
    state = f"is {request.state} ({request.code})" if request else "does not exist any more"
    why = f"its spot request {machine.spot_request} {state}, so nobody can start it again"
    remedy = "`gpustation start` can move its disk to an on-demand machine"
    return NotStartedError(machine, Cause.ENDED, why, remedy)


def _no_quota(machine: Machine, code: str) -> NotStartedError:
    gpu_type = gpu_types().get(machine.instance_type)
    quota = "of vCPUs"
    if gpu_type:
        quota = (gpu_type.spot_quota_code if machine.is_spot else "") or gpu_type.quota_code
    why = f"the account's quota {quota} for this family is in use or too small ({code})"
    remedy = (
        f"`gpustation quota {machine.instance_type}` shows it, `gpustation quota request "
        f"{machine.instance_type}` asks for more"
    )
    return NotStartedError(machine, Cause.QUOTA, why, remedy)


def _wrong_request(machine: Machine, code: str) -> NotStartedError:
    """EC2 goes on refusing, and the request's state may not be read, or says nothing."""
    why = (
        f"EC2 does not start this spot machine in the state of its request {machine.spot_request} "
        f"({code}); it does so if it interrupted the machine itself, which only EC2 starts again"
    )
    remedy = "`gpustation status` shows the request's state"
    return NotStartedError(machine, Cause.INTERRUPTED, why, remedy)
