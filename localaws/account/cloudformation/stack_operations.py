"""One operation of a stack at a time, and what a failed operation leaves in the stack.

Upstream a second operation starts beside a running one, and both work on the same resources; and
what the rollback of a creation could not delete is in no stack any more.

Here as on AWS, a deletion that fails does not protect what the resource needs: CloudFormation goes
on, and deletes a custom resource's function after its failed Delete
(aws-cloudformation/cloudformation-coverage-roadmap#852 and #1508; aws/aws-cdk#10777).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from http import HTTPStatus
from typing import Any

from ministack.services import cloudformation
from ministack.services.cloudformation import changesets, handlers, stacks

from localaws.account.cloudformation.custom_resources import FailedCreates

Answer = tuple[int, dict[str, str], bytes]
Record = dict[str, Any]
NOT_UPDATED = ("ROLLBACK_COMPLETE", "ROLLBACK_FAILED", "UPDATE_ROLLBACK_FAILED", "DELETE_FAILED")
"""Settled states in which CloudFormation takes no update."""
REASON = "ResourceStatusReason"
FAILED = {"ResourceStatus": "DELETE_FAILED"}
CANCELLED = "Resource creation cancelled"


class Operations:
    """Wraps the engine's operations.

    Args:
        failed: The custom resources whose creation failed.
    """

    def __init__(self, failed: FailedCreates) -> None:
        self._failed = failed
        self._running: dict[str, asyncio.Event] = {}

    def install(self) -> None:
        """Replace the engine's functions, in every module that imported them."""
        actions = handlers._ACTION_HANDLERS
        for action in ("CreateChangeSet", "ExecuteChangeSet", "UpdateStack"):
            actions[action] = _refusing_updates(actions[action])
        actions["DeleteStack"] = _refusing_deletion(actions["DeleteStack"])
        handlers._stack_has_no_updates = _but_metadata(handlers._stack_has_no_updates)
        actions["ContinueUpdateRollback"] = _skipping_nothing(actions["ContinueUpdateRollback"])
        deploy = self._alone(_remembering(stacks._deploy_stack_async))
        for module in (stacks, changesets, handlers):
            module._deploy_stack_async = deploy
        roll_back = self._complete(stacks._roll_back_operation)
        stacks._roll_back_operation = roll_back
        handlers._roll_back_operation = self._alone(roll_back)
        handlers._delete_stack_async = self._after_others(stacks._delete_stack_async)
        stacks._provision_resource = _cancelled_by_deletion(stacks._provision_resource)

    def _alone(self, operation: Callable[..., Any]) -> Callable[..., Any]:
        """Wrap an operation so that a deletion can wait for its end."""

        async def alone(stack_name: str, stack_id: str, *rest: Any, **named: Any) -> None:
            ended = self._running[stack_id] = asyncio.Event()
            try:
                await operation(stack_name, stack_id, *rest, **named)
            finally:
                del self._running[stack_id]
                ended.set()

        return alone

    def _after_others(self, delete: Callable[..., Any]) -> Callable[..., Any]:
        """A deletion, which cancels a creation and lets a rollback end."""

        async def delete_stack(stack_name: str, stack_id: str, *rest: Any, **named: Any) -> None:
            stack = cloudformation._stacks[stack_name]
            stack["StackStatus"] = "DELETE_IN_PROGRESS"
            running = self._running.get(stack_id)
            if running is not None:
                await running.wait()
            self._failed.hand_over(stack)
            await delete(stack_name, stack_id, *rest, **named)
            _give_reason(stack)

        return delete_stack

    def _complete(self, roll_back: Callable[..., Any]) -> Callable[..., Any]:
        """Wrap a rollback: failed custom resources are part of it, and undeleted ones remain."""

        async def roll_back_operation(
            stack_name: str,
            stack_id: str,
            stack: Record,
            operation: Record,
            *rest: Any,
            **named: Any,
        ) -> None:
            if is_deleted(stack_name):
                return  # the waiting deletion deletes everything
            operation["created"] += self._failed.hand_over(stack)
            before = dict(stack["_resources"])
            if operation["is_update"]:
                await roll_back(stack_name, stack_id, stack, operation, *rest, **named)
                return
            await roll_back(stack_name, stack_id, stack, operation, *rest, **named)
            for logical_id in stack.get("_rollback_failed", {}):
                stack["_resources"][logical_id] = {**before[logical_id], **FAILED}
            _give_reason(stack)

        return roll_back_operation


def _give_reason(stack: Record) -> None:
    """Say in a stack whose deletion failed what its last event says."""
    if stack["StackStatus"].endswith("_FAILED"):
        last = cloudformation._stack_events[stack["StackId"]][-1]
        stack["StackStatusReason"] = last[REASON]


