"""Asks EC2 whether a zone has room for one machine, and holds that room.

No reading call of EC2 tells it, and a dry run checks permissions only. So an On-Demand Capacity
Reservation is made: EC2 refuses it if the zone has no room. An open one is a hold: the next
matching instance is launched into it. A targeted one is taken by no instance, and is a probe.
"""

from __future__ import annotations

import hashlib
import logging
import random
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, Literal, cast

from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from gpustation.aws.calls import DENIED, call_aws, error_code, is_passing
from gpustation.catalog.capacity import HOLD_MINUTES, PLATFORM, Kind, kind_of

if TYPE_CHECKING:
    from mypy_boto3_ec2 import EC2Client
    from mypy_boto3_ec2.literals import CapacityReservationInstancePlatformType
    from mypy_boto3_ec2.type_defs import CapacityReservationTypeDef, FilterTypeDef, TagTypeDef

NO_RETRIES = Config(
    retries={"mode": "standard", "total_max_attempts": 1}, connect_timeout=5, read_timeout=10
)
"""For the client that asks: a lack of capacity has HTTP status 500, which the SDK would retry for
7 to 10 s per zone."""

THROTTLE_SECONDS = 45.0
"""How long throttling is retried, for all zones together."""

DENIED_SECONDS = 20.0
"""How long a denial is retried, as the role's policy may be new, until EC2 has accepted a call."""

_NO_MERCY = ("explicit deny", "service control policy")
"""In the text of a denial that no waiting changes."""

_TOKENS = 3
"""Client tokens tried per zone, if an earlier attempt used one with another end date."""

_Match = Literal["open", "targeted"]

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Answer:
    """EC2's answer about one zone.

    Attributes:
        zone: Name of the zone.
        kind: What it means.
        code: EC2's error code, or the name of a network error; empty if there is room.
        reservation: Id of the reservation that holds the room, or that could not be cancelled;
            empty if none is left.
    """

    zone: str
    kind: Kind
    code: str = ""
    reservation: str = ""

    def __str__(self) -> str:
        """The zone and the code, as one line of a list."""
        return f"{self.zone}: {self.code or self.kind.value}"


