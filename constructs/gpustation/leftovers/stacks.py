"""CloudFormation stacks of one region: which of them are live, and what they own."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from gpustation.aws.stacks import failed_custom_resources
from gpustation.catalog.names import OWNER_TAG
from gpustation.catalog.spot import SPOT_TAG
from gpustation.leftovers.account import Account, Call, tags_of
from gpustation.leftovers.ownership import STACK_ID_TAG, STACK_NAME_TAG, Names, Ownership
from gpustation.leftovers.result import NotChecked

DEAD = {
    "CREATE_FAILED": "its creation failed and its resources were kept: deploy it again or "
    "delete it",
    "ROLLBACK_COMPLETE": "its creation failed and was rolled back: it can only be deleted",
    "ROLLBACK_FAILED": "its creation failed, and so did the rollback: the rest of it still costs",
    "DELETE_FAILED": "its deletion failed; the stack's events name the cause",
    "REVIEW_IN_PROGRESS": "its change set was never executed: it has no resources",
}
"""Statuses of a stack without use, and what to do. With any other status a stack is live."""

SETTLED = frozenset(
    {
        "CREATE_COMPLETE",
        "UPDATE_COMPLETE",
        "UPDATE_ROLLBACK_COMPLETE",
        "IMPORT_COMPLETE",
        "IMPORT_ROLLBACK_COMPLETE",
    }
)
"""Statuses in which a live stack's resource list is all that it needs."""
UNFINISHED = frozenset({"UPDATE_FAILED", "UPDATE_ROLLBACK_FAILED", "IMPORT_ROLLBACK_FAILED"})
"""Statuses in which it may need more: a rollback uses resources that the update replaced, which no
list contains. Any other status is an operation in progress."""
RELEASED = frozenset({"DELETE_COMPLETE", "DELETE_FAILED", "DELETE_SKIPPED"})
"""Statuses of a resource that a live stack lists and no longer owns."""

STACKS = Call("cloudformation", "describe_stacks", "Stacks")
CHANGE_SETS = Call("cloudformation", "list_change_sets", "Summaries")
_RESOURCES = Call("cloudformation", "list_stack_resources", "StackResourceSummaries")
_OWNERS = Call("cloudformation", "describe_stack_resources", "StackResources")
_TEMPLATE = Call("cloudformation", "get_template", "TemplateBody")
_SUMMARIES = Call("cloudformation", "list_stacks", "StackSummaries")
READS = (_RESOURCES, _OWNERS, _TEMPLATE, _SUMMARIES)
"""The calls that decide about ownership."""

_IMAGE = "AWS::ImageBuilder::Image"
Row = Mapping[str, Any]


