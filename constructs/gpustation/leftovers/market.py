"""What buys machines: spot requests and capacity reservations."""

from __future__ import annotations

from collections.abc import Iterator

from gpustation.aws.spot import ALIVE
from gpustation.catalog import prices
from gpustation.leftovers.kind import Kind, Resource, Row
from gpustation.leftovers.result import Leftover
from gpustation.leftovers.search import Search

_HOLDING = ("active", "pending")


class SpotRequest(Resource):
    """Is cancelled before its machine is terminated: otherwise it launches another one.

    No stack lists a request, so it belongs to the one that lists its machine.
    """

    price = "free; its machine is a kind of its own"

    def leftover(self) -> Leftover | None:
        """Only one that has, or may launch, a machine."""
        return super().leftover() if self.row["State"] in ALIVE else None

    def _within(self) -> list[str]:
        return [self.row.get("InstanceId", "")]


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
