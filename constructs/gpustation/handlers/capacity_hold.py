"""Holds room for a machine before CloudFormation launches it, or changes its type.

The instance stays CloudFormation's own: the hold is an open capacity reservation, into which the
ordinary launch goes, and ``release`` ends it. Whatever else than a lack of room happens here does
not fail the deploy: then the launch itself is the test, as without a hold.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import boto3

from gpustation.aws.calls import RETRIES, call_aws
from gpustation.aws.capacity import NO_RETRIES, Answer, Room, cancel, cancel_tagged
from gpustation.aws.quotas import (
    compare,
    known,
    read_instances,
    read_quota,
    read_reservations,
)
from gpustation.aws.stacks import is_rolling_back
from gpustation.catalog.capacity import GENERATION_TAG, HOLD_TAG, PLATFORM, Kind
from gpustation.catalog.gpu_types import GpuType, gpu_types, types_for
from gpustation.catalog.names import OWNER_TAG
from gpustation.catalog.quotas import Need, Verdict
from gpustation.handlers.responder import Event, RefusedError

if TYPE_CHECKING:
    from mypy_boto3_cloudformation import CloudFormationClient
    from mypy_boto3_ec2 import EC2Client
    from mypy_boto3_ec2.type_defs import InstanceTypeDef
    from mypy_boto3_service_quotas import ServiceQuotasClient

SECONDS = 90.0
"""How long all zones together may take; six that refuse take about 10 s."""

EXCHANGE_SECONDS = 90.0
"""How long a hold stays for another stack's machine, whose hold this stack's machine uses."""

NOT_CHANGED = "not checked in this deploy: the machine keeps its type"

_SUGGESTED = 3

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Clients:
    """The AWS clients of the hold."""

    cloudformation: CloudFormationClient
    ec2: EC2Client
    asking: EC2Client
    """The same service without the SDK's retries."""
    quotas: ServiceQuotasClient


@dataclass(frozen=True)
class Found:
    """Where the machine is launched.

    Attributes:
        zone: Name of the zone.
        text: What was found, for the output ``Capacity``.
        reservation: Id of the reservation that holds room; empty without a hold.
    """

    zone: str
    text: str
    reservation: str = ""


def make_clients() -> Clients:
    """The clients, in the function's region."""
    return Clients(
        boto3.client("cloudformation", config=RETRIES),
        boto3.client("ec2", config=RETRIES),
        boto3.client("ec2", config=NO_RETRIES),
        boto3.client("service-quotas", config=RETRIES),
    )


def for_new_machine(
    event: Event, zones: list[str], platform: str, clients: Clients, *, others: list[str]
) -> Found:
    """Finds the first zone with room, and holds it.

    Args:
        event: The request, with the machine's type and generation.
        zones: Zones in which it may be launched, in the order in which they are asked.
        platform: Platform of its image, as in ``PlatformDetails``.
        clients: The clients.
        others: Zones that offer the type but are excluded by a setting; if there is no room, the
            message says which of them have it.

    Raises:
        RefusedError: No zone has room, or the quota was used up since it was checked.
    """
    try:
        return _for_new_machine(event, zones, platform, clients, others)
    except RefusedError:
        raise
    except Exception as error:  # any: the check must not fail a deploy that would succeed
        log.exception("not checked")
        return Found(zones[0], f"not checked: unexpected error ({type(error).__name__})")


def _for_new_machine(
    event: Event, zones: list[str], platform: str, clients: Clients, others: list[str]
) -> Found:
    if platform != PLATFORM:
        return Found(zones[0], f"not checked: the image's platform is {platform or 'unknown'}")
    gpu_type = gpu_types()[event["ResourceProperties"]["InstanceType"]]
    verdict = _verdict(event, gpu_type, clients)
    for zone in zones:
        if zone in verdict.room_in:
            return Found(zone, f"{zone} has an open capacity reservation with room")
    room = _room(event, gpu_type, clients)
    # Below twice the need, a hold and the machine would not fit side by side, should EC2 count both
    keep = verdict.free is not None and verdict.free >= 2 * gpu_type.vcpus
    answers: list[Answer] = []
    for zone in zones:
        answer = room.ask(zone, keep=keep)
        if answer.kind is Kind.ROOM:
            return Found(zone, _with_refusals(f"{zone} has room", answers), answer.reservation)
        if answer.kind is Kind.QUOTA and verdict.is_refusal:
            raise RefusedError(_quota_used_up(gpu_type, verdict, clients))
        if answer.kind in (Kind.QUOTA, Kind.UNKNOWN):
            text = f"not checked in {zone}: {_reason(answer)}"
            return Found(zone, _with_refusals(text, answers))
        answers.append(answer)
    if all(answer.kind is Kind.UNSUPPORTED for answer in answers):
        return Found(zones[0], f"not checked: EC2 reserves no {gpu_type.name} here")
    with_room = [zone for zone in others if room.ask(zone, keep=False).kind is Kind.ROOM]
    raise RefusedError(_no_room(event, gpu_type, answers, with_room if others else None, clients))


