"""What the account is like and what shall fail: the state that `Control` sets, in the child."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import Any

from localaws.control import Fault, InstanceEvent, Operation
from localaws.images import Image
from localaws.quotas import QUOTAS, QuotaRequest


@dataclass
class World:
    """One account. A new one: no quota for GPUs, AWS's own offerings, nothing broken."""

    applied: dict[str, float] = field(
        default_factory=lambda: {quota.code: quota.default for quota in QUOTAS}
    )
    defaults: dict[str, float] = field(
        default_factory=lambda: {quota.code: quota.default for quota in QUOTAS}
    )
    requests: list[QuotaRequest] = field(default_factory=list)
    enforce: bool = True
    offerings: dict[str, list[str]] = field(default_factory=dict)
    no_capacity: set[str] = field(default_factory=set)
    images: dict[str, Image] = field(default_factory=dict)
    parameters: dict[str, str | None] = field(default_factory=dict)
    faults: dict[str, list[Any]] = field(default_factory=dict)
    resource_faults: dict[str, list[Any]] = field(default_factory=dict)
    machine_faults: dict[str, Any] = field(default_factory=dict)
    silent: bool = False
    scale: float = 1.0
    events: list[InstanceEvent] = field(default_factory=list)
    calls: list[str] = field(default_factory=list)
    signals: list[dict[str, str]] = field(default_factory=list)
    held_logs: list[Callable[[], None]] | None = None

    def take_fault(self, operation: str) -> Fault | None:
        """The fault that this call meets, counted down."""
        found: Fault | None = _take(self.faults, operation)
        return found

    def take_resource_fault(self, operation: Operation, logical_id: str) -> str | None:
        """What a resource meets in this operation, counted down."""
        found: str | None = _take(self.resource_faults, f"{operation} {logical_id}")
        return found

    def deliver(self, write: Callable[[], None]) -> None:
        """Write a function's log, or hold it until `hold_logs` lets it go."""
        if self.held_logs is None:
            write()
        else:
            self.held_logs.append(write)

    def record(self, instance_id: str, event: Any, instance_type: str) -> None:
        """Add to the instances' history."""
        self.events.append(InstanceEvent(instance_id, event, time.time(), instance_type))

    # The commands of `Control`, by its names and arguments

    def reset(self) -> None:
        """Everything as in a new account, but for what has happened."""
        self.hold_logs(False)
        fresh = World(events=self.events, calls=self.calls)
        self.__dict__.update(fresh.__dict__)

    def set_quota(self, code: str, value: float | None) -> None:
        """Set or remove an applied value."""
        _set(self.applied, code, value)

    def set_default_quota(self, code: str, value: float | None) -> None:
        """Set or remove a default value."""
        _set(self.defaults, code, value)

    def fault(self, operation: str, kind: Fault | None, times: int | None) -> None:
        """Plan a fault."""
        _set(self.faults, operation, None if kind is None else [kind, times])

    def resource_fault(
        self, operation: Operation, logical_id: str, reason: str | None, times: int | None
    ) -> None:
        """Plan a fault of a resource."""
        planned = None if reason is None else [reason, times]
        _set(self.resource_faults, f"{operation} {logical_id}", planned)

    def open_quota_request(self, code: str, value: float, status: str) -> str:
        """File a quota request."""
        request = QuotaRequest.new(code, value, status)
        self.requests.append(request)
        return request.id

    def enforce_quota(self, on: bool) -> None:
        """Switch the quota's enforcement."""
        self.enforce = on

    def set_offerings(self, instance_type: str, zones: list[str] | None) -> None:
        """Override the zones of a type."""
        _set(self.offerings, instance_type, zones)

    def set_capacity(self, instance_type: str, available: bool) -> None:
        """Say whether there is room for a type."""
        (self.no_capacity.discard if available else self.no_capacity.add)(instance_type)

    def add_image(self, **image: Any) -> None:
        """Add an image."""
        self.images[image["image_id"]] = Image(**image)

    def set_parameter(self, name: str, value: str | None) -> None:
        """Override a public parameter."""
        self.parameters[name] = value

    def machine_fault(self, faults: dict[str, Any]) -> None:
        """Set the faults of stubbed commands."""
        self.machine_faults = faults

    def machine_silent(self, on: bool) -> None:
        """Say whether machines do nothing."""
        self.silent = on

    def hold_logs(self, on: bool) -> None:
        """Hold the functions' logs, or deliver all that were held."""
        held, self.held_logs = self.held_logs or [], [] if on else None
        for write in held:
            write()

    def wait_scale(self, scale: float) -> None:
        """Set the length of a second."""
        self.scale = scale

    def history(self, instance_id: str | None) -> list[dict[str, Any]]:
        """Instance events as rows."""
        return [asdict(e) for e in self.events if instance_id in (None, e.instance_id)]


def _take(table: dict[str, list[Any]], key: str) -> Any:
    """What is planned under the key, if anything, one time less."""
    planned = table.get(key)
    if planned is None:
        return None
    what, times = planned
    if times is not None:
        planned[1] = times - 1
        if times <= 1:
            del table[key]
    return what


def _set(table: dict[str, Any], key: str, value: Any) -> None:
    if value is None:
        table.pop(key, None)
    else:
        table[key] = value
