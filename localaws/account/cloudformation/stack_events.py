"""The events and the status of a stack's operations, as AWS shows them.

Upstream an update has events for every resource, also for those that do not change; a resource that
an update creates has the status UPDATE; deletions have no events; and every signal to a handle has.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from typing import Any

from ministack.services import cloudformation
from ministack.services.cloudformation import changesets, handlers, stacks

CLEANUP = "UPDATE_COMPLETE_CLEANUP_IN_PROGRESS"
STACK = "AWS::CloudFormation::Stack"
WAIT = "AWS::CloudFormation::WaitCondition"
TICK = timedelta(milliseconds=1)
"""Minimum distance of two events: the CDK CLI sorts by time, and reverses equal times."""


class Events:
    """Filters and changes the events that the engine adds.

    Args:
        keeps: Whether a deletion leaves a resource alone, by stack and logical id.
    """

    def __init__(self, keeps: Callable[[str, str], bool]) -> None:
        self._keeps = keeps
        self._held: dict[tuple[str, str], tuple[str, ...]] = {}
        self._new: set[tuple[str, str]] = set()
        self._failed: dict[str, str] = {}
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
        if self._keeps(stack_name, logical_id):
            return
        if resource_type == STACK and logical_id == stack_name:
            self._record(*about, status, self._stack_reason(stack_name, status, reason), *rest)
            return
        if status.endswith("_FAILED"):
            self._failed[stack_name] = logical_id
        if _status(stack_name) != "UPDATE_IN_PROGRESS":
            self._record(*about, status, reason, *rest)
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
            self._record(*about, "CREATE_IN_PROGRESS")

    def _go_on(
        self, about: tuple[str, ...], status: str, reason: str, rest: tuple[str, ...]
    ) -> None:
        key = (about[1], about[2])
        unchanged = self._held.pop(key, None) is not None and status == "UPDATE_COMPLETE"
        if key in self._new:
            status = status.replace("UPDATE", "CREATE")
            self._new.discard(key)
        if not unchanged:
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
            left = [name for name in sorted(failed) if not self._keeps(stack_name, name)]
            return f"The following resource(s) failed to delete: [{', '.join(left)}]. "
        first = self._failed.pop(stack_name, None) if "ROLLBACK_IN" in status else None
        if first is None or reason != "Rollback requested":
            return reason
        return f"The following resource(s) failed to create: [{first}]. Rollback requested by user."

    def _watched_update(self, update: Callable[..., Any]) -> Callable[..., Any]:
        def update_resource(
            kind: str, physical_id: str, old: Any, new: Any, stack: str, logical_id: str, *rest: Any
        ) -> Any:
            held = self._held.pop((stack, logical_id), None) if old != new else None
            if held is not None:
                self._record(*held, "UPDATE_IN_PROGRESS")
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


def _status(stack_name: str) -> str:
    stack = cloudformation._stacks.get(stack_name) or {}
    return str(stack.get("StackStatus"))
