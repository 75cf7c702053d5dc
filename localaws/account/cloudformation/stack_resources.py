"""What CloudFormation tells of a stack's resources beyond ministack's engine.

By a physical id it names the stack that a thing belongs to, and a stack that was deleted goes on
to list its resources. What it says of an id that no stack has is not established.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ministack.services import cloudformation
from ministack.services.cloudformation import handlers

Action = Callable[[dict[str, Any]], Any]


def install() -> None:
    """Take the place of the engine's two actions."""
    actions = handlers._ACTION_HANDLERS
    actions["ListStackResources"] = _also_deleted(actions["ListStackResources"])
    actions["DescribeStackResources"] = _by_physical_id(actions["DescribeStackResources"])


def _also_deleted(plain: Action) -> Action:
    def action(asked: dict[str, Any]) -> Any:
        stack = handlers._resolve_stack(handlers._p(asked, "StackName"))
        if not stack or stack["StackStatus"] != "DELETE_COMPLETE":
            return plain(asked)
        kept = stack["_resources"]
        stack["_resources"] = {
            event["LogicalResourceId"]: event
            for event in cloudformation._stack_events[stack["StackId"]]
            if event["PhysicalResourceId"] not in ("", stack["StackId"])
        }
        try:
            return plain(asked)
        finally:
            stack["_resources"] = kept

    return action


def _by_physical_id(plain: Action) -> Action:
    def action(asked: dict[str, Any]) -> Any:
        wanted = handlers._p(asked, "PhysicalResourceId")
        if not wanted:
            return plain(asked)
        for stack in cloudformation._stacks.values():
            if any(one.get("PhysicalResourceId") == wanted for one in stack["_resources"].values()):
                return plain({**asked, "StackName": [stack["StackId"]]})
        return handlers._error("ValidationError", f"Stack for {wanted} does not exist")

    return action