def for_new_type(event: Event, zone: str, clients: Clients) -> Found:
    """Holds room for the new type in the machine's zone, before the machine is stopped.

    Args:
        event: The request, whose properties have the new type.
        zone: Zone of the machine.
        clients: The clients.

    Raises:
        RefusedError: The zone has no room. The machine is unchanged.
    """
    try:
        return _for_new_type(event, zone, clients)
    except RefusedError:
        raise
    except Exception as error:  # any: the check must not fail a deploy that would succeed
        log.exception("not checked")
        return Found(zone, f"not checked: unexpected error ({type(error).__name__})")


def _for_new_type(event: Event, zone: str, clients: Clients) -> Found:
    if is_rolling_back(clients.cloudformation, event):
        # A refusal would leave the stack in UPDATE_ROLLBACK_FAILED
        release(event, clients.ec2)
        return Found(zone, "not checked: the stack was rolling back")
    gpu_type = gpu_types()[event["ResourceProperties"]["InstanceType"]]
    running = [
        machine
        for machine in _own_instances(event, zone, clients.ec2)
        if machine["State"]["Name"] in ("pending", "running")
    ]
    if not running:
        return Found(zone, "not checked: the machine does not run")
    if all(machine["InstanceType"] == gpu_type.name for machine in running):
        return Found(zone, f"not checked: the machine is a {gpu_type.name} already")
    platform = running[0].get("PlatformDetails", PLATFORM)
    if platform != PLATFORM:
        return Found(zone, f"not checked: the machine's platform is {platform}")
    verdict = _verdict(event, gpu_type, clients)
    if verdict.free is None or verdict.free < gpu_type.vcpus:
        return Found(zone, "not checked: the quota has no room beside the running machine")
    answer = _room(event, gpu_type, clients).ask(zone, keep=True)
    if answer.kind is Kind.ROOM:
        return Found(zone, f"{zone} has room", answer.reservation)
    if answer.kind is not Kind.FULL:
        return Found(zone, f"not checked: {_reason(answer)}")
    now = running[0]["InstanceType"]
    raise RefusedError(
        f"{zone}, the machine's zone, has no room for a {gpu_type.name} now ({answer.code}); the "
        f"machine is unchanged and runs on as {now}. Deploy again later, use another type"
        f"{_suggested(event, gpu_type)}, or set another generation for a new machine in a zone "
        "with room; capacity_check=false stops the machine and tries"
    )


def await_exchange(ec2: EC2Client, instance_id: str, reservation: str) -> None:
    """Waits until the hold is used, if the machine was launched into the hold of another stack.

    Open holds of one type and zone are exchangeable. Ending this one at once would leave the other
    stack's machine without room.

    Args:
        ec2: The client.
        instance_id: The stack's machine.
        reservation: Id of the stack's hold.

    Raises:
        UnknownError: The machine or the hold could not be read.
        ClientError: Another refusal of the service.
    """
    answer = call_aws("the machine", lambda: ec2.describe_instances(InstanceIds=[instance_id]))
    (machine,) = [row for group in answer["Reservations"] for row in group["Instances"]]
    if machine.get("CapacityReservationId", reservation) == reservation:
        return
    deadline = time.monotonic() + EXCHANGE_SECONDS
    while time.monotonic() < deadline and _is_unused(ec2, reservation):
        time.sleep(2.0)


def _is_unused(ec2: EC2Client, reservation: str) -> bool:
    answer = call_aws(
        "the hold",
        lambda: ec2.describe_capacity_reservations(CapacityReservationIds=[reservation]),
    )
    return any(
        row["State"] == "active" and row["AvailableInstanceCount"]
        for row in answer["CapacityReservations"]
    )


def release(event: Event, ec2: EC2Client, reservation: str = "") -> None:
    """Ends what is held for this generation of the stack.

    Args:
        event: A request of CloudFormation.
        ec2: The client.
        reservation: Id of the hold, in case EC2 does not list it yet. Default: unknown.

    Raises:
        UnknownError: The holds could not be listed; they end by themselves.
    """
    if reservation:
        cancel(ec2, reservation)
    marks = _tags(event)
    cancel_tagged(ec2, {key: marks[key] for key in (HOLD_TAG, GENERATION_TAG)}, but=reservation)