class Room:
    """Room for one machine of a type, asked for zone by zone.

    Args:
        ec2: Client with ``NO_RETRIES``.
        instance_type: EC2 type.
        tags: Tags of the reservations.
        seed: Text that is the same whenever this request is repeated, so that a repeated call gets
            the same reservation.
        seconds: How long all calls together may take. Default: 90 s.
        patience: How long a denial is retried. Default: ``DENIED_SECONDS``; 0 for a person's own
            permissions.
        monotonic: Clock. Default: the system's.
        sleep: Waits. Default: the system's.
    """

    def __init__(
        self,
        ec2: EC2Client,
        instance_type: str,
        tags: Mapping[str, str],
        seed: str,
        *,
        seconds: float = 90.0,
        patience: float = DENIED_SECONDS,
        monotonic: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._ec2 = ec2
        self._type = instance_type
        self._tags: list[TagTypeDef] = [{"Key": k, "Value": v} for k, v in tags.items()]
        self._seed = seed
        self._monotonic = monotonic
        self._sleep = sleep
        self._deadline = monotonic() + seconds
        self._patience = patience
        self._throttle = THROTTLE_SECONDS
        # Part of what a client token stands for, so it must not change between two attempts
        self._end = datetime.now(timezone.utc) + timedelta(minutes=HOLD_MINUTES)

    def ask(self, zone: str, *, keep: bool) -> Answer:
        """Asks one zone.

        Args:
            zone: Name of the zone.
            keep: Whether to keep the room for the next launch. It is kept only if no running
                instance of the account took the new reservation; then room is proven, not held.
        """
        made = self._create(zone, "open" if keep else "targeted")
        if isinstance(made, Answer):
            return made
        reservation = made["CapacityReservationId"]
        if made.get("State") == "failed":
            return Answer(zone, Kind.FULL, "failed")
        if keep and made.get("AvailableInstanceCount", 0):
            return Answer(zone, Kind.ROOM, reservation=reservation)
        is_cancelled = cancel(self._ec2, reservation)
        if keep:
            # A running instance of the account took the open one, which proves nothing
            return self.ask(zone, keep=False)
        return Answer(zone, Kind.ROOM, reservation="" if is_cancelled else reservation)

    def _create(self, zone: str, match: _Match) -> CapacityReservationTypeDef | Answer:
        number, lost = 1, False
        while self._monotonic() < self._deadline:
            try:
                made = self._ec2.create_capacity_reservation(
                    InstanceType=self._type,
                    InstancePlatform=cast("CapacityReservationInstancePlatformType", PLATFORM),
                    AvailabilityZone=zone,
                    InstanceCount=1,
                    InstanceMatchCriteria=match,
                    EndDateType="limited",
                    EndDate=self._end,
                    ClientToken=self._token(zone, match, number),
                    TagSpecifications=[
                        {"ResourceType": "capacity-reservation", "Tags": self._tags}
                    ],
                )
            except ClientError as error:
                code = error_code(error)
                if code == "IdempotentParameterMismatch" and number < _TOKENS:
                    number += 1
                elif not self._waits(error):
                    if code not in DENIED:
                        self._patience = 0.0
                    return Answer(zone, kind_of(code), code)
            except BotoCoreError as error:
                if lost:
                    return Answer(zone, Kind.UNKNOWN, type(error).__name__)
                lost = True  # with the same token, EC2 gives the same reservation again
            else:
                self._patience = 0.0
                return made["CapacityReservation"]
        return Answer(zone, Kind.UNKNOWN, "no time left")

    def _waits(self, error: ClientError) -> bool:
        """Waits if a later attempt may succeed; False if it would not."""
        code = error_code(error)
        text = str(error.response.get("Error", {}).get("Message", "")).lower()
        if code in DENIED and not any(words in text for words in _NO_MERCY):
            pause = min(2.0, self._patience)
            self._patience -= pause
        elif is_passing(error) and kind_of(code) is Kind.UNKNOWN:
            pause = min(random.uniform(1.0, 3.0), self._throttle)
            self._throttle -= pause
        else:
            return False
        if pause > 0:
            self._sleep(pause)
        return pause > 0

    def _token(self, zone: str, match: _Match, number: int) -> str:
        """At most 64 characters, EC2's limit."""
        return hashlib.sha256(f"{self._seed}/{zone}/{match}/{number}".encode()).hexdigest()


def cancel(ec2: EC2Client, reservation: str) -> bool:
    """Cancels a reservation; one that is gone counts as cancelled.

    Returns:
        Whether it is cancelled. If not, that is logged, and its end date cancels it.
    """
    try:
        call_aws(
            f"capacity reservation {reservation}",
            lambda: ec2.cancel_capacity_reservation(CapacityReservationId=reservation),
            patience=0,
        )
    except Exception as error:  # any: nothing depends on it
        if not (isinstance(error, ClientError) and error_code(error).endswith(".NotFound")):
            log.warning("%s is not cancelled, it ends by itself: %s", reservation, error)
            return False
    return True


def cancel_tagged(ec2: EC2Client, tags: Mapping[str, str], but: str = "") -> None:
    """Cancels the reservations with all these tags.

    EC2 may list a new one only after minutes; the end date cancels what is missed.

    Args:
        ec2: Client of the region.
        tags: The tags.
        but: Id of a reservation that is kept. Default: none.

    Raises:
        UnknownError: They could not be listed.
        ClientError: Another refusal of the service.
    """
    filters: list[FilterTypeDef] = [{"Name": "state", "Values": ["active", "pending"]}]
    filters += [{"Name": f"tag:{key}", "Values": [value]} for key, value in tags.items()]
    pages = ec2.get_paginator("describe_capacity_reservations")
    found = call_aws(
        "capacity reservations",
        lambda: pages.paginate(Filters=filters).build_full_result(),
        patience=0,
    )
    for row in found.get("CapacityReservations", []):
        if row["CapacityReservationId"] != but:
            cancel(ec2, row["CapacityReservationId"])
