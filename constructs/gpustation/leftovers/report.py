"""Shows a result to a person: tables, then commands that can be pasted."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime, timezone

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from gpustation.leftovers.prices import PRICES_AS_OF
from gpustation.leftovers.result import Leftover, Result

NOTHING_LEFT, LEFT, NOT_CHECKED = 0, 1, 3
"""Exit statuses; 2 is a wrong command line."""
PIPE_WIDTH = 200
"""Columns where no terminal tells."""
ID_WIDTH = 22
"""EC2's ids are no longer, but for a few that fold."""


def exit_status(result: Result) -> int:
    """0 nothing is left, 1 something is, 3 nothing was found, but not everything was looked at."""
    if result.left:
        return LEFT
    return NOTHING_LEFT if result.complete else NOT_CHECKED


def report(result: Result, console: Console | None = None) -> None:
    """Print a result.

    Args:
        result: What was found.
        console: Where to. Default: standard output.
    """
    console = console or Console(highlight=False)
    if not console.is_terminal:
        console = Console(file=console.file, highlight=False, width=PIPE_WIDTH)
    account = result.account or "unknown"
    console.print(f"Account {account}, region {result.region}, and IAM, which has no region.")
    if result.left:
        console.print(_table("Left, and of no use", result.left))
        _commands(console, result.left)
    if result.staying:
        console.print(_table("Stays on purpose", result.staying))
    if result.not_checked:
        console.print(_unchecked(result))
    console.print(conclusion(result), soft_wrap=True)


def conclusion(result: Result) -> str:
    """The result in one sentence or two."""
    missing = "" if result.complete else " Not everything was looked at: see above."
    if result.left:
        return (
            f"{len(result.left)} left, {result.usd_per_month:.2f} USD per month ({PRICES_AS_OF})."
            f"{missing}"
        )
    if not result.complete:
        return "Could not be checked: nothing was found, and not everything was looked at."
    return "Nothing is left" + (" but what stays on purpose." if result.staying else ".")


def _table(title: str, rows: Iterable[Leftover]) -> Table:
    table = Table(title=title, title_justify="left")
    table.add_column("what")
    table.add_column("id", overflow="fold", min_width=ID_WIDTH)
    table.add_column("age", no_wrap=True)
    table.add_column("USD/month", justify="right")
    table.add_column("what costs, and why it is here", overflow="fold")
    for row in rows:
        about = f"{row.cost}; {row.stays or row.ours}"
        usd = f"{row.usd_per_month:.2f}"
        table.add_row(row.kind, escape(row.id), _age(row.created), usd, escape(about))
    return table


def _commands(console: Console, rows: Sequence[Leftover]) -> None:
    """One line each, never wrapped: they are for pasting."""
    console.print("To remove it, in this order:")
    stacks = [row for row in rows if row.kind == "stack"]
    others = [row for row in rows if row.kind != "stack"]
    hint = ["# what belongs to a stack goes with it: look again before going on"]
    lines = [row.removal for row in stacks] + (hint if stacks and others else [])
    for line in [*lines, *(row.removal for row in others)]:
        print(line, file=console.file)


def _unchecked(result: Result) -> Table:
    table = Table("not checked", "region", "why", title="Not checked", title_justify="left")
    for one in result.not_checked:
        table.add_row(escape(one.action), one.region, escape(one.reason))
    return table


def _age(created: datetime | None) -> str:
    return "?" if created is None else f"{(datetime.now(timezone.utc) - created).days} days"
