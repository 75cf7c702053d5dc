"""The EC2 instance of a workstation: its description, and waiting for its state."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from botocore.exceptions import ClientError

from gpustation.aws.calls import error_code
from gpustation.console.errors import CommandError
from gpustation.console.statuses import TIMED_OUT

if TYPE_CHECKING:
    from mypy_boto3_ec2 import EC2Client
    from mypy_boto3_ec2.type_defs import FilterTypeDef, InstanceTypeDef

    from gpustation.workstation.find import Workstation

POLL_SECONDS = 3.0
"""EC2 takes half a minute to start a machine and up to several to stop one."""
_GENERATION = re.compile(r"Generation(\d+)")
_LOGICAL_ID, _STACK_NAME = "aws:cloudformation:logical-id", "aws:cloudformation:stack-name"
_GONE = ("shutting-down", "terminated")
_ALIVE = ("pending", "running", "stopping", "stopped")


@dataclass(frozen=True)
class Machine:
    """The instance of a workstation, as EC2 describes it.

    Attributes:
        instance_id: Its id.
        stack: Stack that created it.
        instance_type: EC2 type.
        state: State in EC2, e.g. ``"running"``.
        reason: Why it has this state, in EC2's words; empty if EC2 gives none.
        generation: The setting ``generation``; 0 if unknown.
        address: Its public IPv4 address; empty if it has none now.
        zone: Name of its availability zone.
        image_id: Image that it was started from.
        started: When it was last started.
        volumes: Ids of its volumes.
        groups: Ids of its security groups.
        state_code: EC2's code of why it has this state, e.g. ``Client.UserInitiatedShutdown``;
            empty if EC2 gives none.
        is_spot: Whether it is a spot machine. Default: on-demand.
        spot_request: Id of its spot request; empty for an on-demand machine.
        platform: Platform of its image, as in ``PlatformDetails``; empty if unknown.
    """

    instance_id: str
    stack: str
    instance_type: str
    state: str
    reason: str
    generation: int
    address: str
    zone: str
    image_id: str
    started: datetime
    volumes: tuple[str, ...]
    groups: tuple[str, ...]
    state_code: str = ""
    is_spot: bool = False
    spot_request: str = ""
    platform: str = ""

    @property
    def is_gone(self) -> bool:
        """Whether it is terminated, or about to be."""
        return self.state in _GONE


def machine_of(ec2: EC2Client, workstation: Workstation) -> Machine:
    """The machine of a workstation, also while its first deploy is in progress.

    Raises:
        CommandError: There is none, or EC2 does not know it any more.
    """
    if workstation.instance_id:
        return describe(ec2, workstation.instance_id)
    filters: list[FilterTypeDef] = [
        {"Name": f"tag:{_STACK_NAME}", "Values": [workstation.stack]},
        {"Name": "instance-state-name", "Values": [*_ALIVE]},
    ]
    pages = ec2.get_paginator("describe_instances").paginate(Filters=filters)
    rows = [row for page in pages for group in page["Reservations"] for row in group["Instances"]]
    machine = newest(map(read_machine, rows), workstation.stack)
    if machine is None:
        raise CommandError(
            f"stack {workstation.stack} is in status {workstation.status} and has no machine; "
            "`gpustation log` shows its last deploy"
        )
    return machine


def newest(machines: Iterable[Machine], stack: str) -> Machine | None:
    """The living machine of a stack that was started last; ``None`` if it has none.

    Only machines with a generation: a stack of another app may have others.
    """
    own = (one for one in machines if one.stack == stack and one.generation and not one.is_gone)
    return max(own, key=lambda one: one.started, default=None)


def describe(ec2: EC2Client, instance_id: str) -> Machine:
    """Describes the machine.

    Raises:
        CommandError: EC2 does not know it any more.
    """
    try:
        reservations = ec2.describe_instances(InstanceIds=[instance_id])["Reservations"]
    except ClientError as error:
        if error_code(error) != "InvalidInstanceID.NotFound":
            raise
        reservations = []
    rows = [row for reservation in reservations for row in reservation["Instances"]]
    if not rows:
        raise CommandError(
            f"the machine {instance_id} no longer exists, though its stack names it; deploy a new "
            '"generation"'
        )
    return read_machine(rows[0])


def read_machine(row: InstanceTypeDef) -> Machine:
    """The machine in a row of EC2's description."""
    tags = {tag["Key"]: tag["Value"] for tag in row.get("Tags", [])}
    generation = _GENERATION.search(tags.get(_LOGICAL_ID, ""))
    return Machine(
        instance_id=row["InstanceId"],
        stack=tags.get(_STACK_NAME, ""),
        instance_type=row["InstanceType"],
        state=row["State"]["Name"],
        reason=row.get("StateTransitionReason", ""),
        generation=int(generation[1]) if generation else 0,
        address=row.get("PublicIpAddress", ""),
        zone=row.get("Placement", {}).get("AvailabilityZone", ""),
        image_id=row.get("ImageId", ""),
        started=row["LaunchTime"],
        volumes=tuple(
            disk["Ebs"]["VolumeId"] for disk in row.get("BlockDeviceMappings", []) if "Ebs" in disk
        ),
        groups=tuple(group["GroupId"] for group in row.get("SecurityGroups", [])),
        state_code=row.get("StateReason", {}).get("Code", ""),
        is_spot=row.get("InstanceLifecycle") == "spot",
        spot_request=row.get("SpotInstanceRequestId", ""),
        platform=row.get("PlatformDetails", ""),
    )


def wait_for_state(
    ec2: EC2Client,
    instance_id: str,
    wanted: str,
    seconds: float,
    *,
    pause: Callable[[float], None],
    now: Callable[[], float],
    changed: Callable[[str], None] = lambda _: None,
    judge: Callable[[Machine], None] = lambda _: None,
) -> Machine:
    """Waits until the machine has a state.

    Args:
        ec2: The client.
        instance_id: The machine.
        wanted: The state.
        seconds: How long to wait at most.
        pause: Sleeps for some seconds.
        now: A monotonic clock.
        changed: Is called with each state that is new.
        judge: Is called with each description; raises if the state cannot be reached any more.

    Raises:
        CommandError: The machine is being terminated, or the time is over (``TIMED_OUT``); the
            message has the last state.
    """
    deadline = now() + seconds
    last = ""
    while True:
        machine = describe(ec2, instance_id)
        if machine.state != last:
            last = machine.state
            changed(last)
        judge(machine)
        if machine.state == wanted:
            return machine
        if machine.is_gone:
            raise CommandError(f"{instance_id} is {machine.state}; it can never be {wanted} again")
        if now() + POLL_SECONDS > deadline:
            reason = f" ({machine.reason})" if machine.reason else ""
            raise CommandError(
                f"{instance_id} is still {machine.state}{reason} after {seconds:g} s and not "
                f"{wanted}; look again with `gpustation status`",
                TIMED_OUT,
            )
        pause(POLL_SECONDS)