class Stacks:
    """The stacks of a region.

    Args:
        account: The account.
        names: Recognizes our stacks.
        region: Region. Default: the one that is searched.
    """

    def __init__(self, account: Account, names: Names, region: str = "") -> None:
        self._account = account
        self._names = names
        self._region = region or account.region
        stacks = account.read(*STACKS, region=self._region)
        self.known = stacks is not None
        """Whether the stacks could be read; without them no resource can be called a leftover."""
        self.all: list[Row] = stacks or []
        ended = (*DEAD, "DELETE_COMPLETE")
        live = [stack for stack in self.all if stack["StackStatus"] not in ended]
        self._live = {stack["StackId"]: stack for stack in live}

    def owns(self, tags: Mapping[str, str], *ids: str, within: Sequence[str] = ()) -> bool:
        """Whether a live stack owns a resource, or whether that is unknown.

        A stack's tag alone is no proof: an update succeeds even if it cannot remove a resource that
        it replaced, and the old one still costs under the live stack's name.

        Args:
            tags: Its tags.
            *ids: Every id under which a stack may list it; empty ones are ignored.
            within: Ids of the resources that contain it.
        """
        known = {name for name in (*ids, *within) if name}
        for stack in self._live.values():
            if stack["StackId"] == tags.get(STACK_ID_TAG) or self._may_be_ours(stack, tags):
                rows = self._list(_RESOURCES, StackName=stack["StackId"])
                if rows is None or not known.isdisjoint(_owned(rows)):
                    return True
            # An operation in progress also creates unlisted resources, e.g. Image Builder's
            if _at_work(stack) and self._may_have_created(stack, tags):
                return True
        return any(self._has_owner(name) for name in ids if name)

    def doubt(self, tags: Mapping[str, str]) -> str:
        """Why a resource that no stack lists may still be needed; empty if it is not."""
        for stack in self._live.values():
            if stack["StackStatus"] in UNFINISHED and self._may_have_created(stack, tags):
                return f"the stack {stack['StackName']} is {stack['StackStatus']} and may need it"
        return ""

    def listing(self, created: datetime | None, *ids: str) -> str:
        """Which deleted or dead stack of ours lists a resource; empty if none does.

        CloudFormation lists a deleted stack's resources for 90 days, by the stack's id.

        Args:
            created: When the resource was created, if its name may have been reused since.
            *ids: Every id under which a stack may list it.
        """
        known = {name for name in ids if name}
        deleted = [
            stack
            for stack in self._list(_SUMMARIES) or []
            if stack["StackStatus"] == "DELETE_COMPLETE"
            and self._names.may_name(stack["StackName"])
        ]
        for stack in (*self.all, *deleted):
            ended = stack.get("DeletionTime")
            if created is not None and ended is not None and created > ended:
                continue
            ours = self.ownership(stack)
            if ours is None or ours.doubt:
                continue
            rows = self._list(_RESOURCES, StackName=stack["StackId"]) or []
            if any(row.get("PhysicalResourceId") in known for row in rows):
                status = stack["StackStatus"]
                return f"the stack {stack['StackName']}, which is {status}, lists it"
        return ""

    def proof(self, tags: Mapping[str, str], created: datetime | None) -> str:
        """The tag that proves that a leftover is ours and that its stack is gone; or empty.

        Nobody but CloudFormation can write its own tag. Anybody can write ours, so it counts only
        if CloudFormation lists a deleted stack of the name in it (for 90 days), which did not end
        before the resource was created, and no stack has this name now; or, on a spot request, if
        it has the id of a stack whose creation or deletion failed.

        Args:
            tags: Tags of a resource that no live stack owns.
            created: When it was created, if that is known.
        """
        stack_id, name = tags.get(STACK_ID_TAG, ""), tags.get(STACK_NAME_TAG, "")
        owner = tags.get(OWNER_TAG, "")
        if stack_id and (owner or self._names.may_name(name)):
            return f"tag {STACK_ID_TAG}={stack_id}"
        for stack in self.all:
            status = stack["StackStatus"]
            if owner and stack["StackId"] == tags.get(SPOT_TAG) and status in DEAD:
                return f"tag {SPOT_TAG}={stack['StackId']}, and that stack is {status}"
        if not owner or any(stack["StackName"] == owner for stack in self.all):
            return ""
        for stack in self._list(_SUMMARIES) or []:
            ended = stack.get("DeletionTime")
            if created is not None and ended is not None and created > ended:
                continue
            if stack["StackName"] == owner and stack["StackStatus"] == "DELETE_COMPLETE":
                return f"tag {OWNER_TAG}={owner}, and {stack['StackId']} is deleted"
        return ""

    def fate(self, tags: Mapping[str, str]) -> str:
        """The state of the stack that created a resource, as a clause."""
        name = tags.get(STACK_NAME_TAG) or tags.get(OWNER_TAG, "")
        for stack in self.all:
            if name and stack["StackName"] == name:
                if tags.get(STACK_ID_TAG, stack["StackId"]) != stack["StackId"]:
                    return (
                        f"its stack {name} is deleted; today's stack of that name does not own it"
                    )
                if stack["StackStatus"] in DEAD:
                    return f"its stack {name} is {stack['StackStatus']}"
                return f"the stack {name} is live and does not own it"
        return f"there is no stack {name}" if name else "no live stack owns it"

    def note_work(self) -> None:
        """Record our stacks with an unfinished operation: what they create or need is unknown."""
        for stack in self._live.values():
            status = stack["StackStatus"]
            if status in SETTLED or not self._may_be_ours(stack, {}):
                continue
            remedy = "run this again when it has finished"
            if status in UNFINISHED:
                remedy = "finish that first (docs/interrupted-deploys.md), then run this again"
            about = f"stack {stack['StackName']}"
            self._account.note(NotChecked(about, self._region, f"it is {status}: {remedy}"))

    def retain_images(self, name: str, at: datetime | None) -> bool:
        """Whether the stack of this name at some time was deployed with ``image_retain=true``.

        Args:
            name: Name of the stack; several may have had it, one after another.
            at: The time. ``None``: now.
        """
        stacks = [
            stack
            for stack in self._list(_SUMMARIES) or []
            if stack["StackName"] == name and (at is None or _was_live(stack, at))
        ]
        newest = max(stacks, key=lambda stack: stack["CreationTime"], default=None)
        return newest is not None and any(
            resource.get("Type") == _IMAGE
            and "DeletionSettings" not in resource.get("Properties", {})
            for resource in self._template(newest).values()
        )

    def ownership(self, stack: Row) -> Ownership | None:
        """Why a stack is or may be ours; ``None`` if it is another's."""

        def logical_ids() -> Iterable[str]:
            return self._template(stack)

        tags = tags_of(stack.get("Tags"))
        return self._names.stack_ownership(stack["StackName"], tags, logical_ids)

    def change_sets(self, stack: Row) -> list[Row]:
        """The change sets of a stack; none if they could not be read."""
        return self._list(CHANGE_SETS, StackName=stack["StackName"]) or []

    def failed_custom_resources(self, stack: Row) -> list[str]:
        """Logical ids of the custom resources whose deletion failed with their stack's."""
        if stack["StackStatus"] != "DELETE_FAILED":
            return []
        rows = self._list(_RESOURCES, StackName=stack["StackId"]) or []
        return failed_custom_resources(rows)

    def _list(self, call: Call, **arguments: str) -> list[Row] | None:
        rows: list[Row] | None = self._account.read(*call, region=self._region, **arguments)
        return rows

    def _may_be_ours(self, stack: Row, tags: Mapping[str, str]) -> bool:
        """Whether a stack may be ours, or is the one that a resource's tag names."""
        name = stack["StackName"]
        return name == tags.get(OWNER_TAG) or self._names.may_be_ours(
            name, tags_of(stack.get("Tags"))
        )

    def _may_have_created(self, stack: Row, tags: Mapping[str, str]) -> bool:
        """Whether a stack created a resource, by its tags; without tags any stack of ours may."""
        if STACK_ID_TAG in tags:
            return bool(stack["StackId"] == tags[STACK_ID_TAG])
        if OWNER_TAG in tags:
            return bool(stack["StackName"] == tags[OWNER_TAG])
        return self._may_be_ours(stack, tags)

    def _has_owner(self, physical_id: str) -> bool:
        """Whether a live stack of any name owns a resource, or whether that is unknown."""
        rows = self._list(_OWNERS, PhysicalResourceId=physical_id)
        live = [row for row in rows or [] if row.get("StackId") in self._live]
        return rows is None or physical_id in _owned(live)

    def _template(self, stack: Row) -> Mapping[str, Any]:
        """The resources in a stack's template, by logical id."""
        arguments = {"StackName": stack["StackId"]}
        if stack["StackStatus"] == "REVIEW_IN_PROGRESS":  # only its change set has a template
            change_sets = self.change_sets(stack)
            if not change_sets:
                return {}
            arguments["ChangeSetName"] = change_sets[0]["ChangeSetName"]
        template: Any = self._list(_TEMPLATE, **arguments)
        # The template of another's stack with our name may be YAML, which is returned as text
        return template.get("Resources", {}) if isinstance(template, dict) else {}


def _at_work(stack: Row) -> bool:
    return stack["StackStatus"] not in SETTLED | UNFINISHED


def _owned(rows: list[Row]) -> set[str]:
    """Physical ids of listed resources; one whose creation failed has none."""
    return {
        row["PhysicalResourceId"]
        for row in rows
        if row.get("PhysicalResourceId") and row.get("ResourceStatus") not in RELEASED
    }


def _was_live(stack: Row, at: datetime) -> bool:
    ended = stack.get("DeletionTime")
    return stack["CreationTime"] <= at and (ended is None or at <= ended)
