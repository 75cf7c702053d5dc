"""EC2's calls about capacity reservations."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import Any

from ministack.core.responses import get_account_id, get_region
from ministack.services import ec2

from localaws.account.ec2 import catalog, wire
from localaws.account.ec2.instances import Instances
from localaws.account.ec2.request import Parameters, filtered, page, refuse_others, tags, value
from localaws.account.ec2.reservation import Reservation, new_id
from localaws.account.errors import ApiError

KIND = "capacity-reservation"
MOST = 1000
"""Slots of one reservation (botocore's model of CreateCapacityReservation)."""
TOKEN_CHARACTERS = 64
"""Length of a client token (EC2's API reference, CreateCapacityReservation)."""
CREATE = (
    "AvailabilityZone",
    "AvailabilityZoneId",
    "ClientToken",
    "DryRun",
    "EbsOptimized",
    "EndDate",
    "EndDateType",
    "InstanceCount",
    "InstanceMatchCriteria",
    "InstancePlatform",
    "InstanceType",
    "TagSpecifications",
    "Tenancy",
)
"""Known parameters. Others, those of future-dated reservations above all, are refused."""
FILTERS = {
    "availability-zone": "AvailabilityZone",
    "end-date": "EndDate",
    "end-date-type": "EndDateType",
    "instance-match-criteria": "InstanceMatchCriteria",
    "instance-platform": "InstancePlatform",
    "instance-type": "InstanceType",
    "owner-id": "OwnerId",
    "start-date": "StartDate",
    "state": "State",
    "tenancy": "Tenancy",
}
TAGS = ("tag:", "tag-key")


def create(instances: Instances, request: Parameters) -> wire.Response:
    """CreateCapacityReservation: active at once, or refused."""
    refuse_others(request, CREATE)
    zone, zone_id = _zone(request)
    kind, count = _required(request, "InstanceType"), _count(request)
    platform = _required(request, "InstancePlatform")
    match = _one_of(request, "InstanceMatchCriteria", ("open", "targeted"))
    tenancy = _one_of(request, "Tenancy", ("default", "dedicated"))
    end = _end(request, instances.world.clock())
    _refuse_dry_run(request)
    reservations = instances.reservations
    with reservations.lock:
        known = _by_token(instances, request)
        if known is None:
            instances.room.require_reservation(kind, zone, count)
            reservation = Reservation(
                id=new_id(),
                instance_type=kind,
                zone=zone,
                zone_id=zone_id,
                total=count,
                match="open" if match == "open" else "targeted",
                created=instances.world.clock(),
                platform=platform,
                tenancy=tenancy,
                ebs_optimized=value(request, "EbsOptimized") == "true",
                end=end,
                token=_token(request),
            )
            given = tags(request, KIND)
            if given:
                ec2._tags[reservation.id] = given
            known = reservations.create(reservation)
        answer = {"CapacityReservation": _shown(known)}
        if instances.world.take_theft():
            reservations.lose_slots(known)
    return wire.response("CreateCapacityReservation", answer)


def cancel(instances: Instances, request: Parameters) -> wire.Response:
    """CancelCapacityReservation."""
    refuse_others(request, ("CapacityReservationId", "DryRun"))
    reservation = instances.reservations.get(_required(request, "CapacityReservationId"))
    _refuse_dry_run(request)
    instances.reservations.cancel(reservation)
    return wire.response("CancelCapacityReservation", {"Return": True})


def describe(instances: Instances, request: Parameters) -> wire.Response:
    """DescribeCapacityReservations, as late as `control.late_reservations` says."""
    until = instances.world.clock() - instances.world.reservation_lag
    rows: dict[str, dict[str, Any]] = {}
    for reservation in instances.reservations.of_region():
        seen = reservation.as_of(until)
        if seen is not None:
            rows[reservation.id] = _shown(seen)
    names = ec2._parse_member_list(request, "CapacityReservationId")
    for name in names:
        if name not in rows:
            raise ApiError(
                "InvalidCapacityReservationId.NotFound",
                f"The capacity reservation ID '{name}' does not exist",
            )
    filters = ec2._parse_filters(request)
    shown = [
        row
        for name, row in rows.items()
        if (not names or name in names) and ec2._resource_matches_tag_filters(name, filters)
    ]
    shown = filtered(shown, request, FILTERS, TAGS)
    return page("DescribeCapacityReservations", "CapacityReservations", shown, request)


def _shown(reservation: Reservation) -> dict[str, Any]:
    return reservation.row(get_account_id()) | {"Tags": ec2._tags.get(reservation.id, [])}


def _by_token(instances: Instances, request: Parameters) -> Reservation | None:
    """The reservation that an earlier call with the same client token made."""
    token = _token(request)
    for reservation in instances.reservations.of_region():
        if token is not None and reservation.token and reservation.token[0] == token[0]:
            if reservation.token != token:
                raise ApiError(
                    "IdempotentParameterMismatch",
                    "The client token that you provided was used for a call with other parameters.",
                )
            return reservation
    return None


def _token(request: Parameters) -> tuple[str, tuple[tuple[str, str], ...]] | None:
    token = value(request, "ClientToken")
    if len(token) > TOKEN_CHARACTERS:
        raise ApiError(
            "InvalidParameterValue",
            f"Value ({token}) for parameter clientToken is invalid. It is too long.",
        )
    said = ((name, value(request, name)) for name in sorted(request) if name.startswith(CREATE))
    return (token, tuple(said)) if token else None


def _zone(request: Parameters) -> tuple[str, str]:
    """Name and id of the zone, which the call names by one of them."""
    name, number = value(request, "AvailabilityZone"), value(request, "AvailabilityZoneId")
    if not name and not number:
        raise ApiError(
            "MissingParameter", "The request must contain the parameter AvailabilityZone"
        )
    for zone in catalog.zones(get_region()):
        if name in ("", zone["ZoneName"]) and number in ("", zone["ZoneId"]):
            return zone["ZoneName"], zone["ZoneId"]
    raise ApiError("InvalidParameterValue", f"Invalid availability zone: [{name or number}]")


def _count(request: Parameters) -> int:
    text = _required(request, "InstanceCount")
    if not text.isdigit() or not 1 <= int(text) <= MOST:
        raise ApiError(
            "InvalidParameterValue",
            f"{text} is an invalid value for InstanceCount. InstanceCount must be between 1 and "
            f"{MOST}.",
        )
    return int(text)


def _end(request: Parameters, now: float) -> float | None:
    """When it expires; None: never. The codes of these refusals are not documented."""
    text = value(request, "EndDate")
    kind = _one_of(request, "EndDateType", ("unlimited", "limited"))
    if (kind == "limited") != bool(text):
        raise ApiError(
            "InvalidParameterCombination",
            "EndDate must be specified if EndDateType is limited, and only then.",
        )
    if not text:
        return None
    end = datetime.fromisoformat(text.replace("Z", "+00:00"))
    seconds = (end if end.tzinfo else end.replace(tzinfo=timezone.utc)).timestamp()
    if seconds <= now:
        raise ApiError("InvalidParameterValue", f"EndDate {text} must be in the future.")
    return seconds


def _one_of(request: Parameters, name: str, known: tuple[str, ...]) -> str:
    """A parameter with few values, of which the first is the default."""
    given = value(request, name) or known[0]
    if given not in known:
        raise ApiError("InvalidParameterValue", f"Invalid value '{given}' for {name}.")
    return given


def _required(request: Parameters, name: str) -> str:
    text = value(request, name)
    if not text:
        raise ApiError("MissingParameter", f"The request must contain the parameter {name}")
    return text


def _refuse_dry_run(request: Parameters) -> None:
    if value(request, "DryRun") == "true":
        raise ApiError(
            "DryRunOperation", "Request would have succeeded, but DryRun flag is set.", 412
        )
