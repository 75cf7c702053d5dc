"""The steps of a deploy or a deletion, derived from the stack's events."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mypy_boto3_cloudformation.type_defs import StackEventTypeDef

QUOTA, CHOICE, NETWORK, MACHINE = "quota", "image and zone", "network", "machine"
OTHERS, REMOVAL = "roles and functions", "removal of the old"
SIGNALS = {"DriverReady": "driver", "EnvironmentReady": "environment", "GpuReady": "GPU computes"}
"""Step of each wait condition that the machine signals."""
ORDER = (QUOTA, CHOICE, NETWORK, OTHERS, MACHINE, *SIGNALS.values(), REMOVAL)
_KINDS = {
    "Custom::QuotaCheck": QUOTA,
    "Custom::ImageChoice": CHOICE,
    "AWS::EC2::Instance": MACHINE,
}
_SIGNAL = re.compile(rf"Generation\d+({'|'.join(SIGNALS)})[0-9A-F]{{8}}")
_STACK = "AWS::CloudFormation::Stack"
_WAIT = "AWS::CloudFormation::WaitCondition"
_ANSWER = re.compile(
    r"Received response status \[FAILED\] from custom resource\. Message returned: "
    r"(?P<message>.+?)(?: \(RequestId: [0-9a-f-]{36}\))?",
    re.DOTALL,
)
"""CloudFormation's reason for a custom resource that failed, around the function's message."""
_CANCELED = ("Resource creation cancelled", "Resource update cancelled")


@dataclass(frozen=True)
class Step:
    """A step of an operation.

    Attributes:
        name: One of ``ORDER``.
        state: ``running``, ``done`` or ``failed``.
        begun: When its first resource was begun.
        ended: When its last resource was done; ``None`` while it runs.
        reason: Why it failed; otherwise empty.
    """

    name: str
    state: str
    begun: datetime
    ended: datetime | None
    reason: str = ""

    def seconds(self, now: datetime) -> float:
        """How long it took, or has taken so far."""
        return max(((self.ended or now) - self.begun).total_seconds(), 0.0)


def steps_of(events: Iterable[StackEventTypeDef], *, deletes: bool = False) -> list[Step]:
    """The steps that were begun, in the order of ``ORDER``.

    Args:
        events: Events of one operation, oldest first.
        deletes: True for the deletion of the stack; otherwise what is deleted is a step of its
            own, as CloudFormation deletes what was replaced after the update.
    """
    resources: dict[str, dict[str, StackEventTypeDef]] = {}
    begun: dict[str, datetime] = {}
    for event in events:
        name = _name(event, deletes)
        if name:
            begun.setdefault(name, event["Timestamp"])
            resources.setdefault(name, {})[event["LogicalResourceId"]] = event
    return [
        _step(name, begun[name], [*resources[name].values()]) for name in ORDER if name in begun
    ]


def failure(events: Iterable[StackEventTypeDef]) -> str:
    """Why the operation failed: the first resource that did, with its reason; empty if none did."""
    for event in events:
        reason = event.get("ResourceStatusReason", "")
        failed = event.get("ResourceStatus", "").endswith("_FAILED")
        if failed and event.get("ResourceType") != _STACK and not reason.startswith(_CANCELED):
            return f"{event['LogicalResourceId']}: {_plain(reason)}"
    return ""


def _plain(reason: str) -> str:
    """A reason without CloudFormation's words around a function's own message."""
    answer = _ANSWER.fullmatch(reason)
    return answer["message"] if answer else reason


def _name(event: StackEventTypeDef, deletes: bool) -> str:
    """The step of an event; empty for the stack itself and for handles, which take no time."""
    kind = event.get("ResourceType", "")
    if kind.startswith(_STACK) or kind == f"{_WAIT}Handle":
        return ""
    if not deletes and event.get("ResourceStatus", "").startswith("DELETE_"):
        return REMOVAL
    if signal := _SIGNAL.fullmatch(event.get("LogicalResourceId", "")):
        return SIGNALS[signal[1]]
    if kind.startswith("AWS::EC2::") and kind not in _KINDS:
        return NETWORK
    return _KINDS.get(kind, OTHERS)


def _step(name: str, begun: datetime, last: list[StackEventTypeDef]) -> Step:
    statuses = [event.get("ResourceStatus", "") for event in last]
    ended = max(event["Timestamp"] for event in last)
    for event in last:
        if event.get("ResourceStatus", "").endswith("_FAILED"):
            return Step(name, "failed", begun, ended, _plain(event.get("ResourceStatusReason", "")))
    if all(status.endswith(("_COMPLETE", "_SKIPPED")) for status in statuses):
        return Step(name, "done", begun, ended)
    return Step(name, "running", begun, None)
