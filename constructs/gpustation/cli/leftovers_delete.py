"""What ``gpustation leftovers --delete`` asks before it deletes, and what it prints."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

from gpustation.aws.session import make_session
from gpustation.cli.ending import confirm
from gpustation.console.errors import CommandError
from gpustation.console.interrupts import say, warn
from gpustation.console.shown_text import visible
from gpustation.console.statuses import USAGE
from gpustation.leftovers.removal import DELETED, Outcome, delete_all, reader, remover, taken
from gpustation.leftovers.result import Leftover, Result


def delete_rows(
    results: Sequence[Result], stacks: list[str], ids: list[str], yes: bool, as_json: bool
) -> list[Outcome]:
    """Show the rows that can be deleted, ask, and delete them.

    Args:
        results: What was found, a result for each region.
        stacks: Names of further stacks, as for the search.
        ids: Ids of the only rows to delete. Default: all that can be.
        yes: Do not ask.
        as_json: Print on standard error.

    Raises:
        CommandError: It was not confirmed, or an id is not one of a row that can be deleted.
    """
    show = warn if as_json else say
    rows = _chosen([row for result in results for row in result.left], ids)
    if not rows:
        show("Nothing here can be deleted by --delete; see docs/leftovers.md.")
        return []
    show(f"To be deleted, in this order ({sum(row.usd_per_month for row in rows):.2f} USD/month):")
    for row in rows:
        show(visible(f"  {row.kind} {row.id} ({row.region}; {row.proof})"))
    _ask(results, len(rows), bool(ids), yes)
    session = make_session(results[0].region)
    return delete_all(rows, reader(session, stacks), remover(session), lambda one: show(_line(one)))


def deletion_document(outcomes: Sequence[Outcome]) -> list[dict[str, Any]]:
    """The outcomes as JSON data."""
    return [
        {
            "kind": outcome.row.kind,
            "id": outcome.row.id,
            "region": outcome.row.region,
            "state": outcome.state,
            "reason": outcome.reason or None,
        }
        for outcome in outcomes
    ]


def _chosen(left: list[Leftover], ids: list[str]) -> list[Leftover]:
    for name in ids:
        found = [row for row in left if row.id == name]
        if not found:
            raise CommandError(f"{visible(name)} is the id of no row; nothing was deleted", USAGE)
        if found[0].obstacle:
            raise CommandError(
                visible(
                    f"{name} is not taken by --delete: {found[0].obstacle}; nothing was deleted"
                ),
                USAGE,
            )
    return [row for row in taken(left) if not ids or row.id in ids]


def _ask(results: Sequence[Result], count: int, by_id: bool, yes: bool) -> None:
    if not sys.stdin.isatty():
        if yes and not by_id:
            raise CommandError(
                "without a terminal --yes needs the ids of the rows to delete; nothing was deleted",
                USAGE,
            )
        confirm("", yes)
    elif len(results) > 1 and not by_id:
        account = results[0].account
        sys.stderr.write(f"Type the account id to delete these {count} in several regions: ")
        sys.stderr.flush()
        typed = sys.stdin.readline().strip()
        if not account or typed != account:
            raise CommandError("this is not the account's id; nothing was deleted")
    else:
        confirm(f"Delete these {count} permanently?", yes)


def _line(outcome: Outcome) -> str:
    row = outcome.row
    if outcome.state == DELETED:
        return visible(f"deleted: {row.kind} {row.id}")
    return visible(f"{outcome.state}: {row.kind} {row.id}: {outcome.reason}")
