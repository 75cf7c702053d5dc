"""ListStackResources of deleted stacks, DescribeStackResources by physical id, descriptions.

Upstream a deleted stack lists nothing, no stack is found by a physical id, and a stack that was
created by a change set has no description. AWS's answer for an id that no stack has is not
established.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ministack.services import cloudformation
from ministack.services.cloudformation import handlers

Action = Callable[[dict[str, Any]], Any]


def install() -> None:
    """Replace the engine's three actions."""
    actions = handlers._ACTION_HANDLERS
    actions["ListStackResources"] = _also_deleted(actions["ListStackResources"])
    actions["DescribeStackResources"] = _by_physical_id(actions["DescribeStackResources"])
    actions["DescribeStacks"] = _described(actions["DescribeStacks"])


def _also_deleted(plain: Action) -> Action:
    def action(request: dict[str, Any]) -> Any:
        stack = handlers._resolve_stack(handlers._p(request, "StackName"))
        if not stack or stack["StackStatus"] != "DELETE_COMPLETE":
            return plain(request)
        kept = stack["_resources"]
        stack["_resources"] = {
            event["LogicalResourceId"]: event
            for event in cloudformation._stack_events[stack["StackId"]]
            if event["PhysicalResourceId"] not in ("", stack["StackId"])
        }
        try:
            return plain(request)
        finally:
            stack["_resources"] = kept

    return action


def _described(plain: Action) -> Action:
    def action(request: dict[str, Any]) -> Any:
        for stack in cloudformation._stacks.values():
            stack["Description"] = stack["_template"].get("Description", "")
        return plain(request)

    return action


def _by_physical_id(plain: Action) -> Action:
    def action(request: dict[str, Any]) -> Any:
        wanted = handlers._p(request, "PhysicalResourceId")
        if not wanted:
            return plain(request)
        for stack in cloudformation._stacks.values():
            if any(r.get("PhysicalResourceId") == wanted for r in stack["_resources"].values()):
                return plain({**request, "StackName": [stack["StackId"]]})
        return handlers._error("ValidationError", f"Stack for {wanted} does not exist")

    return action
