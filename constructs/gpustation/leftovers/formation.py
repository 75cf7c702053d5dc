"""CloudFormation's stacks and change sets."""

from __future__ import annotations

from collections.abc import Iterator

from gpustation.leftovers.kind import Kind, Resource, Row
from gpustation.leftovers.ownership import Ownership
from gpustation.leftovers.search import Search
from gpustation.leftovers.stacks import DEAD, READS, SETTLED, UNFINISHED
from gpustation.leftovers.steps import Step

TOOLKIT = "CDKToolkit"
"""The stack of ``cdk bootstrap``."""
_IN_USE = ("EXECUTE_IN_PROGRESS", "EXECUTE_COMPLETE", "OBSOLETE")
_IN_PROGRESS = ("CREATE_PENDING", "CREATE_IN_PROGRESS", "DELETE_PENDING", "DELETE_IN_PROGRESS")


class Stack(Resource):
    """Removed by its id: another stack may have its name by the time of pasting."""

    reads = READS

    def _ownership(self) -> Ownership | None:
        if self.id == TOOLKIT:
            return Ownership("the name of `cdk bootstrap`'s stack")
        ours, status = self.search.stacks.ownership(self.row), self.row["StackStatus"]
        if ours is None or status not in DEAD:
            return None
        return Ownership(f"{ours.reason}; {status}: {DEAD[status]}", ours.doubt)

    def _stays(self) -> str:
        shared = "every CDK app of the account deploys through it in this region"
        return f"{shared}; see docs/leftovers.md" if self.id == TOOLKIT else ""

    def _steps(self) -> list[Step]:
        """Without the custom resources that failed: CloudFormation deleted their functions then.

        Those of ours own nothing that is not a leftover of its own.
        """
        wait, stack = "cloudformation wait stack-delete-complete", self.row["StackId"]
        words, failed = self.kind.removal, self.search.stacks.failed_custom_resources(self.row)
        deletion = self.deletion
        if failed:
            deletion = self.step(words, stack_name=stack, retain_resources=tuple(failed))
        return [deletion, self.step(wait, stack_name=stack)]


class ChangeSet(Resource):
    """Of a live stack of ours, and never executed; its name is unique within its stack only."""

    @classmethod
    def rows(cls, search: Search, kind: Kind) -> Iterator[Row]:
        """Each with its ``Stack``; those of other stacks are not even listed."""
        for stack in search.stacks.all:
            live = stack["StackName"] != TOOLKIT and stack["StackStatus"] in SETTLED | UNFINISHED
            if live and search.stacks.ownership(stack):
                for row in search.stacks.change_sets(stack):
                    used = row.get("ExecutionStatus") in _IN_USE
                    if not used and row.get("Status") not in _IN_PROGRESS:
                        yield {**row, "Stack": stack}

    def _ownership(self) -> Ownership | None:
        stack = self.row["Stack"]
        ours = self.search.stacks.ownership(stack)
        name = stack["StackName"]
        return ours and Ownership(
            f"of the stack {name} ({ours.reason}); it was never executed", ours.doubt
        )

    def _steps(self) -> list[Step]:
        words, stack = "cloudformation delete-change-set", self.row["Stack"]["StackName"]
        return [self.step(words, stack_name=stack, change_set_name=self.id)]
