"""What buys machines: spot requests and capacity reservations."""

from __future__ import annotations

from collections.abc import Iterator

from gpustation.aws.spot import ALIVE
from gpustation.catalog import prices
from gpustation.leftovers.kind import Kind, Resource, Row
from gpustation.leftovers.search import Search

_HOLDING = ("active", "pending")


class SpotRequest(Resource):
    """Is cancelled before its machine is terminated: otherwise it launches another one."""

    price = "free; its machine is a kind of its own"

    @classmethod
    def rows(cls, search: Search, kind: Kind) -> Iterator[Row]:
        """Those that have, or may launch, a machine."""
        for row in super().rows(search, kind):
            if row["State"] in ALIVE:
                yield row


class CapacityReservation(Resource):
    """Costs what the machines would cost for which it has room; those in it cost by themselves."""

    price = "its type's price per hour, times 730, for each machine that is not in it"

    @classmethod
    def rows(cls, search: Search, kind: Kind) -> Iterator[Row]:
        """Those that are not over."""
        for row in super().rows(search, kind):
            if row["State"] in _HOLDING:
                yield row

    def _cost(self) -> prices.Cost:
        unused = int(self.row["AvailableInstanceCount"])
        usd, words = prices.machine(self.row["InstanceType"], "running", with_address=False)
        return usd * unused, f"room for {unused} more, as {words}"
