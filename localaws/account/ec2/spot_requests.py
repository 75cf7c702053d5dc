"""The life of Spot Instance requests and of their machines; upstream there are none.

What a person does to a machine, `Instances` tells here. What EC2 then does by itself is done here:
it launches another machine for a persistent request whose machine was terminated, and terminates
a stopped one whose request was cancelled. For what it does to running ones see
`spot_interruptions.py`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from ministack.core.responses import get_account_id, get_region, request_scope
from ministack.services import ec2

from localaws.account import prices
from localaws.account.ec2 import catalog
from localaws.account.ec2.instance_record import Record
from localaws.account.ec2.launch import Launch
from localaws.account.ec2.room import RUNNING
from localaws.account.ec2.spot_options import require_price
from localaws.account.ec2.spot_request import LIVING, SpotRequest
from localaws.account.errors import ApiError

if TYPE_CHECKING:
    from localaws.account.ec2.instances import Instances

Reason = tuple[str, str]
_FULL = (
    "because the number of Spot requests with a maximum price equal to or higher than the Spot "
    "price exceeded available capacity or because of an increase in the Spot price."
)
STOPPED_BY_EC2 = ("Server.SpotInstanceShutdown", f"The instance was stopped {_FULL}")
TERMINATED_BY_EC2 = ("Server.SpotInstanceTermination", f"The instance was terminated {_FULL}")
"""Codes and texts of botocore's model of StateReason."""
FAILED_LAUNCHES = {
    "InsufficientInstanceCapacity": "capacity-not-available",
    "MaxSpotInstanceCountExceeded": "constraint-not-fulfillable",
    "SpotMaxPriceTooLow": "price-too-low",
}
"""Status code of an open request that EC2 cannot fulfil, by its refusal. That of the quota is not
documented. After any other refusal the request has failed."""


