"""Arithmetic of EC2's vCPU quotas.

EC2 counts the default vCPUs of pending and running instances per family, separately for on-demand
and spot. Stopped instances do not count (AWS, "EC2 instance type quotas").
"""

from __future__ import annotations

import enum
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

FAMILIES = {"G": ("g", "gr", "vt"), "P": ("p",)}
"""Prefixes of the instance families that count against each quota ("G and VT", "P")."""

KNOWN_CLASSES = tuple(f"{family}/OnDemand" for family in FAMILIES)
"""Usage classes, as in a quota's usage metric, that this module can count."""


class QuotaMode(str, enum.Enum):
    """Effect of a quota that is too small on a deploy."""

    ENFORCE = "enforce"
    """The deploy fails before it creates anything that is billed."""
    WARN = "warn"
    """The deploy continues with a warning in its output ``Quota``."""
    REQUEST = "request"
    """The deploy requests an increase, and fails with the id of the request."""

    def __str__(self) -> str:
        return self.value

    @classmethod
    def _missing_(cls, value: object) -> QuotaMode:
        raise ValueError(f"mode must be one of {', '.join(cls)}, got {value}")


@dataclass(frozen=True)
class Instance:
    """A GPU instance of the account.

    Attributes:
        instance_id: Id of the instance.
        instance_type: EC2 type.
        state: State in EC2, e.g. ``"running"``.
        zone: Name of its availability zone.
        lifecycle: Empty for on-demand, else EC2's value such as ``"spot"``, ``"capacity-block"``.
        own: True if it belongs to the stack of the quota check.
    """

    instance_id: str
    instance_type: str
    state: str = "running"
    zone: str = ""
    lifecycle: str = ""
    own: bool = False


@dataclass(frozen=True)
class Need:
    """vCPUs that a deploy needs.

    Attributes:
        vcpus: vCPUs of the machine; 0 if the deploy starts none.
        replaces_own: True if the existing machine changes its type, which frees its current vCPUs;
            False if a new machine starts while the existing one runs.
    """

    vcpus: int
    replaces_own: bool


@dataclass(frozen=True)
class OpenRequest:
    """A pending request for a quota increase."""

    request_id: str
    status: str
    vcpus: int | None
    day: str

    def __str__(self) -> str:
        """The request as a clause for messages."""
        number = in_words(self.vcpus)
        return f"request {self.request_id} for {number} vCPUs of {self.day} ({self.status})"


@dataclass(frozen=True)
class Verdict:
    """Comparison of need and quota, in vCPUs; ``None`` means unknown.

    Attributes:
        needed: vCPUs that the deploy adds.
        limit: Value of the quota.
        in_use: vCPUs that count against the quota, without those of the stack's own machine if the
            deploy frees them.
        own: vCPUs in ``in_use`` of the stack's own machine.
    """

    needed: int
    limit: int | None
    in_use: int | None
    own: int = 0

    @property
    def free(self) -> int | None:
        """Remaining vCPUs, never below zero; ``None`` if unknown."""
        if self.limit is None or self.in_use is None:
            return None
        return max(self.limit - self.in_use, 0)

    @property
    def is_refusal(self) -> bool:
        """True only if the quota is known to be too small."""
        if self.needed == 0 or self.limit is None:
            return False
        return self.needed > self.limit - (self.in_use or 0)

    @property
    def is_unknown(self) -> bool:
        """True if it is unknown whether the quota suffices."""
        return self.needed > 0 and not self.is_refusal and self.free is None

    @property
    def fits_without_own(self) -> bool:
        """True if the quota would suffice after stopping the stack's own machine."""
        return self.own > 0 and self.free is not None and self.needed <= self.free + self.own

    @property
    def desired(self) -> int:
        """Smallest quota value that would suffice."""
        return self.needed + (self.in_use or 0)


def judge(
    need: Need,
    usage_class: str,
    limit: float | None,
    instances: Iterable[Instance] | None,
    vcpus: Mapping[str, int],
) -> Verdict:
    """Compares the need with the quota.

    Args:
        need: vCPUs that the deploy needs.
        usage_class: Usage class of the quota, one of ``KNOWN_CLASSES``.
        limit: Value of the quota in vCPUs; ``None`` if unknown.
        instances: The account's instances in the region; ``None`` if unknown.
        vcpus: Default vCPUs by instance type. If a type is missing, the use is unknown.
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
    """True if the instance currently counts against the on-demand quota of this class."""
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
