"""What controls take and return: kinds of faults, and reports of what happened."""

from __future__ import annotations

import dataclasses
from typing import Literal

Fault = Literal[
    "throttle",
    "deny",
    "forbid",
    "unsupported",
    "missing",
    "silent",
    "expired",
    "unsettled",
    "hang",
    "slow",
    "lost",
]
"""How a call fails: too many requests, access denied, or the named thing does not exist. `silent`:
a signal gets no answer. `hang`: a call gets none, for longer than any caller should wait. `slow`:
it succeeds after 0.3 s, as with AWS from another continent. `lost`: it is carried out, but the
connection ends before its answer. `forbid`: as `deny`, by a service control policy. `unsupported`:
EC2 says so of what is asked for.
`expired`: CloudFormation says that the caller's credentials have expired. `unsettled`: EC2 right
after a change, when it does not know an image or a snapshot yet, or still has it in use."""
EventFault = Literal["lose", "twice", "late"]
"""How the delivery of an event to the target of a rule fails: never, two times, or held back."""
Use = Literal["launch", "reservation", "spot"]
"""What capacity is for: an on-demand machine (launched or started), a capacity reservation, or a
spot machine."""
Operation = Literal["create", "update", "delete"]
"""What CloudFormation does to a resource."""


@dataclasses.dataclass(frozen=True)
class InstanceEvent:
    """One event in the life of an instance or of a capacity reservation.

    Attributes:
        instance_id: Its id, or that of the reservation.
        event: The last three are a reservation's.
        time: In seconds since 1970.
        instance_type: The instance's type at that time.
    """

    instance_id: str
    event: Literal[
        "launched", "stopped", "started", "terminated", "reserved", "cancelled", "expired"
    ]
    time: float
    instance_type: str


@dataclasses.dataclass(frozen=True)
class CapacityReservation:
    """One capacity reservation, and what of it AWS would bill.

    Attributes:
        state: `active`, `cancelled` or `expired`.
        created: When it was made, in seconds since 1970.
        ended: When it was cancelled or expired; None: it is active.
        instances: Ids of the instances in it.
        unused_seconds: Sum over all slots of the time so far in which nobody used them: AWS bills
            it like running machines.
    """

    reservation_id: str
    instance_type: str
    zone: str
    match: str
    state: str
    total: int
    available: int
    created: float
    ended: float | None
    instances: list[str]
    unused_seconds: float


@dataclasses.dataclass(frozen=True)
class ScheduleRun:
    """One attempt of a schedule to invoke its target.

    Attributes:
        time: When it was made, in seconds since 1970.
        schedule: The schedule's ARN.
        outcome: `delivered`: the target took it. `failed`: it is tried again. `dropped`: it is
            not, as its retry policy says or because the schedule is gone.
        scheduled: When the schedule was due, in seconds since 1970.
        attempt: Its number, from 1.
        reason: Why it failed; empty if it did not.
    """

    time: float
    schedule: str
    outcome: Literal["delivered", "failed", "dropped"]
    scheduled: float
    attempt: int
    reason: str


@dataclasses.dataclass(frozen=True)
class Mail:
    """What a topic sent to an address by e-mail.

    Attributes:
        time: In seconds since 1970.
        topic: The topic's ARN.
        subject: Empty if it was published without one.
    """

    time: float
    topic: str
    address: str
    subject: str
    message: str


@dataclasses.dataclass(frozen=True)
class CommandResult:
    """Result of a command in a machine."""

    status: int
    stdout: str
    stderr: str


@dataclasses.dataclass(frozen=True)
class Signal:
    """One signal to a wait condition's handle; the names are CloudFormation's."""

    handle: str
    UniqueId: str
    Status: str
    Reason: str
    Data: str
