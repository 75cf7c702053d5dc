"""The capacity reservations of a test."""

from __future__ import annotations

from localaws import LocalAws
from localaws.control import CapacityReservation
from tests.support.probe_stack import Stack

OPEN, TARGETED = "open", "targeted"


class Holds:
    """The reservations that were made since it was made."""

    def __init__(self, aws: LocalAws) -> None:
        self._aws = aws
        self._known = {row.reservation_id for row in aws.control.reservations()}

    @property
    def rows(self) -> list[CapacityReservation]:
        rows = self._aws.control.reservations()
        return [row for row in rows if row.reservation_id not in self._known]

    def made(self) -> list[tuple[str, str]]:
        """How each was made, and whether it is over."""
        return [(row.match, row.state) for row in self.rows]

    def assert_over(self) -> None:
        assert all(row.state != "active" for row in self.rows), self.rows


def machine(stack: Stack, logical_id: str) -> dict[str, object]:
    """A stack's instance, as EC2 describes it."""
    ids = [stack.physical_id(logical_id)]
    answer = stack.aws.client("ec2").describe_instances(InstanceIds=ids)
    return dict(answer["Reservations"][0]["Instances"][0])
