"""CloudFormation's stacks: which live and what they own, and which are leftovers themselves."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

from gpustation.catalog.names import OWNER_TAG
from gpustation.leftovers.account import Account, tags_of
from gpustation.leftovers.ours import STACK_ID_TAG, STACK_NAME_TAG, Names, Ownership
from gpustation.leftovers.result import Leftover, NotChecked, chain, command, leftover

DEAD = {
    "CREATE_FAILED": "its creation failed and was kept for a look: deploy it again or delete it",
    "ROLLBACK_COMPLETE": "its creation failed and was undone: it can only be deleted",
    "ROLLBACK_FAILED": "its creation failed, and so did undoing it: what is left of it costs on",
    "DELETE_FAILED": "its deletion failed: delete it again; the stack's events tell what resists",
    "REVIEW_IN_PROGRESS": "a change set was made for it and never executed: it holds nothing",
}
"""Statuses of a stack without use, and what to do. A stack in any other status lives."""

SETTLED = frozenset(
    {
        "CREATE_COMPLETE",
        "UPDATE_COMPLETE",
        "UPDATE_ROLLBACK_COMPLETE",
        "IMPORT_COMPLETE",
        "IMPORT_ROLLBACK_COMPLETE",
    }
)
"""Statuses in which a living stack's list of resources is all that it needs."""
UNFINISHED = frozenset({"UPDATE_FAILED", "UPDATE_ROLLBACK_FAILED", "IMPORT_ROLLBACK_FAILED"})
"""Statuses in which it needs more: going back takes what an update replaced, which no list names.
Any other status is an operation at work."""
LET_GO = frozenset({"DELETE_COMPLETE", "DELETE_FAILED", "DELETE_SKIPPED"})
"""Statuses of a resource that a living stack lists and does not own any more."""

TOOLKIT = "CDKToolkit"
"""The stack of ``cdk bootstrap``."""
_IN_USE = ("EXECUTE_IN_PROGRESS", "EXECUTE_COMPLETE", "OBSOLETE")
_BEING_MADE = ("CREATE_PENDING", "CREATE_IN_PROGRESS", "DELETE_PENDING", "DELETE_IN_PROGRESS")
Found = Mapping[str, Any]


