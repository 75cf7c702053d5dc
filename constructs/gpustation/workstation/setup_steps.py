"""The steps of a machine's set-up, from the events of its stack's wait conditions."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mypy_boto3_cloudformation import CloudFormationClient
    from mypy_boto3_cloudformation.type_defs import StackEventTypeDef

_STEP = re.compile(r"Generation\d+(?P<step>[A-Za-z]+Ready)[0-9A-F]{8}")
_WAIT = "AWS::CloudFormation::WaitCondition"
_STACK = "AWS::CloudFormation::Stack"
_BEGUN = ("CREATE_IN_PROGRESS", "UPDATE_IN_PROGRESS", "DELETE_IN_PROGRESS")


@dataclass(frozen=True)
class Step:
    """A step of the set-up.

    Attributes:
        name: Id of its wait condition, e.g. ``DriverReady``.
        state: ``waiting``, ``done`` or ``failed``.
        since: When it got this state.
        reason: Why it failed; otherwise empty.
    """

    name: str
    state: str
    since: datetime
    reason: str = ""


def operation_events(cloudformation: CloudFormationClient, stack: str) -> list[StackEventTypeDef]:
    """Events of the stack's last operation, oldest first."""
    events: list[StackEventTypeDef] = []
    pages = cloudformation.get_paginator("describe_stack_events").paginate(StackName=stack)
    for page in pages:
        for event in page["StackEvents"]:
            events.append(event)
            whole = event.get("PhysicalResourceId") == event["StackId"]
            if whole and event.get("ResourceStatus") in _BEGUN:
                return events[::-1]
    return events[::-1]


def steps_of(cloudformation: CloudFormationClient, stack: str) -> list[Step]:
    """The steps that the stack's last operation waits or waited for, in the order of its events."""
    steps: dict[str, Step] = {}
    for event in operation_events(cloudformation, stack):
        found = _STEP.fullmatch(event.get("LogicalResourceId", ""))
        if not found or event.get("ResourceType") != _WAIT:
            continue
        state = {"CREATE_COMPLETE": "done", "CREATE_FAILED": "failed"}.get(
            event.get("ResourceStatus", ""), "waiting"
        )
        reason = event.get("ResourceStatusReason", "") if state == "failed" else ""
        steps[found["step"]] = Step(found["step"], state, event["Timestamp"], reason)
    return [*steps.values()]
