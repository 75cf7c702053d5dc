"""Prints a result: tables, then commands ready to paste."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict
from datetime import datetime, timezone
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from gpustation.catalog.prices import PRICES_AS_OF
from gpustation.console.shown_text import visible
from gpustation.leftovers.result import Leftover, Result

NOTHING_LEFT, LEFT, NOT_CHECKED = 0, 1, 3
"""Exit statuses; 2 is a wrong command line."""
PIPE_WIDTH = 200
"""Columns if the output is not a terminal."""
_MEMBERS = (
    *("kind", "id", "region", "created", "usd_per_month", "cost", "ours", "removal"),
    *("stays", "doubt", "proof"),
)
"""Members of a row in JSON."""
ID_WIDTH = 22
"""Columns of an EC2 id; longer ids are folded."""


def exit_status(result: Result) -> int:
    """0: nothing is left, 1: something is or may be, 3: not everything could be checked."""
    if result.left:
        return LEFT
    return NOTHING_LEFT if result.complete else NOT_CHECKED


def document(result: Result) -> dict[str, Any]:
    """A result as JSON data. Untrusted texts are unchanged, as JSON escapes them."""
    return {
        "account": result.account,
        "region": result.region,
        "complete": result.complete,
        "usd_per_month": round(result.usd_per_month, 2),
        "prices_as_of": PRICES_AS_OF,
        "left": [row_document(row) for row in result.left],
        "staying": [row_document(row) for row in result.staying],
        "not_checked": [asdict(failure) for failure in result.not_checked],
    }


def row_document(row: Leftover) -> dict[str, Any]:
    """A row as JSON data, with why ``--delete`` does not take it."""
    kept = {name: getattr(row, name) for name in _MEMBERS}
    return {**kept, "obstacle": row.obstacle}


def report(result: Result, console: Console | None = None) -> None:
    """Print a result.

    Args:
        result: The result.
        console: Where to print. Default: standard output.
    """
    console = console or Console(highlight=False)
    if not console.is_terminal:
        console = Console(file=console.file, highlight=False, width=PIPE_WIDTH)
    account = visible(result.account) or "unknown"
    console.print(
        f"Account {account}, region {_cell(result.region)}, and IAM, which has no region."
    )
    certain = [row for row in result.left if not row.doubt]
    if certain:
        console.print(_table("Left and unused", certain))
    if result.doubtful:
        console.print(_table("May be left: look at each before you remove it", result.doubtful))
        _print(console, "If you are sure, use the command after the colon:")
        _print(console, *(row.removal for row in result.doubtful))
    if certain:
        _print(console, "To remove everything, in this order:", *_commands(certain))
    if result.staying:
        console.print(_table("Kept on purpose", result.staying))
    if result.not_checked:
        table = Table("not checked", "region", "why", title="Not checked", title_justify="left")
        for failure in result.not_checked:
            table.add_row(*map(_cell, (failure.action, failure.region, failure.reason)))
        console.print(table)
    console.print(conclusion(result), soft_wrap=True)


def conclusion(result: Result) -> str:
    """The result in one or two sentences."""
    if result.left:
        certain = len(result.left) - len(result.doubtful)
        more = f" {len(result.doubtful)} more may be: look at each." if result.doubtful else ""
        missing = "" if result.complete else " Not everything could be checked: see above."
        cost = f"{result.usd_per_month:.2f} USD per month ({PRICES_AS_OF})"
        return f"{certain} left, {cost}.{more}{missing}"
    if not result.complete:
        return "Nothing was found, but not everything could be checked: see above."
    return "Nothing is left" + (" except what is kept on purpose." if result.staying else ".")


def _table(title: str, rows: Iterable[Leftover]) -> Table:
    table = Table(title=title, title_justify="left")
    table.add_column("kind")
    table.add_column("id", overflow="fold", min_width=ID_WIDTH)
    table.add_column("age", no_wrap=True)
    table.add_column("USD/month", justify="right")
    table.add_column("what costs, and why it is listed", overflow="fold")
    for row in rows:
        about = "; ".join(part for part in (row.cost, row.stays or row.ours, row.doubt) if part)
        usd = f"{row.usd_per_month:.2f}"
        table.add_row(row.kind, _cell(row.id), _age(row.created), usd, _cell(about))
    return table


def _commands(rows: list[Leftover]) -> list[str]:
    stacks = [row.removal for row in rows if row.kind == "stack"]
    others = [row.removal for row in rows if row.kind != "stack"]
    hint = (
        "# this also deletes the stack's resources: run gpustation leftovers again before you go on"
    )
    return [*stacks, *([hint] if stacks and others else []), *others]


def _print(console: Console, *lines: str) -> None:
    """Unwrapped lines, for pasting."""
    for line in lines:
        print(visible(line), file=console.file)


def _cell(text: str) -> str:
    return escape(visible(text))


def _age(created: datetime | None) -> str:
    return "?" if created is None else f"{(datetime.now(timezone.utc) - created).days} days"
