"""Spot machines: when one is asked for, and how its request is marked."""

from __future__ import annotations

import enum

SPOT_TAG = "gpustation:spot-of"
"""Tag of a spot request; its value is the id of the stack, which may cancel only such requests."""

VALID_UNTIL = "2099-01-01T00:00:00Z"
"""When the request ends: far away, because EC2's default for persistent requests is seven days,
and a machine whose request ended is not started again (EC2 API, SpotOptions; algo#14581)."""

MARKET = "Market"
"""Name in the image choice's physical id of how the machine was bought; without it: on-demand."""

SPOT, ON_DEMAND = "spot", "on-demand"


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