class Stacks:
    """The stacks of a region.

    Args:
        account: Where to ask.
        names: What is ours.
        region: Region. Default: the one that is searched.
    """

    def __init__(self, account: Account, names: Names, region: str = "") -> None:
        self._account = account
        self._names = names
        self._region = region or account.region
        found = account.ask("cloudformation", "describe_stacks", "Stacks", region=self._region)
        self.known = found is not None
        """Whether the region's stacks are known: without them nothing is known to be left."""
        self._all: list[Found] = found or []
        ended = (*DEAD, "DELETE_COMPLETE")
        living = [stack for stack in self._all if stack["StackStatus"] not in ended]
        self._living = {stack["StackId"]: stack for stack in living}
        self._listed: dict[str, list[Found] | None] = {}
        self._had: list[Found] | None = None
        self._claimed: dict[str, bool] = {}
        self._templates: dict[str, Mapping[str, Any]] = {}

    def owns(self, tags: Mapping[str, str], *ids: str, within: Sequence[str] = ()) -> bool:
        """Whether a living stack owns a thing, or whether that cannot be told.

        A stack's tag alone proves nothing: an update that could not remove what it replaced ends
        all the same, and the old thing costs on under the living stack's name.

        Args:
            tags: Its tags.
            *ids: Every id by which a stack may know it.
            within: Ids of what it is a part of.
        """
        # A resource whose creation failed has no id, and many a thing lacks one of those asked for
        named = {one for one in (*ids, *within) if one}
        for stack in self._living.values():
            if stack["StackId"] == tags.get(STACK_ID_TAG) or self._may_be_ours(stack, tags):
                owned = self._owned(stack)
                if owned is None or not owned.isdisjoint(named):
                    return True
            # What a stack's operation makes on the way, like the machines of Image Builder
            if _at_work(stack) and self._may_have_made(stack, tags):
                return True
        return any(self._owned_by_anybody(one) for one in ids if one)

    def doubt(self, tags: Mapping[str, str]) -> str:
        """Why a thing that no list names may be needed all the same; empty where it is not."""
        for stack in self._living.values():
            if stack["StackStatus"] in UNFINISHED and self._may_have_made(stack, tags):
                return f"the stack {stack['StackName']} is {stack['StackStatus']} and may need it"
        return ""

    def listing(self, made: datetime | None, *ids: str) -> str:
        """Which stack of ours that is gone or dead lists a thing; empty if none does.

        CloudFormation answers for a deleted stack as well, by its id and for 90 days.

        Args:
            made: When the thing was made, where something else may have its name by now.
            *ids: Every id by which a stack may know it.
        """
        named = {one for one in ids if one}
        for stack in (*self._all, *self._deleted_of_ours()):
            ended = stack.get("DeletionTime")
            if made is not None and ended is not None and made > ended:
                continue
            rows = (self._resources(stack) or []) if self._is_ours(stack) else []
            if any(row.get("PhysicalResourceId") in named for row in rows):
                state = stack["StackStatus"]
                return f"the stack {stack['StackName']}, which is {state}, lists it"
        return ""

    def fate(self, tags: Mapping[str, str]) -> str:
        """What became of the stack that made a thing, as a clause."""
        name = tags.get(STACK_NAME_TAG) or tags.get(OWNER_TAG, "")
        for stack in self._all:
            if name and stack["StackName"] == name:
                if tags.get(STACK_ID_TAG, stack["StackId"]) != stack["StackId"]:
                    return f"its stack {name} is gone; the one of that name now does not own it"
                if stack["StackStatus"] in DEAD:
                    return f"its stack {name} is {stack['StackStatus']}"
                return f"the stack {name} lives and does not own it"
        return f"there is no stack {name}" if name else "no living stack owns it"

    def leftovers(self) -> Iterator[Leftover]:
        """Stacks without use, and change sets that nobody executed."""
        for stack in self._all:
            name, status = stack["StackName"], stack["StackStatus"]
            if name == TOOLKIT:
                why = Ownership("the name of `cdk bootstrap`'s stack")
                yield self._stack_row(stack, why, stays=_SHARED)
                continue
            ours = self._ownership(stack)
            if ours is not None and status in DEAD:
                why = Ownership(f"{ours.reason}; {status}: {DEAD[status]}", ours.doubt)
                yield self._stack_row(stack, why)
            elif ours is not None and not _at_work(stack):
                yield from self._change_sets(stack, ours)

    def note_work(self) -> None:
        """Tell of our stacks that are not settled: what they make or need is not known."""
        for stack in self._living.values():
            status = stack["StackStatus"]
            if status in SETTLED or not self._may_be_ours(stack, {}):
                continue
            what = "ask again when it is done"
            if status in UNFINISHED:
                what = "end that first (docs/interrupted-deploys.md), then ask again"
            about = f"stack {stack['StackName']}"
            self._account.note(NotChecked(about, self._region, f"it is {status}: {what}"))

    def retain_images(self, name: str, made: datetime | None) -> bool:
        """Whether the stack of this name that lived at a moment was told to retain its images.

        Args:
            name: Name of the stack; several may have had it, one after another.
            made: The moment. Default: now.
        """
        of_name = [stack for stack in self._summaries() if stack["StackName"] == name]
        if made is not None:
            of_name = [stack for stack in of_name if _lived(stack, made)]
        newest = max(of_name, key=lambda stack: stack["CreationTime"], default=None)
        return newest is not None and any(
            one.get("Type") == _IMAGE and "DeletionSettings" not in one.get("Properties", {})
            for one in self._template(newest).values()
        )

    def _may_be_ours(self, stack: Found, tags: Mapping[str, str]) -> bool:
        """Whether a stack may be ours, or be the one that a thing's tag names."""
        name = stack["StackName"]
        return name == tags.get(OWNER_TAG) or self._names.may_be_ours(
            name, tags_of(stack.get("Tags"))
        )

    def _may_have_made(self, stack: Found, tags: Mapping[str, str]) -> bool:
        """Whether a thing is a stack's by its tags; one without any may be any's of ours."""
        if STACK_ID_TAG in tags:
            return bool(stack["StackId"] == tags[STACK_ID_TAG])
        if OWNER_TAG in tags:
            return bool(stack["StackName"] == tags[OWNER_TAG])
        return self._may_be_ours(stack, tags)

    def _ownership(self, stack: Found) -> Ownership | None:
        def logical_ids() -> Iterable[str]:
            return self._template(stack)

        tags = tags_of(stack.get("Tags"))
        return self._names.stack_ownership(stack["StackName"], tags, logical_ids)

    def _template(self, stack: Found) -> Mapping[str, Any]:
        """The resources of a stack's template, by logical id."""
        stack_id, named = stack["StackId"], {"StackName": stack["StackId"]}
        if stack_id in self._templates:
            return self._templates[stack_id]
        found = None
        if stack["StackStatus"] == "REVIEW_IN_PROGRESS":  # then only a change set has one
            sets = self._change_sets_of(stack)
            named = {**named, "ChangeSetName": sets[0]["ChangeSetName"]} if sets else {}
        if named:
            call = ("cloudformation", "get_template", "TemplateBody")
            found = self._account.ask(*call, region=self._region, **named)
        # Another's stack of our name may have a template in YAML, which comes as text
        self._templates[stack_id] = found.get("Resources", {}) if isinstance(found, dict) else {}
        return self._templates[stack_id]

    def _change_sets_of(self, stack: Found) -> list[Found]:
        call = ("cloudformation", "list_change_sets", "Summaries")
        return self._account.list(*call, region=self._region, StackName=stack["StackName"])

    def _is_ours(self, stack: Found) -> bool:
        ours = self._ownership(stack)
        return ours is not None and not ours.doubt

    def _resources(self, stack: Found) -> list[Found] | None:
        """What a stack lists; ``None`` when that could not be asked."""
        stack_id = stack["StackId"]
        if stack_id not in self._listed:
            self._listed[stack_id] = self._account.ask(
                "cloudformation",
                "list_stack_resources",
                "StackResourceSummaries",
                region=self._region,
                StackName=stack_id,
            )
        return self._listed[stack_id]

    def _owned(self, stack: Found) -> set[str] | None:
        """Physical ids of what a living stack holds; ``None`` when that could not be asked."""
        rows = self._resources(stack)
        return None if rows is None else set(_held(rows))

    def _owned_by_anybody(self, physical_id: str) -> bool:
        """Whether a living stack of whatever name holds a thing, or whether that is unknown."""
        if physical_id not in self._claimed:
            call = ("cloudformation", "describe_stack_resources", "StackResources")
            rows = self._account.ask(*call, region=self._region, PhysicalResourceId=physical_id)
            living = [row for row in rows or [] if row.get("StackId") in self._living]
            self._claimed[physical_id] = rows is None or physical_id in _held(living)
        return self._claimed[physical_id]

    def _summaries(self) -> list[Found]:
        """The region's stacks, also those that were deleted within 90 days."""
        if self._had is None:
            call = ("cloudformation", "list_stacks", "StackSummaries")
            self._had = self._account.list(*call, region=self._region)
        return self._had

    def _deleted_of_ours(self) -> list[Found]:
        return [
            stack
            for stack in self._summaries()
            if stack["StackStatus"] == "DELETE_COMPLETE"
            and self._names.may_name(stack["StackName"])
        ]

    def _stack_row(self, stack: Found, why: Ownership, stays: str = "") -> Leftover:
        # By its id: another stack may have the name by the time the command is pasted
        named = {"stack_name": stack["StackId"]}
        removal = chain(
            command("cloudformation delete-stack", self._region, **named),
            command("cloudformation wait stack-delete-complete", self._region, **named),
        )
        name, created = stack["StackName"], stack.get("CreationTime")
        return leftover("stack", name, self._region, why, removal, created=created, stays=stays)

    def _change_sets(self, stack: Found, ours: Ownership) -> Iterator[Leftover]:
        name = stack["StackName"]
        for one in self._change_sets_of(stack):
            if one.get("ExecutionStatus") in _IN_USE or one.get("Status") in _BEING_MADE:
                continue
            removal = command(
                "cloudformation delete-change-set",
                self._region,
                stack_name=name,
                change_set_name=one["ChangeSetName"],
            )
            reason = f"of the stack {name} ({ours.reason}); it was never executed"
            yield leftover(
                "change set",
                one["ChangeSetName"],
                self._region,
                Ownership(reason, ours.doubt),
                removal,
                created=one.get("CreationTime"),
            )


_IMAGE = "AWS::ImageBuilder::Image"
_SHARED = "every CDK app of the account deploys through it in this region; see docs/leftovers.md"


def _at_work(stack: Found) -> bool:
    return stack["StackStatus"] not in SETTLED | UNFINISHED


def _held(rows: list[Found]) -> Iterator[str]:
    for row in rows:
        if row.get("PhysicalResourceId") and row.get("ResourceStatus") not in LET_GO:
            yield row["PhysicalResourceId"]


def _lived(stack: Found, moment: datetime) -> bool:
    ended = stack.get("DeletionTime")
    return stack["CreationTime"] <= moment and (ended is None or moment <= ended)
