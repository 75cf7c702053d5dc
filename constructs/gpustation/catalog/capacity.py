"""What EC2's answers to a request for capacity mean, and how a capacity hold is marked."""

from __future__ import annotations

import enum

HOLD_TAG = "gpustation:hold-of"
"""Tag of a capacity reservation that holds room for a machine until it is launched; its value is
the id of the stack. A deploy may cancel only reservations with its own stack's id."""

GENERATION_TAG = "gpustation:generation"
"""Tag of a hold with the machine's generation: two can be built in one deploy."""

PROBE_TAG = "gpustation:probe-of"
"""Tag of a reservation by which ``gpustation start`` asks a zone for room; its value is unique to
the run, so that it cancels only its own."""

SWITCHED_OFF = "not checked: capacity_check is false"
"""Output ``Capacity`` of a stack that makes no reservations."""

HOLD_MINUTES = 15
"""End date of a hold, should nothing release it: longer than a launch after the choice takes, and
EC2 ends it within an hour after that (EC2 API, CreateCapacityReservation, EndDate)."""

PLATFORM = "Linux/UNIX"
"""The only platform that is held: that of Ubuntu's images (DescribeImages, PlatformDetails)."""

_FULL = frozenset(
    {
        "InsufficientCapacity",
        "InsufficientHostCapacity",
        "InsufficientInstanceCapacity",
        "InsufficientReservedInstanceCapacity",
    }
)
_QUOTA = frozenset({"InstanceLimitExceeded", "VcpuLimitExceeded"})
_UNSUPPORTED = frozenset({"InvalidParameterCombination", "Unsupported"})
_IN_A_REASON = (
    "do not have sufficient",
    "Insufficient capacity.",
    "There is no Spot capacity available",
    "than your current vCPU limit",
    "than your current instance limit",
    "Max spot instance count exceeded",
    *_FULL,
    *_QUOTA,
    "MaxSpotInstanceCountExceeded",
)
"""EC2's words for missing capacity and quota. The reason of a CloudFormation event had EC2's code
until about 2023, and has its message alone since then."""


class Kind(enum.Enum):
    """What an answer of EC2 says about a zone."""

    ROOM = "room"
    FULL = "full"
    UNSUPPORTED = "unsupported"
    """The zone cannot reserve this type."""
    QUOTA = "quota"
    """The account's vCPU quota has no room; this says nothing about the zone."""
    UNKNOWN = "unknown"
    """Missing permission, throttling, a network error, or a code that says nothing about it."""


def kind_of(code: str) -> Kind:
    """The meaning of an error code of CreateCapacityReservation, RunInstances or StartInstances.

    Sources: "Error codes for the Amazon EC2 API"; throttling must not be read as a lack of
    capacity (aws/karpenter-provider-aws#8923).
    """
    if code in _FULL:
        return Kind.FULL
    if code in _QUOTA:
        return Kind.QUOTA
    return Kind.UNSUPPORTED if code in _UNSUPPORTED else Kind.UNKNOWN


def says_capacity_is_missing(reason: str) -> bool:
    """Whether the reason of a stack's event says that EC2 lacks capacity, or the account quota."""
    return any(words in reason for words in _IN_A_REASON)
