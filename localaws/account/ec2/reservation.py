"""One capacity reservation: its slots and what of them AWS would bill."""

from __future__ import annotations

import re
import secrets
import time
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from localaws.account.clock import Due

LINUX = "Linux/UNIX"
State = Literal["active", "cancelled", "expired"]


@dataclass
class Reservation:
    """One capacity reservation.

    Attributes:
        owner: Account that owns it; empty: this one.
        match: `open`: any instance that fits may be in it. `targeted`: none of those here, which
            cannot name one.
        created: In seconds since 1970, as all times here.
        end: When it expires; None: never.
        ended: When it was cancelled or expired; None: it is active.
        elsewhere: How many slots machines use that are not instances here.
        added: Whether a control added it; else a call did.
        token: The client token of that call, with the call's parameters.
        inside: Ids of the instances in it.
        unused_seconds: Sum over all slots of the time that nobody used them, up to `since`.
        shown: As it was after every change, by the time of that.
    """

    id: str
    instance_type: str
    zone: str
    total: int
    match: Literal["open", "targeted"]
    created: float
    owner: str = ""
    platform: str = LINUX
    zone_id: str = ""
    tenancy: str = "default"
    ebs_optimized: bool = False
    end: float | None = None
    state: State = "active"
    ended: float | None = None
    elsewhere: int = 0
    added: bool = False
    token: tuple[str, tuple[tuple[str, str], ...]] | None = None
    inside: set[str] = field(default_factory=set)
    unused_seconds: float = 0.0
    since: float = 0.0
    shown: list[tuple[float, Reservation]] = field(default_factory=list)
    expiry: Due | None = None

    @property
    def available(self) -> int:
        """Slots that nobody uses; none once it has ended."""
        used = self.elsewhere + len(self.inside)
        return self.total - used if self.state == "active" else 0

    @property
    def region(self) -> str:
        """The region of its zone, of a Local Zone too."""
        return re.sub(r"^((?:[a-z]+-)+\d+).*", r"\1", self.zone)

    @property
    def is_own(self) -> bool:
        """Whether it counts against this account's quota."""
        return not self.owner

    def unused(self, now: float) -> float:
        """Seconds of unused slots until a time, which AWS bills like running machines."""
        return self.unused_seconds + self.available * (now - self.since)

    def row(self, account: str) -> dict[str, Any]:
        """In the form of the SDK, without its tags.

        Args:
            account: This account.
        """
        owner = self.owner or account
        place = f"{self.region}:{owner}"
        used = self.total - self.available if self.state == "active" else 0
        return {
            "CapacityReservationId": self.id,
            "OwnerId": owner,
            "CapacityReservationArn": f"arn:aws:ec2:{place}:capacity-reservation/{self.id}",
            "AvailabilityZoneId": self.zone_id or None,
            "InstanceType": self.instance_type,
            "InstancePlatform": self.platform,
            "AvailabilityZone": self.zone,
            "Tenancy": self.tenancy,
            "TotalInstanceCount": self.total,
            "AvailableInstanceCount": self.available,
            "EbsOptimized": self.ebs_optimized,
            "EphemeralStorage": False,
            "State": self.state,
            "StartDate": _stamp(self.created),
            "EndDate": None if self.end is None else _stamp(self.end),
            "EndDateType": "unlimited" if self.end is None else "limited",
            "InstanceMatchCriteria": self.match,
            "CreateDate": _stamp(self.created),
            "CapacityAllocations": [{"AllocationType": "used", "Count": used}] if used else [],
            "ReservationType": "default",
        }

    def note(self, now: float) -> None:
        """Remember how it is now."""
        self.shown.append((now, replace(self, inside=set(self.inside), shown=[])))

    def as_of(self, then: float) -> Reservation | None:
        """As it was at a time; None: it was not there yet."""
        seen = [one for when, one in self.shown if when <= then]
        return seen[-1] if seen else None


def new_id() -> str:
    """An id like AWS's."""
    return f"cr-0{secrets.token_hex(8)}"


def _stamp(seconds: float) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S.000Z", time.gmtime(seconds))
