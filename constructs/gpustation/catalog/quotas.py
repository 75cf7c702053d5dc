"""Arithmetic of EC2's vCPU quotas.

EC2 counts the default vCPUs of pending and running instances per family, separately for on-demand
and spot. Stopped instances do not count (AWS, "EC2 instance type quotas").

A capacity reservation counts wholly against the on-demand quota of the account that owns it:
capacity that is not used, instances of the owner in it, and instances of other accounts in it. So
an instance in a reservation is not counted again, and one in a reservation that another account
shares is not counted at all (EC2 user guide, "Working with shared Capacity Reservations, Instance
limits"; it has not been compared with an account).
"""

from __future__ import annotations

import enum
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

FAMILIES = {"G": ("g", "gr", "vt"), "P": ("p",)}
"""Prefixes of the instance families that count against each quota ("G and VT", "P")."""

MARKETS = {"OnDemand": "", "Spot": "spot"}
"""An instance's lifecycle, by the second part of a usage class."""

KNOWN_CLASSES = tuple(f"{family}/{market}" for market in MARKETS for family in FAMILIES)
"""Usage classes, as in a quota's usage metric, that this module can count."""

_P_SPOT = "P/Spot"
_P_SPOT_TYPE = re.compile(r"p[234]")
"""The only P types of that class ("All P4, P3 and P2 Spot Instance Requests")."""


class QuotaMode(str, enum.Enum):
    """Effect of a quota that is too small on a deploy."""

    ENFORCE = "enforce"
    """The deploy fails before it creates anything that is billed."""
    WARN = "warn"
    """The deploy continues with a warning in its output ``Quota``."""
    REQUEST = "request"
    """The deploy requests an increase, and fails with the id of the request."""

    def __str__(self) -> str:
        return self.value

    @classmethod
    def _missing_(cls, value: object) -> QuotaMode:
        raise ValueError(f"mode must be one of {', '.join(cls)}, got {value}")


@dataclass(frozen=True)
class Instance:
    """A GPU instance of the account.

    Attributes:
        instance_id: Id of the instance.
        instance_type: EC2 type.
        state: State in EC2, e.g. ``"running"``.
        zone: Name of its availability zone.
        lifecycle: Empty for on-demand, else EC2's value such as ``"spot"``, ``"capacity-block"``.
        own: True if it belongs to the stack of the quota check.
        reservation: Id of the capacity reservation that it runs in; empty if it runs in none.
    """

    instance_id: str
    instance_type: str
    state: str = "running"
    zone: str = ""
    lifecycle: str = ""
    own: bool = False
    reservation: str = ""


@dataclass(frozen=True)
class Reservation:
    """An on-demand capacity reservation that the account owns or another account shares with it.

    Attributes:
        reservation_id: Id of the reservation.
        instance_type: EC2 type.
        total: Number of instances that it has room for.
        unused: Number of instances that can still be launched into it.
        zone: Name of its availability zone.
        owned: True if the account owns it, so that it counts against its quota.
        open: True if every Linux instance of this type and zone is launched into it.
    """

    reservation_id: str
    instance_type: str
    total: int
    unused: int
    zone: str = ""
    owned: bool = True
    open: bool = True


@dataclass(frozen=True)
class Need:
    """vCPUs that a deploy needs.

    Attributes:
        vcpus: vCPUs of the machine; 0 if the deploy starts none.
        replaces_own: True if the existing machine changes its type, which frees its current vCPUs;
            False if a new machine starts while the existing one runs.
        instance_type: Type of the machine, which may be launched into an open reservation.
            Default: none is considered.
    """

    vcpus: int
    replaces_own: bool
    instance_type: str = ""


@dataclass(frozen=True)
class OpenRequest:
    """A pending request for a quota increase."""

    request_id: str
    status: str
    vcpus: int | None
    day: str

    def __str__(self) -> str:
        """The request as a clause for messages."""
        number = in_words(self.vcpus)
        return f"request {self.request_id} for {number} vCPUs of {self.day} ({self.status})"


