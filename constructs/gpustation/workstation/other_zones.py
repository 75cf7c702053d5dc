"""Asks the zones of a region whether they have room for the machine of a workstation."""

from __future__ import annotations

import hashlib
import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING

from botocore.exceptions import ClientError

from gpustation.aws.calls import DENIED, UnknownError
from gpustation.aws.capacity import NO_RETRIES, Answer, Room, cancel_tagged
from gpustation.aws.zones import zones_by_type
from gpustation.catalog.capacity import (
    GENERATION_TAG,
    HOLD_TAG,
    PLATFORM,
    PROBE_TAG,
    SWITCHED_OFF,
    Kind,
)
from gpustation.catalog.names import OWNER_TAG
from gpustation.console.interrupts import held

if TYPE_CHECKING:
    import boto3
    from mypy_boto3_ec2 import EC2Client

    from gpustation.workstation.find import Workstation
    from gpustation.workstation.machine import Machine

SECONDS = 60.0
"""How long all zones together may take; a zone takes 1 to 2 s."""
_ASKING = "the zone that is being asked answers first; its reservation is cancelled at once"


@dataclass(frozen=True)
class Zones:
    """What the zones answered.

    Attributes:
        answers: The answers, sorted by zone.
        unknown: Why nothing is known, or not about all zones; empty if all answered.
        order: The zones with room, in the order in which they are to be taken.
        left: Id of a reservation that could not be cancelled; empty if none is left.
    """

    answers: tuple[Answer, ...] = ()
    unknown: str = ""
    order: tuple[str, ...] = ()
    left: str = ""


def ask_zones(
    session: boto3.Session, workstation: Workstation, machine: Machine, *, own_zone: bool
) -> Zones:
    """Asks by targeted capacity reservations, which are cancelled at once; with signals deferred.

    Args:
        session: The session.
        workstation: The workstation.
        machine: Its machine.
        own_zone: Ask the machine's zone too, as for another way to buy it.

    Raises:
        Interrupted: A signal was received. No reservation is left.
        ClientError: AWS refused another call than the reservation.
    """
    if workstation.outputs.get("Capacity") == SWITCHED_OFF:
        return Zones(unknown="capacity_check is false, so no reservation is made")
    if machine.platform not in ("", PLATFORM):
        return Zones(unknown=f"its image's platform is {machine.platform}, and not {PLATFORM}")
    try:
        offering = zones_by_type(session.client("ec2"), [machine.instance_type], patience=0)
    except UnknownError as why:
        return Zones(unknown=str(why))
    zones = [
        zone for zone in offering.get(machine.instance_type, []) if own_zone or zone != machine.zone
    ]
    if not zones:
        region = session.client("ec2").meta.region_name
        return Zones(unknown=f"no other zone of {region} offers a {machine.instance_type}")
    # Another order for each stack, so that the members of a class do not all take the same
    zones.sort(key=lambda zone: hashlib.sha256(f"{workstation.stack}/{zone}".encode()).digest())
    return _ask(session.client("ec2", config=NO_RETRIES), workstation, machine, zones)


def _ask(ec2: EC2Client, workstation: Workstation, machine: Machine, zones: list[str]) -> Zones:
    run = secrets.token_hex(8)
    tags = {
        OWNER_TAG: workstation.stack,
        HOLD_TAG: workstation.stack_id,
        GENERATION_TAG: str(machine.generation),
        PROBE_TAG: run,
    }
    answers: list[Answer] = []
    unknown = ""
    with held(_ASKING) as hold:
        room = Room(ec2, machine.instance_type, tags, run, seconds=SECONDS, patience=0)
        for zone in zones:
            hold.check()
            answer = room.ask(zone, keep=False)
            answers.append(answer)
            if answer.kind is Kind.QUOTA:
                unknown = f"the quota has no room for a reservation ({answer.code})"
            elif answer.code in DENIED:
                unknown = f"the permission ec2:CreateCapacityReservation is missing ({answer.code})"
            elif answer.kind is Kind.UNKNOWN:
                _cancel_lost(ec2, run)
            if unknown:
                # Quota and permission are the same for every zone
                answers.pop()
                break
            if answer.reservation:
                unknown = "the last reservation could not be cancelled"
                break
    answers.sort(key=lambda answer: answer.zone)
    with_room = {answer.zone for answer in answers if answer.kind is Kind.ROOM}
    order = tuple(zone for zone in zones if zone in with_room)
    left = "".join(answer.reservation for answer in answers)
    return Zones(tuple(answers), unknown, order, left)


def _cancel_lost(ec2: EC2Client, run: str) -> None:
    """Cancel what was reserved though no answer arrived; what EC2 does not list yet ends itself."""
    try:
        cancel_tagged(ec2, {PROBE_TAG: run})
    except (ClientError, UnknownError):
        return
