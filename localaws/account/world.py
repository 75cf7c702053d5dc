"""The state of the account that `Control` sets, in the child process."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from localaws.account.clock import Clock
from localaws.account.ec2.images import Image
from localaws.account.ec2.reservation import Reservation
from localaws.account.ec2.spot_request import SpotRequest
from localaws.account.quotas import QUOTAS, QuotaRequest
from localaws.reports import (
    EventFault,
    Fault,
    InstanceEvent,
    Mail,
    Operation,
    ScheduleRun,
    Signal,
    Use,
)


@dataclass(frozen=True)
class CapacityRule:
    """What a test says of capacity; None: of every use, type or zone."""

    available: bool
    use: Use | None
    instance_type: str | None
    zone: str | None

    def fits(self, *asked: str) -> bool:
        """Whether it speaks of a use, a type and a zone."""
        said = (self.use, self.instance_type, self.zone)
        return all(one in (None, other) for one, other in zip(said, asked, strict=True))

    def overrules(self, other: CapacityRule) -> bool:
        """Whether it speaks of all that another speaks of."""
        pairs = (
            (self.use, other.use),
            (self.instance_type, other.instance_type),
            (self.zone, other.zone),
        )
        return all(one in (None, two) for one, two in pairs)


@dataclass
class World:
    """One account. A new one has no quota for GPUs and AWS's own offerings; nothing fails.

    Attributes:
        applied: Applied values of quotas, in vCPUs, by code.
        defaults: Default values of quotas, likewise.
        requests: Quota requests, oldest first.
        enforce: Whether launches obey the quota.
        offerings: Zones of the types whose offerings are not AWS's.
        opted_in: Whether regions are enabled that differ from a new account's.
        reservations: Capacity reservations by id.
        reservation_lag: After how many seconds a change of a reservation is seen.
        thefts: Planned losses of a new reservation's slots, and how many are left.
        spot_requests: Spot Instance requests by id.
        spot_stop_seconds: After how many seconds a spot request knows of a person's stop.
        spot_service_seconds: After how many seconds EC2 does by itself what a request asks for.
        placement_scores: Spot placement scores by zone, where a test set one.
        capacity: Where there is capacity; the last rule that fits counts, without one there is.
        images: Images of other accounts, by id.
        faults: Planned faults of calls: kind and how many calls are left, by operation.
        resource_faults: Planned faults of resources: reason and how many are left.
        machine_faults: Faults of stubbed commands.
        instances_per_page: Rows of DescribeInstances without MaxResults.
        silent: Whether machines do nothing.
        scale: Real seconds of one second of a wait.
        events: History of the instances.
        calls: Operations that were called.
        signals: Signals that handles have taken.
        event_faults: Planned faults of an event's delivery to a target: kind and how many are left.
        event_delay: After how many seconds late events come by themselves; None: never.
        schedule_runs: History of the schedules.
        mails: What was sent by e-mail.
        time: The clock.
    """

    applied: dict[str, float] = field(
        default_factory=lambda: {quota.code: quota.default for quota in QUOTAS}
    )
    defaults: dict[str, float] = field(
        default_factory=lambda: {quota.code: quota.default for quota in QUOTAS}
    )
    requests: list[QuotaRequest] = field(default_factory=list)
    enforce: bool = True
    offerings: dict[str, list[str]] = field(default_factory=dict)
    opted_in: dict[str, bool] = field(default_factory=dict)
    reservations: dict[str, Reservation] = field(default_factory=dict)
    reservation_lag: float = 0.0
    thefts: dict[str, list[Any]] = field(default_factory=dict)
    spot_requests: dict[str, SpotRequest] = field(default_factory=dict)
    spot_stop_seconds: float = 1.0
    spot_service_seconds: float = 0.0
    placement_scores: dict[str, int] = field(default_factory=dict)
    capacity: list[CapacityRule] = field(default_factory=list)
    images: dict[str, Image] = field(default_factory=dict)
    faults: dict[str, list[Any]] = field(default_factory=dict)
    resource_faults: dict[str, list[Any]] = field(default_factory=dict)
    machine_faults: dict[str, Any] = field(default_factory=dict)
    instances_per_page: int = 1000
    silent: bool = False
    scale: float = 1.0
    events: list[InstanceEvent] = field(default_factory=list)
    calls: list[str] = field(default_factory=list)
    signals: list[Signal] = field(default_factory=list)
    event_faults: dict[str, list[Any]] = field(default_factory=dict)
    event_delay: float | None = None
    schedule_runs: list[ScheduleRun] = field(default_factory=list)
    mails: list[Mail] = field(default_factory=list)
    time: Clock = field(default_factory=Clock)

    def reset(self) -> None:
        """Set everything as in a new account, but keep resources, histories and the clock."""
        kept = {
            name: getattr(self, name)
            for name in ("events", "calls", "schedule_runs", "mails", "time", "spot_requests")
        }
        kept["reservations"] = {n: r for n, r in self.reservations.items() if not r.added}
        self.__dict__.update(World(**kept).__dict__)

    def clock(self) -> float:
        """The account's time in seconds since 1970: real time, or what tests made of it."""
        return self.time.now()

    def take_event_fault(self) -> EventFault | None:
        """The fault of this delivery of an event, counted down."""
        kind: EventFault | None = _take(self.event_faults, "delivery")
        return kind

    def add_image(self, **image: Any) -> None:
        """Add an image of another account."""
        self.images[image["image_id"]] = Image(**image)

    def take_fault(self, operation: str, region: str = "") -> Fault | None:
        """The fault of this call, counted down; one planned for its region comes first."""
        kind: Fault | None = _take(self.faults, f"{region}/{operation}") if region else None
        return kind or _take(self.faults, operation)

    def set_capacity(
        self, available: bool, use: Use | None, instance_type: str | None, zone: str | None
    ) -> None:
        """Add what a test says of capacity; what it overrules altogether goes."""
        rule = CapacityRule(available, use, instance_type, zone)
        others = [old for old in self.capacity if not rule.overrules(old)]
        self.capacity = [*others, rule]

    def add_reservation(self, available: int, **reservation: Any) -> None:
        """Add a capacity reservation that no call made."""
        now = self.clock()
        made = Reservation(**reservation, created=now, since=now, added=True)
        made.elsewhere = made.total - available
        made.note(0.0)
        self.reservations[made.id] = made

    def take_theft(self) -> bool:
        """Whether the slots of a new reservation are lost to others, counted down."""
        return bool(_take(self.thefts, "slots"))

    def take_resource_fault(self, operation: Operation, logical_id: str) -> str | None:
        """The reason why a resource fails in this operation, counted down."""
        reason: str | None = _take(self.resource_faults, f"{operation} {logical_id}")
        return reason

    def record(self, instance_id: str, event: Any, instance_type: str) -> None:
        """Add to the history of an instance or a capacity reservation."""
        self.events.append(InstanceEvent(instance_id, event, self.clock(), instance_type))


def _take(table: dict[str, list[Any]], key: str) -> Any:
    """The value that is planned under a key, one time less."""
    if key not in table:
        return None
    value, times = table[key]
    if times is not None:
        table[key][1] = times - 1
        if times <= 1:
            del table[key]
    return value
