"""What calls the functions of daily stop and spend limit: schedules, their groups, rules.

They are removed first. A function that outlived its stack works on, and would make a schedule or a
parameter again that was just removed.
"""

from __future__ import annotations

from collections.abc import Iterator

from gpustation.catalog.spend_limit import NEXT_CALL
from gpustation.leftovers.account import Call
from gpustation.leftovers.kind import Kind, Resource, Row
from gpustation.leftovers.search import Search
from gpustation.leftovers.steps import Step

_TARGETS = Call("events", "list_targets_by_rule", "Targets")
_DELETING = "DELETING"


class Schedule(Resource):
    """Has no tags of its own: those of its group say which stack made it."""

    added = ("GroupArn",)

    @classmethod
    def rows(cls, search: Search, kind: Kind) -> Iterator[Row]:
        """Each with the ARN of its group."""
        for row in super().rows(search, kind):
            head = row["Arn"].partition(":schedule/")[0]
            yield {**row, "GroupArn": f"{head}:schedule-group/{row['GroupName']}"}

    @property
    def id(self) -> str:
        """A name is unique within its group only."""
        return f"{self.row['GroupName']}/{self.row['Name']}"

    @property
    def deletion(self) -> Step:
        """The step that removes it."""
        name, group = self.row["Name"], self.row["GroupName"]
        return self.step(self.kind.removal, name=name, group_name=group)

    def _ids(self) -> list[str]:
        return [self.row["Name"]]

    def _within(self) -> list[str]:
        # No stack lists the one that the spend limit's function makes
        return [self.row["GroupName"]] if self.row["Name"] == NEXT_CALL else []


class ScheduleGroup(Resource):
    """Is deleted with the schedules in it, which takes a moment."""

    @classmethod
    def rows(cls, search: Search, kind: Kind) -> Iterator[Row]:
        """Those that are not being deleted."""
        for row in super().rows(search, kind):
            if row["State"] != _DELETING:
                yield row


class Rule(Resource):
    """Loses its targets first."""

    reads = (_TARGETS,)

    def _steps(self) -> list[Step]:
        words, targets = "events remove-targets", self.search.account.list(*_TARGETS, Rule=self.id)
        removed = [self.step(words, rule=self.id, ids=target["Id"]) for target in targets]
        return [*removed, self.deletion]