def _remembering(deploy: Callable[..., Any]) -> Callable[..., Any]:
    """Wrap a creation so that its stack has the template from the beginning.

    Upstream a stack that a change set creates has none until it is complete. After a creation that
    stopped without a rollback the template has what was created: the next change set adds the rest.
    """

    async def deploy_stack(
        stack_name: str, stack_id: str, template: Record, *rest: Any, **named: Any
    ) -> None:
        stack = cloudformation._stacks[stack_name]
        if not named.get("is_update"):
            stack["_template"] = template
        await deploy(stack_name, stack_id, template, *rest, **named)
        if stack["StackStatus"] == "CREATE_FAILED":
            made = {name: template["Resources"][name] for name in stack["_resources"]}
            stack["_template"] = {**template, "Resources": made}

    return deploy_stack


def is_deleted(stack_name: str) -> bool:
    """Whether a stack is being deleted."""
    return str(cloudformation._stacks[stack_name]["StackStatus"]).startswith("DELETE_IN")


def is_given_up(stack_name: str) -> bool:
    """Whether a deletion or CancelUpdateStack ends what a stack waits for."""
    cancelled = cloudformation._stacks[stack_name].pop("_cancel_requested", False)
    return bool(cancelled) or is_deleted(stack_name)


def _cancelled_by_deletion(provision: Callable[..., Any]) -> Callable[..., Any]:
    def provision_resource(
        resource_type: str, logical_id: str, properties: Any, stack_name: str
    ) -> Any:
        if is_deleted(stack_name):
            raise RuntimeError(CANCELLED)
        return provision(resource_type, logical_id, properties, stack_name)

    return provision_resource


def _refusing_updates(handler: Callable[..., Answer]) -> Callable[..., Answer]:
    def update(params: Any) -> Answer:
        stack = _stack(params)
        status = stack.get("StackStatus", "")
        # A deleted stack is known by its id alone
        gone = status == "DELETE_COMPLETE" and handlers._p(params, "StackName") == stack["StackId"]
        if handlers._p(params, "ChangeSetType") != "CREATE" and (
            _in_progress(status) or status in NOT_UPDATED or gone
        ):
            return _refusal(
                f"Stack:{stack['StackId']} is in {status} state and can not be updated."
            )
        return handler(params)

    return update


def _but_metadata(has_no_updates: Callable[..., bool]) -> Callable[..., bool]:
    """Treat a change of the template's Metadata alone as no change.

    Upstream it is an update. On AWS Metadata cannot be updated by itself (user guide, "Metadata").
    """

    def without(template: Record) -> Record:
        return {name: part for name, part in template.items() if name != "Metadata"}

    def has_none(stack: Record, template: Record, *rest: Any, **named: Any) -> bool:
        had = stack | {"_template": without(stack["_template"])}
        return has_no_updates(had, without(template), *rest, **named)

    return has_none


def _refusing_deletion(handler: Callable[..., Answer]) -> Callable[..., Answer]:
    def delete(params: Any) -> Answer:
        stack = _stack(params)
        status = stack.get("StackStatus", "")
        if status == "DELETE_IN_PROGRESS":
            done: Answer = handlers._xml(200, "DeleteStackResponse", "")
            return done
        if status.startswith("UPDATE_") and _in_progress(status):
            return _refusal(
                f"Stack [{stack['StackId']}] cannot be deleted while in status {status}"
            )
        answer = handler(params)
        if answer[0] == HTTPStatus.OK:
            _forget_change_sets(stack.get("StackName", ""))
        return answer

    return delete


def _forget_change_sets(stack_name: str) -> None:
    """Delete all change sets of a deleted stack.

    Upstream a stack under review has another id with each change set that would create it, and only
    those of the last id are deleted; the next stack of the name would inherit the others.
    """
    change_sets = cloudformation._change_sets
    for key in [key for key, c in change_sets.items() if c["StackName"] == stack_name]:
        change_sets.pop(key)


def _skipping_nothing(handler: Callable[..., Answer]) -> Callable[..., Answer]:
    """Accept an empty list of resources to skip, as the CDK CLI sends it.

    Upstream it names a resource without a name.
    """

    def continue_update_rollback(params: Any) -> Answer:
        if params.get("ResourcesToSkip") == [""]:
            del params["ResourcesToSkip"]
        return handler(params)

    return continue_update_rollback


def _stack(params: Any) -> Record:
    stack: Record = handlers._resolve_stack(handlers._p(params, "StackName")) or {}
    return stack


def _in_progress(status: str) -> bool:
    return status.endswith("_IN_PROGRESS") and status != "REVIEW_IN_PROGRESS"


def _refusal(text: str) -> Answer:
    answer: Answer = handlers._error("ValidationError", text)
    return answer
