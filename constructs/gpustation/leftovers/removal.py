"""Removes leftovers that a tag proves to be ours, one after another, each read again before."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import boto3
from botocore.exceptions import BotoCoreError, ClientError

from gpustation.aws.calls import error_code
from gpustation.aws.session import explain
from gpustation.leftovers.account import GONE, RETRIES
from gpustation.leftovers.find import find_again
from gpustation.leftovers.result import Leftover, Result

DELETED, GONE_BEFORE, FAILED, SKIPPED = "deleted", "gone", "failed", "skipped"
"""What became of a row: it is deleted; it was no leftover any more; AWS refused; not tried."""

Again = Callable[[Leftover], Result]
Remove = Callable[[Leftover], None]


@dataclass(frozen=True)
class Outcome:
    """What became of a row.

    Attributes:
        row: The row.
        state: One of the constants above.
        reason: Why, if it is not deleted.
    """

    row: Leftover
    state: str
    reason: str = ""

    @property
    def is_fault(self) -> bool:
        """Whether the resource may still be there."""
        return self.state in (FAILED, SKIPPED)


def taken(rows: Iterable[Leftover]) -> list[Leftover]:
    """The rows that ``--delete`` takes."""
    return [row for row in rows if not row.obstacle]


def delete_all(
    rows: Sequence[Leftover], again: Again, remove: Remove, say: Callable[[Outcome], None]
) -> list[Outcome]:
    """Remove rows in their order.

    After a fault it goes on with the rows that do not depend on the one that failed.

    Args:
        rows: The rows, in the order of removal.
        again: Reads the kind of a row again.
        remove: Carries out the steps of a row.
        say: Is called with each outcome.
    """
    outcomes: list[Outcome] = []
    for row in rows:
        kept = [outcome.row for outcome in outcomes if outcome.is_fault]
        outcome = _delete(row, kept, again, remove)
        outcomes.append(outcome)
        say(outcome)
    return outcomes


def reader(session: boto3.session.Session, stacks: Iterable[str]) -> Again:
    """Reads rows again with a session."""
    return lambda row: find_again(session, row, tuple(stacks))


def remover(session: boto3.session.Session) -> Remove:
    """Carries out the steps of rows with a session."""
    # boto3's overloads want a literal service name
    make: Callable[..., object] = session.client

    def remove(row: Leftover) -> None:
        for step in row.steps:
            region = step.region or session.region_name
            step.call(functools.partial(make, region_name=region, config=RETRIES))

    return remove


def _delete(row: Leftover, kept: Sequence[Leftover], again: Again, remove: Remove) -> Outcome:
    for other in kept:
        if _belong_together(row, other):
            return Outcome(row, SKIPPED, f"it depends on {other.kind} {other.id}, which is left")
    try:
        result = again(row)
        now = next((one for one in result.rows if (one.kind, one.id) == (row.kind, row.id)), None)
        if now is None and not result.complete:
            failure = result.not_checked[0]
            return Outcome(
                row, SKIPPED, f"it could not be read again: {failure.action}: {failure.reason}"
            )
        if now is None:
            return Outcome(row, GONE_BEFORE, "it is no leftover any more")
        if now.obstacle:
            return Outcome(row, SKIPPED, now.obstacle)
        remove(now)
    except ClientError as error:
        if _is_gone(error):
            return Outcome(row, GONE_BEFORE, error_code(error))
        return Outcome(row, FAILED, explain(error))
    except BotoCoreError as error:
        return Outcome(row, FAILED, explain(error))
    return Outcome(row, DELETED)


def _belong_together(row: Leftover, other: Leftover) -> bool:
    """Whether one of two resources names the other, as AWS lists them."""
    return other.id in row.mentions or row.id in other.mentions


def _is_gone(error: ClientError) -> bool:
    code = error_code(error)
    return code in GONE or code.endswith(".NotFound") or code == "ParameterNotFound"