class SpotRequests:
    """The account's Spot Instance requests.

    Args:
        instances: The instances.
    """

    def __init__(self, instances: Instances) -> None:
        self._instances = instances
        self._world = instances.world

    def of_region(self) -> list[SpotRequest]:
        """Those of the region, oldest first."""
        rows = self._world.spot_requests.values()
        return [row for row in rows if row.region == get_region()]

    def get(self, request_id: str) -> SpotRequest:
        """One of the region by its id."""
        for row in self.of_region():
            if row.id == request_id:
                return row
        raise ApiError(
            "InvalidSpotInstanceRequestID.NotFound",
            f"The spot instance request ID '{request_id}' does not exist",
        )

    def of(self, record: Record) -> SpotRequest | None:
        """The request that an instance fulfils or fulfilled; None: it is on demand."""
        return self._world.spot_requests.get(record.get("_spot_request", ""))

    def check(self, launch: Launch, zone: str) -> None:
        """Refuse what AWS refuses of a spot machine before it looks for room."""
        assert launch.spot is not None
        require_price(launch.spot, launch.instance_type, zone, get_region())

    def fulfil(self, record: Record, launch: Launch, request: SpotRequest | None) -> None:
        """Note that an instance was launched for a request, a new one unless it is given."""
        now = self._world.clock()
        if request is None:
            request = self._new(record, launch, now)
        request.instance_id = record["InstanceId"]
        record["_spot_request"] = request.id
        request.set("active", "fulfilled", now)

    def require_stop(self, record: Record, reason: Reason) -> None:
        """Refuse a person's stop that AWS refuses; else the request is marked for it."""
        request = self.of(record)
        if request is None or reason == STOPPED_BY_EC2:
            return
        if not request.is_persistent:
            raise ApiError(
                "UnsupportedOperation",
                f"You can't stop the Spot Instance '{record['InstanceId']}' because it is "
                "associated with a one-time Spot Instance request. You can only stop Spot "
                "Instances associated with persistent Spot Instance requests.",
            )
        if request.state != "active":
            raise _wrong_state(record, "stop")
        request.set("active", "marked-for-stop", self._world.clock())

    def ends_with_shutdown(self, record: Record) -> bool:
        """Whether a shutdown from inside terminates a machine, as it cannot be stopped.

        AWS documents that such a machine cannot be stopped, not what a shutdown does then.
        """
        request = self.of(record)
        return request is not None and not (request.is_persistent and request.state == "active")

    def note_stop(self, record: Record, reason: Reason) -> None:
        """Note that a machine was stopped: a person's stop reaches the request later."""
        request = self.of(record)
        if request is None:
            return
        request.forget_plans()
        if reason == STOPPED_BY_EC2:
            request.set("disabled", "instance-stopped-no-capacity", self._world.clock())
            return

        def disable() -> None:
            if (request.state, request.code) == ("active", "marked-for-stop"):
                request.set("disabled", "instance-stopped-by-user", self._world.clock())

        self.plan(request, self._world.spot_stop_seconds, disable)

    def require_start(self, record: Record) -> None:
        """Refuse a person's start: not yet, or only EC2 can do it."""
        request = self.of(record)
        stopped = ("disabled", "instance-stopped-by-user")
        if request is not None and (request.state, request.code) != stopped:
            raise _wrong_state(record, "start")

    def note_start(self, record: Record) -> None:
        """Note that a machine was started."""
        request = self.of(record)
        if request is not None:
            request.set("active", "fulfilled", self._world.clock())

    def note_end(self, record: Record, reason: Reason) -> None:
        """Note that a machine was terminated: a persistent request opens again."""
        request, now = self.of(record), self._world.clock()
        if request is None or request.instance_id != record["InstanceId"]:
            return
        request.forget_plans()
        if reason == TERMINATED_BY_EC2:
            if request.state == "cancelled":
                request.set("cancelled", "instance-terminated-by-service", now)
        elif request.state == "cancelled":
            request.set("cancelled", "instance-terminated-by-user", now)
        elif not request.is_persistent:
            request.set("closed", "instance-terminated-by-user", now)
        else:
            request.set("open", "pending-evaluation", now)
            self.plan(request, self._world.spot_service_seconds, lambda: self._launch(request))

    def cancel(self, request: SpotRequest) -> None:
        """Cancel a request; one that has ended stays as it is (not documented).

        A running machine runs on, a stopped one is terminated.
        """
        if request.state not in LIVING:
            return
        now, record = self._world.clock(), self.machine(request)
        if record is None:
            request.forget_plans()
            request.set("cancelled", "canceled-before-fulfillment", now)
        elif record["State"]["Name"] in RUNNING:
            request.set("cancelled", "request-canceled-and-instance-running", now)
        else:
            request.set("cancelled", request.code, now)
            end = self._world.spot_service_seconds
            self.plan(request, end, lambda: self._instances.terminate(record, TERMINATED_BY_EC2))

    def reconsider(self) -> None:
        """Try again what could not be launched, as EC2 does by itself."""
        for request in list(self._world.spot_requests.values()):
            if request.state == "open" and request.code != "pending-evaluation":
                self._launch(request)

    def _new(self, record: Record, launch: Launch, now: float) -> SpotRequest:
        assert launch.spot is not None
        zone = record["Placement"]["AvailabilityZone"]
        ids = {row["ZoneName"]: row["ZoneId"] for row in catalog.zones(get_region())}
        request = SpotRequest(
            options=launch.spot,
            # A request does not tag what it launches; RunInstances tagged the first machine
            launch=replace(launch, tags=(), volume_tags=()),
            zone=zone,
            zone_id=ids.get(zone, ""),
            region=get_region(),
            account=get_account_id(),
            created=now,
            platform=record["_platform"],
            price=prices.on_demand(launch.instance_type, get_region()),
        )
        if launch.spot.tags:
            ec2._tags[request.id] = [dict(tag) for tag in launch.spot.tags]
        self._world.spot_requests[request.id] = request
        if launch.spot.valid_until is not None:
            request.expiry = self._world.time.at(
                launch.spot.valid_until, lambda: self._expire(request)
            )
        return request

    def _expire(self, request: SpotRequest) -> None:
        """End a request at its date.

        Documented: a stopped machine stays stopped. Not documented: a running one runs on.
        """
        if request.state not in LIVING:
            return
        record = self.machine(request)
        code = "schedule-expired"
        if record is not None:
            runs = record["State"]["Name"] in RUNNING
            code = "request-canceled-and-instance-running" if runs else "instance-stopped-by-user"
        request.forget_plans()
        request.set("cancelled", code, self._world.clock())

    def _launch(self, request: SpotRequest) -> None:
        """Launch a machine for an open request."""
        if request.state != "open":
            return
        now = self._world.clock()
        with request_scope(request.account, request.region):
            try:
                self._instances.launch(request.launch, request)
            except ApiError as error:
                waiting = FAILED_LAUNCHES.get(error.code)
                state = ("open", waiting) if waiting else ("failed", "bad-parameters")
                request.set(*state, now, error.message)  # type: ignore[arg-type]

    def plan(self, request: SpotRequest, seconds: float, action: Callable[[], None]) -> None:
        """Do something after so many seconds of the clock; with 0 at once."""

        def scoped() -> None:
            with request_scope(request.account, request.region):
                action()

        if not seconds:
            scoped()
            return
        due = self._world.time.at(self._world.clock() + seconds, scoped)
        request.pending.append(due)

    def machine(self, request: SpotRequest) -> Record | None:
        """The request's machine, unless it was terminated."""
        record: dict[str, Any] | None = ec2._instances.get(request.instance_id)
        return record if record and record["State"]["Name"] != "terminated" else None


def _wrong_state(record: Record, wish: str) -> ApiError:
    """The code is in public reports (terraform-provider-aws#33399); the text is not certain."""
    return ApiError(
        "IncorrectSpotRequestState",
        f"You can't {wish} the Spot Instance '{record['InstanceId']}' because the associated Spot "
        f"Instance request is not in an appropriate state to support {wish}.",
    )
