"""CloudFormation's stacks: which live and what they own, and which are leftovers themselves."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from gpustation.leftovers.account import Account, tags_of
from gpustation.leftovers.ours import STACK_ID_TAG, STACK_NAME_TAG, Names
from gpustation.leftovers.prices import FREE
from gpustation.leftovers.result import Leftover, NotChecked, chain, command
from gpustation.tags import OWNER_TAG

DEAD = {
    "CREATE_FAILED": "its creation failed and was kept for a look: deploy it again or delete it",
    "ROLLBACK_COMPLETE": "its creation failed and was undone: it can only be deleted",
    "ROLLBACK_FAILED": "its creation failed, and so did undoing it: what is left of it costs on",
    "DELETE_FAILED": "its deletion failed: delete it again; the stack's events tell what resists",
    "REVIEW_IN_PROGRESS": "a change set was made for it and never executed: it holds nothing",
}
"""Statuses of a stack without use, and what to do. A stack in any other status lives."""

TOOLKIT = "CDKToolkit"
"""The stack of ``cdk bootstrap``."""
_IN_USE = ("EXECUTE_IN_PROGRESS", "EXECUTE_COMPLETE", "OBSOLETE")
_BEING_MADE = ("CREATE_PENDING", "CREATE_IN_PROGRESS", "DELETE_PENDING", "DELETE_IN_PROGRESS")


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
        self._all: list[Mapping[str, Any]] = found or []
        living = [stack for stack in self._all if stack["StackStatus"] not in DEAD]
        self._living = {stack["StackId"]: stack for stack in living}
        self._owned: dict[str, frozenset[str] | None] = {}
        self._retaining: dict[str, bool] = {}

    def owns(self, tags: Mapping[str, str], *ids: str) -> bool:
        """Whether a living stack owns a thing, or whether that cannot be told.

        A stack's tag alone proves nothing: an update that could not remove what it replaced ends
        all the same, and the old thing costs on under the living stack's name.

        Args:
            tags: Its tags.
            *ids: Every id by which a stack may know it, or what it is a part of.
        """
        stack = self._living.get(tags.get(STACK_ID_TAG, ""))
        if stack is not None:
            resources = self._resources(stack)
            return resources is None or _at_work(stack) or not resources.isdisjoint(ids)
        maker = tags.get(OWNER_TAG)
        for stack in self._living.values():
            if not self._may_be_ours(stack) and stack["StackName"] != maker:
                continue
            resources = self._resources(stack)
            if resources is None or not resources.isdisjoint(ids):
                return True
            # What a stack's operation makes on the way, like the machines of Image Builder
            if _at_work(stack) and stack["StackName"] == maker:
                return True
        return False

    def fate(self, tags: Mapping[str, str]) -> str:
        """What became of the stack that made a thing, as a clause."""
        name = tags.get(STACK_NAME_TAG) or tags.get(OWNER_TAG, "")
        for stack in self._all:
            if name and stack["StackName"] == name:
                if stack["StackStatus"] in DEAD:
                    return f"its stack {name} is {stack['StackStatus']}"
                return f"the stack {name} lives and does not own it"
        return f"there is no stack {name}" if name else "no living stack owns it"

    def leftovers(self) -> Iterator[Leftover]:
        """Stacks without use, and change sets that nobody executed."""
        for stack in self._all:
            name, status = stack["StackName"], stack["StackStatus"]
            ours = self._reason(stack)
            if name == TOOLKIT:
                yield self._stack_row(stack, "the name of `cdk bootstrap`'s stack", stays=_SHARED)
            elif ours and status in DEAD:
                yield self._stack_row(stack, f"{ours}; {status}: {DEAD[status]}")
            elif ours:
                yield from self._change_sets(stack, ours)

    def note_work(self) -> None:
        """Tell of our stacks that are at work: what they make or remove is not settled."""
        for stack in self._living.values():
            if _at_work(stack) and self._may_be_ours(stack):
                status = stack["StackStatus"]
                reason = f"it is {status}: ask again when it is done"
                about = f"stack {stack['StackName']}"
                self._account.not_checked.append(NotChecked(about, self._region, reason))

    def resources_of(self, name: str) -> list[Mapping[str, Any]]:
        """The resources of the stack of this name, if it is there."""
        for stack in self._all:
            if stack["StackName"] == name:
                return self._account.list(
                    *_RESOURCES, region=self._region, StackName=stack["StackId"]
                )
        return []

    def retain_images(self, name: str) -> bool:
        """Whether the newest stack of this name was last told to retain its images.

        CloudFormation answers for a deleted stack as well, by its id and for 90 days.
        """
        if name not in self._retaining:
            found = self._account.list(
                "cloudformation", "list_stacks", "StackSummaries", region=self._region
            )
            of_name = [stack for stack in found if stack["StackName"] == name]
            newest = max(of_name, key=lambda stack: stack["CreationTime"], default=None)
            self._retaining[name] = newest is not None and self._retains(newest["StackId"])
        return self._retaining[name]

    def _retains(self, stack_id: str) -> bool:
        call = ("cloudformation", "get_template", "TemplateBody")
        template = self._account.ask(*call, region=self._region, StackName=stack_id)
        # Another's stack of that name may have a template in YAML, which comes as text
        resources = template.get("Resources", {}) if isinstance(template, dict) else {}
        return any(
            one["Type"] == _IMAGE and "DeletionSettings" not in one["Properties"]
            for one in resources.values()
        )

    def _may_be_ours(self, stack: Mapping[str, Any]) -> bool:
        return self._names.is_stack(stack["StackName"], tags_of(stack.get("Tags")))

    def _reason(self, stack: Mapping[str, Any]) -> str:
        if stack["StackName"] in self._names.stacks:
            return "its name"
        return self._names.reason(tags_of(stack.get("Tags")))

    def _resources(self, stack: Mapping[str, Any]) -> frozenset[str] | None:
        """Physical ids of a stack; ``None`` when they could not be asked."""
        stack_id = stack["StackId"]
        if stack_id not in self._owned:
            rows = self._account.ask(*_RESOURCES, region=self._region, StackName=stack_id)
            ids = [row.get("PhysicalResourceId", "") for row in rows or []]
            self._owned[stack_id] = None if rows is None else frozenset(ids)
        return self._owned[stack_id]

    def _stack_row(self, stack: Mapping[str, Any], ours: str, stays: str = "") -> Leftover:
        name = stack["StackName"]
        removal = chain(
            command("cloudformation delete-stack", self._region, stack_name=name),
            command("cloudformation wait stack-delete-complete", self._region, stack_name=name),
        )
        created = stack.get("CreationTime")
        return Leftover("stack", name, self._region, created, 0.0, FREE, ours, removal, stays)

    def _change_sets(self, stack: Mapping[str, Any], ours: str) -> Iterator[Leftover]:
        name = stack["StackName"]
        if _at_work(stack):
            return
        found = self._account.list(
            "cloudformation", "list_change_sets", "Summaries", StackName=name
        )
        for one in found:
            if one.get("ExecutionStatus") in _IN_USE or one.get("Status") in _BEING_MADE:
                continue
            yield Leftover(
                kind="change set",
                id=one["ChangeSetName"],
                region=self._region,
                created=one.get("CreationTime"),
                usd_per_month=0.0,
                cost=FREE,
                ours=f"of the stack {name} ({ours}); it was never executed",
                removal=command(
                    "cloudformation delete-change-set",
                    self._region,
                    stack_name=name,
                    change_set_name=one["ChangeSetName"],
                ),
            )


_IMAGE = "AWS::ImageBuilder::Image"
_RESOURCES = ("cloudformation", "list_stack_resources", "StackResourceSummaries")
_SHARED = "every CDK app of the account deploys through it in this region; README.md, step 8"


def _at_work(stack: Mapping[str, Any]) -> bool:
    return str(stack["StackStatus"]).endswith("_IN_PROGRESS")
