"""Capacity reservations: which machines are in them and how they end; upstream there are none."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from ministack.core.responses import get_region
from ministack.services import ec2

from localaws.account.ec2.reservation import LINUX, Reservation, State
from localaws.account.errors import ApiError

if TYPE_CHECKING:
    from localaws.account.world import World

Record = dict[str, Any]


class Reservations:
    """The account's capacity reservations.

    Args:
        world: The account's state.
    """

    def __init__(self, world: World) -> None:
        self._world = world
        self.lock = threading.RLock()
        """Held from the question whether there is room to the moment when the room is taken."""

    def of_region(self) -> list[Reservation]:
        """Those of the region, in every state, oldest first."""
        rows = self._world.reservations.values()
        return [row for row in rows if row.region == get_region()]

    def active(self) -> list[Reservation]:
        """Those of the region that hold capacity, oldest first."""
        return [row for row in self.of_region() if row.state == "active"]

    def get(self, reservation_id: str) -> Reservation:
        """One of the region by its id, in any state."""
        for row in self.of_region():
            if row.id == reservation_id:
                return row
        raise ApiError(
            "InvalidCapacityReservationId.NotFound",
            f"The capacity reservation ID '{reservation_id}' does not exist",
        )

    def create(self, reservation: Reservation) -> Reservation:
        """Hold capacity from now on.

        Running instances that fit are in a new open reservation at once.
        """
        with self.lock:
            reservation.since = reservation.created
            self._world.reservations[reservation.id] = reservation
            for record in self._loose(reservation):
                if reservation.available:
                    reservation.inside.add(record["InstanceId"])
                    record["_reservation"] = reservation.id
            reservation.note(self._world.clock())
            self._record(reservation, "reserved")
            if reservation.end is not None:
                reservation.expiry = self._world.time.at(
                    reservation.end, lambda: self._end(reservation, "expired")
                )
        return reservation

    def lose_slots(self, reservation: Reservation) -> None:
        """Let machines that are not here use every free slot of an open reservation."""
        if reservation.match == "open":
            with self._changing(reservation):
                reservation.elsewhere += reservation.available

    def cancel(self, reservation: Reservation) -> None:
        """End a reservation; instances in it run on.

        What AWS says to one that has ended is not documented; here it is refused.
        """
        with self.lock:
            if reservation.state != "active":
                raise ApiError(
                    "InvalidCapacityReservationState",
                    f"The capacity reservation '{reservation.id}' is {reservation.state}",
                )
            if reservation.expiry is not None:
                reservation.expiry.cancelled = True
            self._end(reservation, "cancelled")

    def fitting(self, instance_type: str, zone: str, platform: str) -> Reservation | None:
        """An open reservation with a free slot; of several, the oldest (not documented)."""
        for row in self.active():
            same = (row.instance_type, row.zone, row.platform) == (instance_type, zone, platform)
            if same and row.match == "open" and row.tenancy == "default" and row.available:
                return row
        return None

    def enter(self, reservation: Reservation | None, record: Record) -> None:
        """Note which reservation an instance that starts is in, if any."""
        record["_reservation"] = reservation.id if reservation else ""
        if reservation:
            with self._changing(reservation):
                reservation.inside.add(record["InstanceId"])

    def leave(self, record: Record) -> None:
        """Free the slot of an instance that was stopped or terminated."""
        reservation = self._world.reservations.get(record.get("_reservation", ""))
        record["_reservation"] = ""
        if reservation and record["InstanceId"] in reservation.inside:
            with self._changing(reservation):
                reservation.inside.discard(record["InstanceId"])

    def _loose(self, reservation: Reservation) -> Iterator[Record]:
        """Running on-demand instances that a new reservation takes in."""
        if reservation.match != "open" or reservation.tenancy != "default":
            return
        for record in ec2._instances.values():
            fits = (
                record["InstanceType"] == reservation.instance_type
                and record["Placement"]["AvailabilityZone"] == reservation.zone
                and record.get("_platform", LINUX) == reservation.platform
                and record.get("_preference", "open") == "open"
            )
            runs = record["State"]["Name"] in ("pending", "running")
            if fits and runs and not record["_lifecycle"] and not record.get("_reservation"):
                yield record

    def _end(self, reservation: Reservation, state: State) -> None:
        with self.lock:
            with self._changing(reservation):
                reservation.state, reservation.ended = state, self._world.clock()
            for name in reservation.inside:
                record = ec2._instances.get(name)
                if record is not None:
                    record["_reservation"] = ""
            reservation.inside.clear()
            self._record(reservation, state)

    @contextmanager
    def _changing(self, reservation: Reservation) -> Iterator[None]:
        with self.lock:
            now = self._world.clock()
            reservation.unused_seconds = reservation.unused(now)
            reservation.since = now
            yield
            reservation.note(now)

    def _record(self, reservation: Reservation, event: Any) -> None:
        self._world.record(reservation.id, event, reservation.instance_type)
