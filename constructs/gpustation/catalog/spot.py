"""Spot machines: when one is asked for, and how its request is marked."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from datetime import datetime

SPOT_TAG = "gpustation:spot-of"
"""Tag of a spot request; its value is the id of the stack, which may cancel only such requests."""

VALID_UNTIL = "2099-01-01T00:00:00Z"
"""When the request ends: far away, because EC2's default for persistent requests is seven days,
and a machine whose request ended is not started again (EC2 API, SpotOptions; algo#14581)."""

MARKET = "Market"
"""Name in the image choice's physical id of how the machine was bought; without it: on-demand."""

SPOT, ON_DEMAND = "spot", "on-demand"


_STOPPED_BY_EC2 = frozenset(
    {
        "instance-stopped-by-price",
        "instance-stopped-capacity-oversubscribed",
        "instance-stopped-no-capacity",
    }
)
"""Status codes of a request whose machine EC2 stopped (EC2 user guide, "Spot request status")."""


class Standing(enum.Enum):
    """Whether a person can start the stopped machine of a spot request."""

    STARTABLE = enum.auto()
    """A person stopped it."""
    SETTLING = enum.auto()
    """EC2 has not noted the stop yet."""
    INTERRUPTED = enum.auto()
    """EC2 stopped it, and only EC2 starts it again."""
    ENDED = enum.auto()
    """The request is over, and nobody can start the machine again."""
    UNKNOWN = enum.auto()
    """A state that the user guide does not describe: only a start shows it."""


@dataclass(frozen=True)
class SpotRequest:
    """A spot request, as EC2 describes it.

    Attributes:
        request_id: Its id.
        state: ``open``, ``active``, ``disabled``, ``closed``, ``cancelled`` or ``failed``.
        code: Its status code, e.g. ``fulfilled``.
        since: When the status changed last; ``None`` if EC2 does not say so.
    """

    request_id: str
    state: str
    code: str
    since: datetime | None

    def __str__(self) -> str:
        return f"{self.request_id} is {self.state} ({self.code})"

    @property
    def standing(self) -> Standing:
        """Whether a person can start its machine, if that is stopped."""
        if self.state in ("cancelled", "closed", "failed"):
            return Standing.ENDED
        # An open request waits for capacity, with which EC2 starts the machine
        if self.code in _STOPPED_BY_EC2 or self.state == "open":
            return Standing.INTERRUPTED
        if (self.state, self.code) == ("disabled", "instance-stopped-by-user"):
            return Standing.STARTABLE
        return Standing.SETTLING if self.state == "active" else Standing.UNKNOWN

    @property
    def interrupted_since(self) -> str:
        """For a text, e.g. ``since 2026-11-28 21:31 UTC``; empty if unknown."""
        return f"since {self.since:%Y-%m-%d %H:%M} UTC" if self.since else ""


class SpotMode(str, enum.Enum):
    """Whether a machine is a spot machine."""

    FALSE = "false"
    """On-demand."""
    TRUE = "true"
    """Spot; the deploy fails if EC2 has none."""
    PREFER = "prefer"
    """Decided when the machine is created: spot if quota and price allow it, else on-demand."""

    def __str__(self) -> str:
        return self.value

    @classmethod
    def _missing_(cls, value: object) -> SpotMode:
        raise ValueError(f"spot must be one of {', '.join(cls)}, got {value}")