def _tags(event: Event) -> dict[str, str]:
    stack_id = event["StackId"]
    return {
        OWNER_TAG: stack_id.split("/")[1],
        HOLD_TAG: stack_id,
        GENERATION_TAG: event["ResourceProperties"].get("Generation", "1"),
    }


def _room(event: Event, gpu_type: GpuType, clients: Clients) -> Room:
    return Room(
        clients.asking,
        gpu_type.name,
        _tags(event),
        event["RequestId"],
        seconds=SECONDS,
        monotonic=time.monotonic,
        sleep=time.sleep,
    )


def _verdict(event: Event, gpu_type: GpuType, clients: Clients) -> Verdict:
    """The quota beside everything that runs; what is unknown has no room."""
    account, stack_id = event["StackId"].split(":")[4], event["StackId"]
    quota = known(lambda: read_quota(clients.quotas, gpu_type.quota_code, patience=0))
    instances = known(lambda: read_instances(clients.ec2, stack_id, patience=0))
    reservations = known(lambda: read_reservations(clients.ec2, account, stack_id, patience=0))
    need = Need(gpu_type.vcpus, replaces_own=False, instance_type=gpu_type.name)
    return compare(need, quota.value, instances.value, reservations.value, clients.ec2, patience=0)


def _own_instances(event: Event, zone: str, ec2: EC2Client) -> list[InstanceTypeDef]:
    pages = ec2.get_paginator("describe_instances")
    response = call_aws(
        "the machine",
        lambda: pages.paginate(
            Filters=[
                {"Name": "tag:aws:cloudformation:stack-id", "Values": [event["StackId"]]},
                {"Name": "availability-zone", "Values": [zone]},
            ]
        ).build_full_result(),
        patience=0,
    )
    return [row for group in response.get("Reservations", []) for row in group["Instances"]]


def _with_refusals(text: str, refusals: list[Answer]) -> str:
    return f"{text}; {', '.join(map(str, refusals))}" if refusals else text


def _reason(answer: Answer) -> str:
    if answer.kind is Kind.UNSUPPORTED:
        return f"EC2 reserves none there ({answer.code})"
    if answer.kind is Kind.QUOTA:
        return f"the quota has no room for a hold ({answer.code})"
    return answer.code


def _quota_used_up(gpu_type: GpuType, verdict: Verdict, clients: Clients) -> str:
    return (
        f"the quota was used up since it was checked: {gpu_type.name} needs {gpu_type.vcpus} "
        f"vCPUs, {verdict.free} free (limit {verdict.limit}, in use {verdict.in_use}; "
        f"{gpu_type.quota_code}, {clients.ec2.meta.region_name}); stop what uses them, then deploy "
        "again"
    )


def _no_room(
    event: Event,
    gpu_type: GpuType,
    answers: list[Answer],
    with_room: list[str] | None,
    clients: Clients,
) -> str:
    """The refusal: one line per zone, and what to do.

    Args:
        event: The request.
        gpu_type: The type.
        answers: The refusals.
        with_room: Zones with room that a setting excludes; ``None`` if none is excluded.
        clients: The clients.
    """
    name, region = gpu_type.name, clients.ec2.meta.region_name
    zones = "\n".join(map(str, answers))
    remedy = (
        f"Use another type{_suggested(event, gpu_type)}, another region (gpustation regions "
        f"{name}), or deploy again later; capacity_check=false deploys without this check"
    )
    if with_room is None:
        return f"no zone of {region} has room for a {name} now:\n{zones}\n{remedy}"
    zone = answers[0].zone
    elsewhere = (
        f"There is room in {', '.join(with_room)}: set availability_zone to one of these, or auto."
        if with_room
        else f"No other zone of {region} has room."
    )
    return f"availability_zone={zone} has no room for a {name} now:\n{zones}\n{elsewhere} {remedy}"


def _suggested(event: Event, gpu_type: GpuType) -> str:
    """Types of the same quota for the same framework, the nearest in size first."""
    framework = event["ResourceProperties"].get("Framework", "mxnet")
    others = [
        other
        for other in types_for(framework)
        if other.quota_code == gpu_type.quota_code
        and other.gpus == gpu_type.gpus
        and other.family != gpu_type.family
    ]
    others.sort(key=lambda other: (abs(other.vcpus - gpu_type.vcpus), other.name))
    names = ", ".join(other.name for other in others[:_SUGGESTED])
    return f" (such as {names})" if names else ""


def given(properties: Mapping[str, Any]) -> bool:
    """Whether the setting is on; templates of earlier releases, and images, have no hold."""
    return bool(properties.get("CapacityCheck") == "true")
