"""The arithmetic of vCPU quotas: what is counted, what is free, what is enough.

EC2 counts the default vCPUs of pending and running instances, by family and apart for on-demand
and spot; a stopped instance counts nothing (facts: AWS, "EC2 instance type quotas").
"""

from __future__ import annotations

import enum
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

FAMILIES = {"G": ("g", "gr", "vt"), "P": ("p",)}
"""Letters of the instance families that draw on the bucket of each class ("G and VT", "P")."""

KNOWN_CLASSES = tuple(f"{family}/OnDemand" for family in FAMILIES)
"""Usage classes, as quotas tell them, that this arithmetic can count."""


class QuotaMode(str, enum.Enum):
    """What a deploy does where the quota is too small."""

    ENFORCE = "enforce"
    """It fails, before anything that costs is created."""
    WARN = "warn"
    """It continues, and its output says what is missing."""
    REQUEST = "request"
    """It files the increase, and fails with the id of the request."""

    def __str__(self) -> str:
        return self.value

    @classmethod
    def _missing_(cls, value: object) -> QuotaMode:
        raise ValueError(f"mode must be one of {', '.join(cls)}, got {value}")


@dataclass(frozen=True)
class Instance:
    """A GPU instance of the account.

    Attributes:
        instance_id: Its id.
        instance_type: Its type.
        state: EC2's word, e.g. ``"running"``.
        zone: Name of its availability zone.
        lifecycle: Empty for on-demand, else ``"spot"``, ``"capacity-block"`` and the like.
        own: True when it belongs to the stack that asks.
    """

    instance_id: str
    instance_type: str
    state: str = "running"
    zone: str = ""
    lifecycle: str = ""
    own: bool = False


@dataclass(frozen=True)
class Need:
    """What a deploy asks of the quota.

    Attributes:
        vcpus: vCPUs of the machine that is to run; 0 when the deploy starts none.
        replaces_own: True when the machine changes its type in place, so that the vCPUs of the
            running one come free; False when a new one starts beside it.
    """

    vcpus: int
    replaces_own: bool


@dataclass(frozen=True)
class OpenRequest:
    """A request for more quota that AWS has not decided yet."""

    request_id: str
    status: str
    vcpus: int | None
    day: str

    def __str__(self) -> str:
        """One clause for the text."""
        number = in_words(self.vcpus)
        return f"request {self.request_id} for {number} vCPUs of {self.day} ({self.status})"


@dataclass(frozen=True)
class Verdict:
    """The quota against the need, in vCPUs; ``None`` stands for what could not be found out.

    Attributes:
        needed: What the deploy adds at least.
        limit: The quota's value.
        in_use: vCPUs in use in the bucket, without the stack's own when they come free.
        own: vCPUs of the stack's own machine that still count.
    """

    needed: int
    limit: int | None
    in_use: int | None
    own: int = 0

    @property
    def free(self) -> int | None:
        """What is left, never below zero."""
        if self.limit is None or self.in_use is None:
            return None
        return max(self.limit - self.in_use, 0)

    @property
    def is_refusal(self) -> bool:
        """True only when it is certain that the quota does not suffice."""
        if self.needed == 0 or self.limit is None:
            return False
        return self.needed > self.limit - (self.in_use or 0)

    @property
    def is_unknown(self) -> bool:
        """True when neither enough nor too little is certain."""
        return self.needed > 0 and not self.is_refusal and self.free is None

    @property
    def fits_without_own(self) -> bool:
        """True when stopping the stack's own machine would make room."""
        return self.own > 0 and self.free is not None and self.needed <= self.free + self.own

    @property
    def desired(self) -> int:
        """The quota value that would suffice."""
        return self.needed + (self.in_use or 0)


def judge(
    need: Need,
    usage_class: str,
    limit: float | None,
    instances: Iterable[Instance] | None,
    vcpus: Mapping[str, int],
) -> Verdict:
    """Sets the need against the bucket.

    Args:
        need: What the deploy asks.
        usage_class: The bucket's class as the quota tells it, one of ``KNOWN_CLASSES``.
        limit: The quota's value in vCPUs; ``None`` when unknown.
        instances: The account's instances in the region; ``None`` when unknown.
        vcpus: Default vCPUs by instance type; a type that is missing makes the use unknown.
    """
    whole_limit = None if limit is None else int(limit)
    if instances is None:
        return Verdict(need.vcpus, whole_limit, None)
    counted = [i for i in instances if counts(i, usage_class)]
    if any(i.instance_type not in vcpus for i in counted):
        return Verdict(need.vcpus, whole_limit, None)
    own = sum(vcpus[i.instance_type] for i in counted if i.own)
    others = sum(vcpus[i.instance_type] for i in counted if not i.own)
    if need.replaces_own:
        return Verdict(need.vcpus, whole_limit, others)
    return Verdict(need.vcpus, whole_limit, others + own, own)


def counts(instance: Instance, usage_class: str) -> bool:
    """True when the instance draws on the on-demand bucket of this class now."""
    family, _, _market = usage_class.partition("/")
    letters = re.match(r"[a-z]+", instance.instance_type)
    return (
        instance.state in ("pending", "running")
        and not instance.lifecycle
        and letters is not None
        and letters.group() in FAMILIES[family]
    )


def in_words(value: int | None) -> str:
    """A number of vCPUs, or ``unknown``."""
    return "unknown" if value is None else str(value)
