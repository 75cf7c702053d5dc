"""An account whose answers a test writes down, for states that take an account days to reach."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta, timezone
from typing import Any

import boto3

from gpustation.leftovers.account import Account, tags_of
from gpustation.leftovers.ownership import Names
from gpustation.leftovers.result import Leftover, NotChecked
from gpustation.leftovers.search import Search
from gpustation.leftovers.stacks import Stacks
from gpustation.leftovers.table import KINDS

NOW = datetime(2026, 11, 25, 12, tzinfo=timezone.utc)
DAY = timedelta(days=1)
OURS = [{"Key": "gpustation", "Value": "GpuWorkstation"}]
Row = dict[str, Any]


class WrittenAccount(Account):
    """Answers what it was given, by operation, or by operation and the first argument's value.

    Args:
        answers: Members; ``None`` for a call that fails. Other calls answer an empty list.
    """

    def __init__(self, answers: Mapping[str, Any]) -> None:
        super().__init__(boto3.session.Session(), "us-east-1")
        self.answers = dict(answers)

    def read(
        self, service: str, operation: str, member: str, *, region: str = "", **arguments: Any
    ) -> Any:
        key = f"{operation} {next(iter(arguments.values()), '')}".strip()
        found = self.answers.get(key, self.answers.get(operation, []))
        if found is None:
            self.note(NotChecked(f"{service}:{operation}", region or self.region, "denied"))
        return found

    def tags(self, service: str, operation: str, member: str, **arguments: Any) -> dict[str, str]:
        return tags_of(self.read(service, operation, member, **arguments))


def stack(name: str, status: str, number: int = 1, **more: Any) -> Row:
    stack_id = f"arn:aws:cloudformation:us-east-1:123456789012:stack/{name}/{number}"
    made = {"StackName": name, "StackId": stack_id, "StackStatus": status}
    return {**made, "CreationTime": NOW - 30 * DAY, **more}


def listed(physical_id: str | None, status: str = "CREATE_COMPLETE", logical_id: str = "P") -> Row:
    row = {"LogicalResourceId": logical_id, "ResourceStatus": status}
    return row if physical_id is None else {**row, "PhysicalResourceId": physical_id}


def search(account: Account, *named: str) -> Search:
    names = Names(named)
    return Search(account, names, Stacks(account, names), KINDS)


def leftovers(search: Search, *kinds: str) -> list[Leftover]:
    return [row for kind in kinds for row in search.leftovers(kind)]
