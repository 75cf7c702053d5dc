"""The events and the status of a stack's operations, as AWS shows them.

Upstream an update has events for every resource, also for those that do not change; a resource that
an update creates has the status UPDATE; deletions have no events; every signal to a handle has; no
event says that a creation was initiated; an update that deletes nothing has no clean-up phase; and
reasons of the stack itself are others. What AWS has is recorded: `tests/localaws/recordings`.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from typing import Any

from ministack.services import cloudformation
from ministack.services.cloudformation import changesets, handlers, provisioners, stacks

CLEANUP = "UPDATE_COMPLETE_CLEANUP_IN_PROGRESS"
STACK = "AWS::CloudFormation::Stack"
WAIT = "AWS::CloudFormation::WaitCondition"
INITIATED = "Resource creation Initiated"
REPLACES = "Requested update requires the creation of a new physical resource"
NOT_CLEAN = "Update successful. One or more resources could not be deleted."
BEGUN = (
    "REVIEW_IN_PROGRESS",
    "CREATE_IN_PROGRESS",
    "UPDATE_IN_PROGRESS",
    "DELETE_IN_PROGRESS",
)
TICK = timedelta(milliseconds=1)
"""Minimum distance of two events: the CDK CLI sorts by time, and reverses equal times."""


class Events:
    """Filters and changes the events that the engine adds."""

    def __init__(self) -> None:
        self._held: dict[tuple[str, str], tuple[str, ...]] = {}
        self._new: set[tuple[str, str]] = set()
        self._failed: dict[str, str] = {}
        self._replaced: set[tuple[str, str]] = set()
        self._last = datetime.now(timezone.utc)
        self._plain: Callable[..., None] = stacks._add_event

    def install(self) -> None:
        """Replace the engine's function, in every module that imported it."""
        stacks._update_resource = self._watched_update(stacks._update_resource)
        stacks._delete_resource = self._watched_delete(stacks._delete_resource)
        for module in (stacks, changesets, handlers):
            module._add_event = self.add

    def add(
        self,
        stack_id: str,
        stack_name: str,
        logical_id: str,
        resource_type: str,
        status: str,
        reason: str = "",
        physical_id: str = "",
        detailed_status: str = "",
    ) -> None:
        """Record, hold back, change or drop an event."""
        about = (stack_id, stack_name, logical_id, resource_type)
        rest = (physical_id, detailed_status)
        if resource_type == WAIT and reason.startswith("Received "):
            return  # AWS shows signals of creation policies only
        if resource_type == STACK and logical_id == stack_name:
            self._record_stack(about, status, reason, rest)
            return
        if status.endswith("_FAILED"):
            self._failed[stack_name] = logical_id
        if _status(stack_name) != "UPDATE_IN_PROGRESS":
            self._record_resource(about, status, reason, rest)
        elif status == "UPDATE_IN_PROGRESS" and not physical_id:
            self._begin(about)
        else:
            self._go_on(about, status, reason, rest)

    def _begin(self, about: tuple[str, ...]) -> None:
        """Begin a resource in an update; an existing resource has no event until it changes."""
        _, stack_name, logical_id, _ = about
        if logical_id in cloudformation._stacks[stack_name].get("_resources", {}):
            self._held[stack_name, logical_id] = about
        else:
            self._new.add((stack_name, logical_id))
            self._record_resource(about, "CREATE_IN_PROGRESS", "", ("", ""))

    def _go_on(
        self, about: tuple[str, ...], status: str, reason: str, rest: tuple[str, ...]
    ) -> None:
        key = (about[1], about[2])
        unchanged = self._held.pop(key, None) is not None and status == "UPDATE_COMPLETE"
        if key in self._new:
            status = status.replace("UPDATE", "CREATE")
            self._new.discard(key)
        if not unchanged:
            self._record_resource(about, status, reason, rest)

    def _record_resource(
        self, about: tuple[str, ...], status: str, reason: str, rest: tuple[str, ...]
    ) -> None:
        """Record an event of a resource, and before its end that its creation was initiated.

        A wait condition's is initiated before it waits, with the id that it has on AWS.
        """
        stack_id, stack_name, logical_id, kind = about
        key = (stack_name, logical_id)
        if status == "UPDATE_IN_PROGRESS" and reason.startswith(REPLACES):
            self._replaced.add(key)
        elif status == "CREATE_COMPLETE" and kind != WAIT:
            self._record(*about, "CREATE_IN_PROGRESS", INITIATED, *rest)
        elif status == "UPDATE_COMPLETE" and key in self._replaced:
            self._record(*about, "UPDATE_IN_PROGRESS", INITIATED, *rest)
        if status.endswith(("_COMPLETE", "_FAILED")):
            self._replaced.discard(key)
        if kind == WAIT and status == "CREATE_FAILED":
            rest = (wait_id(stack_id, stack_name, logical_id), "")
        self._record(*about, status, reason, *rest)
        if kind == WAIT and status == "CREATE_IN_PROGRESS" and not reason:
            self._record(*about, status, INITIATED, wait_id(stack_id, stack_name, logical_id), "")

    def _record_stack(
        self, about: tuple[str, ...], status: str, reason: str, rest: tuple[str, ...]
    ) -> None:
        """Record an event of the stack itself."""
        stack_id, stack_name, _, _ = about
        reason = self._stack_reason(stack_name, status, reason)
        if status == "UPDATE_COMPLETE":
            events = _operation(stack_id)
            if CLEANUP not in [event["ResourceStatus"] for event in events]:
                self._record(*about, CLEANUP, "", *rest)
            if "DELETE_FAILED" in [event["ResourceStatus"] for event in events]:
                reason = NOT_CLEAN
                cloudformation._stacks[stack_name]["StackStatusReason"] = reason
        self._record(*about, status, reason, *rest)

    def _record(self, stack_id: str, *event: str) -> None:
        self._plain(stack_id, *event)
        self._last = max(datetime.now(timezone.utc), self._last + TICK)
        stamp = self._last.isoformat(timespec="milliseconds").replace("+00:00", "Z")
        cloudformation._stack_events[stack_id][-1]["Timestamp"] = stamp

    def _stack_reason(self, stack_name: str, status: str, reason: str) -> str:
        if status in ("DELETE_FAILED", "ROLLBACK_FAILED"):
            stack = cloudformation._stacks[stack_name]
            failed = stack["_resources" if status == "DELETE_FAILED" else "_rollback_failed"]
            return f"The following resource(s) failed to delete: [{', '.join(sorted(failed))}]. "
        if status in BEGUN:
            return reason or "User Initiated"
        if status == "ROLLBACK_COMPLETE":
            return ""
        ends = "ROLLBACK_IN" in status or status in ("CREATE_FAILED", "UPDATE_FAILED")
        first = self._failed.pop(stack_name, None) if ends else None
        if first is None:
            return reason
        if status == "CREATE_FAILED":
            reason = f"The following resource(s) failed to create: [{first}]. "
            cloudformation._stacks[stack_name]["StackStatusReason"] = reason
        if reason != "Rollback requested":
            return reason
        return f"The following resource(s) failed to create: [{first}]. Rollback requested by user."

    def _watched_update(self, update: Callable[..., Any]) -> Callable[..., Any]:
        def update_resource(
            kind: str, physical_id: str, old: Any, new: Any, stack: str, logical_id: str, *rest: Any
        ) -> Any:
            held = self._held.pop((stack, logical_id), None) if old != new else None
            if held is not None:
                self._record(*held, "UPDATE_IN_PROGRESS", "", physical_id)
            return update(kind, physical_id, old, new, stack, logical_id, *rest)

        return update_resource

    def _watched_delete(self, delete: Callable[..., Any]) -> Callable[..., Any]:
        """Show the clean-up phase, which begins with the first deletion of an update."""

        def delete_resource(
            kind: str, physical_id: str, properties: Any, stack: str, logical_id: str
        ) -> None:
            record = cloudformation._stacks[stack]
            about = (record["StackId"], stack, logical_id, kind)
            if _status(stack) == "UPDATE_IN_PROGRESS":
                record["StackStatus"] = CLEANUP
                self._record(record["StackId"], stack, stack, STACK, CLEANUP, "", record["StackId"])
            shown = _status(stack) == CLEANUP
            if shown:
                self._record(*about, "DELETE_IN_PROGRESS", "", physical_id)
            delete(kind, physical_id, properties, stack, logical_id)
            if shown:
                self._record(*about, "DELETE_COMPLETE", "", physical_id)

        return delete_resource


def _operation(stack_id: str) -> list[dict[str, Any]]:
    """Events of the stack's present operation."""
    events: list[dict[str, Any]] = cloudformation._stack_events[stack_id]
    starts = [
        number
        for number, event in enumerate(events)
        if event["PhysicalResourceId"] == stack_id and event["ResourceStatus"] in BEGUN
    ]
    return events[starts[-1] :] if starts else events


def wait_id(stack_id: str, stack_name: str, logical_id: str) -> str:
    """Physical id of a wait condition: its stack's, and the logical id of its handle."""
    resource = provisioners._cfn_wait_condition_definition(stack_name, logical_id)
    handle = (resource.get("Properties") or {}).get("Handle")
    named = handle.get("Ref") if isinstance(handle, dict) else ""
    return f"{stack_id}/{named or logical_id}"


def _status(stack_name: str) -> str:
    stack = cloudformation._stacks.get(stack_name) or {}
    return str(stack.get("StackStatus"))
