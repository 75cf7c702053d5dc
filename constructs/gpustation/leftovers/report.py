"""Shows a result to a person: tables, then commands that can be pasted."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict
from datetime import datetime, timezone
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from gpustation.catalog.prices import PRICES_AS_OF
from gpustation.leftovers.result import Leftover, Result

NOTHING_LEFT, LEFT, NOT_CHECKED = 0, 1, 3
"""Exit statuses; 2 is a wrong command line."""
PIPE_WIDTH = 200
"""Columns where no terminal tells."""
ID_WIDTH = 22
"""EC2's ids are no longer, but for a few that fold."""


def exit_status(result: Result) -> int:
    """0 nothing is left, 1 something is or may be, 3 not everything was looked at."""
    if result.left:
        return LEFT
    return NOTHING_LEFT if result.complete else NOT_CHECKED


def visible(text: str) -> str:
    r"""Text of others in the characters that a terminal neither obeys nor hides nor mixes up.

    Everything else comes as ``\x1b`` or ``\u202e``: control characters, line ends, marks of
    direction and of width zero, letters that look like another. So does a backslash, so that none
    of these can be imitated.
    """
    return "".join(one if " " <= one <= "~" and one != "\\" else ascii(one)[1:-1] for one in text)


def document(result: Result) -> dict[str, Any]:
    """A result as JSON has it; its texts of others are as AWS told them, which JSON escapes."""
    return {
        "account": result.account,
        "region": result.region,
        "complete": result.complete,
        "usd_per_month": round(result.usd_per_month, 2),
        "prices_as_of": PRICES_AS_OF,
        "left": [asdict(row) for row in result.left],
        "staying": [asdict(row) for row in result.staying],
        "not_checked": [asdict(one) for one in result.not_checked],
    }


def report(result: Result, console: Console | None = None) -> None:
    """Print a result.

    Args:
        result: What was found.
        console: Where to. Default: standard output.
    """
    console = console or Console(highlight=False)
    if not console.is_terminal:
        console = Console(file=console.file, highlight=False, width=PIPE_WIDTH)
    account = visible(result.account) or "unknown"
    place = escape(visible(result.region))
    console.print(f"Account {account}, region {place}, and IAM, which has no region.")
    certain = [row for row in result.left if not row.doubt]
    if certain:
        console.print(_table("Left, and of no use", certain))
    if result.doubtful:
        console.print(_table("May be left: look at each before you remove it", result.doubtful))
        _print(console, "If you are sure of one, its command is what follows the colon:")
        _print(console, *(row.removal for row in result.doubtful))
    if certain:
        _commands(console, certain)
    if result.staying:
        console.print(_table("Stays on purpose", result.staying))
    if result.not_checked:
        console.print(_unchecked(result))
    console.print(conclusion(result), soft_wrap=True)


def conclusion(result: Result) -> str:
    """The result in one sentence or two."""
    missing = "" if result.complete else " Not everything was looked at: see above."
    if result.left:
        certain = len(result.left) - len(result.doubtful)
        more = f" {len(result.doubtful)} more may be: look at each." if result.doubtful else ""
        return (
            f"{certain} left, {result.usd_per_month:.2f} USD per month ({PRICES_AS_OF})."
            f"{more}{missing}"
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
        about = "; ".join(part for part in (row.cost, row.stays or row.ours, row.doubt) if part)
        usd = f"{row.usd_per_month:.2f}"
        table.add_row(row.kind, _cell(row.id), _age(row.created), usd, _cell(about))
    return table


def _commands(console: Console, rows: Iterable[Leftover]) -> None:
    _print(console, "To remove it, in this order:")
    rows = list(rows)
    stacks = [row.removal for row in rows if row.kind == "stack"]
    others = [row.removal for row in rows if row.kind != "stack"]
    hint = ["# what belongs to a stack goes with it: look again before going on"]
    _print(console, *stacks, *(hint if stacks and others else []), *others)


def _print(console: Console, *lines: str) -> None:
    """One line each, never wrapped: they are for pasting."""
    for line in lines:
        print(visible(line), file=console.file)


def _unchecked(result: Result) -> Table:
    table = Table("not checked", "region", "why", title="Not checked", title_justify="left")
    for one in result.not_checked:
        table.add_row(*(_cell(part) for part in (one.action, one.region, one.reason)))
    return table


def _cell(text: str) -> str:
    return escape(visible(text))


def _age(created: datetime | None) -> str:
    return "?" if created is None else f"{(datetime.now(timezone.utc) - created).days} days"