@dataclass(frozen=True)
class Verdict:
    """Comparison of need and quota, in vCPUs; ``None`` means unknown.

    Attributes:
        needed: vCPUs that the deploy adds.
        limit: Value of the quota.
        in_use: vCPUs that count against the quota, without those of the stack's own machine if the
            deploy frees them.
        own: vCPUs in ``in_use`` of the stack's own machine.
        at_least: vCPUs that certainly count, if ``in_use`` is unknown.
        reserved: vCPUs in ``in_use`` of capacity reservations that are not used.
        room_in: Zones where an open reservation has room for the machine, which then needs no
            further vCPUs.
    """

    needed: int
    limit: int | None
    in_use: int | None
    own: int = 0
    at_least: int = 0
    reserved: int = 0
    room_in: tuple[str, ...] = ()

    @property
    def free(self) -> int | None:
        """Remaining vCPUs, never below zero; ``None`` if unknown."""
        if self.limit is None or self.in_use is None:
            return None
        return max(self.limit - self.in_use, 0)

    @property
    def is_refusal(self) -> bool:
        """True only if the quota is known to be too small."""
        if self.needed == 0 or self.limit is None or self.room_in:
            return False
        return self.needed > self.limit - self._certain

    @property
    def is_unknown(self) -> bool:
        """True if it is unknown whether the quota suffices."""
        return self.needed > 0 and not self.is_refusal and self.free is None

    @property
    def needs_reservation(self) -> bool:
        """True if the machine fits only into the reservations of ``room_in``."""
        return bool(self.room_in) and self.free is not None and self.needed > self.free

    @property
    def fits_without_own(self) -> bool:
        """True if the quota would suffice after stopping the stack's own machine."""
        return self.own > 0 and self.free is not None and self.needed <= self.free + self.own

    @property
    def desired(self) -> int:
        """Smallest quota value that would suffice."""
        return self.needed + self._certain

    @property
    def _certain(self) -> int:
        return self.at_least if self.in_use is None else self.in_use


def judge(
    need: Need,
    usage_class: str,
    limit: float | None,
    instances: Iterable[Instance] | None,
    vcpus: Mapping[str, int],
    reservations: Iterable[Reservation] | None = (),
) -> Verdict:
    """Compares the need with the quota.

    Args:
        need: vCPUs that the deploy needs.
        usage_class: Usage class of the quota, one of ``KNOWN_CLASSES``.
        limit: Value of the quota in vCPUs; ``None`` if unknown.
        instances: The account's instances in the region; ``None`` if unknown.
        vcpus: Default vCPUs by instance type. If a type is missing, the use is unknown.
        reservations: Capacity reservations in the region; ``None`` if unknown. Default: none.
    """
    whole_limit = None if limit is None else int(limit)
    if usage_class.endswith("/Spot"):
        reservations = ()  # they are on-demand capacity
    if instances is None:
        return Verdict(need.vcpus, whole_limit, None)
    every = [*instances]
    counted = [i for i in every if counts(i, usage_class)]
    if reservations is None:
        outside = [i for i in counted if not (i.reservation or (i.own and need.replaces_own))]
        certain = sum(vcpus.get(i.instance_type, 0) for i in outside)
        return Verdict(need.vcpus, whole_limit, None, at_least=certain)
    reservations = [r for r in reservations if is_of(r.instance_type, usage_class)]
    inside = {r.reservation_id for r in reservations}
    counted = [i for i in counted if i.reservation not in inside]
    owned = [r for r in reservations if r.owned]
    types = {i.instance_type for i in counted} | {r.instance_type for r in owned}
    if types - vcpus.keys():
        return Verdict(need.vcpus, whole_limit, None)
    own = sum(vcpus[i.instance_type] for i in counted if i.own)
    others = sum(vcpus[i.instance_type] for i in counted if not i.own)
    others += sum(vcpus[r.instance_type] * r.total for r in owned)
    room = {r.zone for r in reservations if r.open and r.unused and _suits(r, need)}
    if need.replaces_own:  # the machine keeps its zone
        room &= {i.zone for i in every if i.own}
    return Verdict(
        need.vcpus,
        whole_limit,
        in_use=others if need.replaces_own else others + own,
        own=0 if need.replaces_own else own,
        reserved=sum(vcpus[r.instance_type] * r.unused for r in owned),
        room_in=tuple(sorted(room)),
    )


def counts(instance: Instance, usage_class: str) -> bool:
    """True if the instance currently counts against the quota of this class."""
    market = usage_class.partition("/")[2]
    return (
        instance.state in ("pending", "running")
        and instance.lifecycle == MARKETS.get(market, "")
        and is_of(instance.instance_type, usage_class)
    )


def is_of(instance_type: str, usage_class: str) -> bool:
    """True if the type belongs to the families of this class."""
    family, _, _market = usage_class.partition("/")
    if usage_class == _P_SPOT:
        return _P_SPOT_TYPE.match(instance_type) is not None
    letters = re.match(r"[a-z]+", instance_type)
    return letters is not None and letters.group() in FAMILIES[family]


def _suits(reservation: Reservation, need: Need) -> bool:
    return need.vcpus > 0 and reservation.instance_type == need.instance_type


def in_words(value: int | None) -> str:
    """A number of vCPUs, or ``unknown``."""
    return "unknown" if value is None else str(value)
