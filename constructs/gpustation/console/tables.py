"""Output of a command: tables and facts for a terminal, tab-separated lines for a pipe.

On a terminal a table has a frame and a heading; where it is too narrow, each row is a column
instead, or else a block of lines, as cells that are cut would lose what matters. In a pipe each row
is a line without a heading, its cells separated by tabs, so that ``cut`` and ``awk`` can read it.
Notes, such as the date of a price, go to standard error there.
"""

from __future__ import annotations

import io
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from gpustation.console.interrupts import say, warn
from gpustation.console.shown_text import visible

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

LAST_WIDTH = 20
"""Columns in which a longer text of the last column can still be read, wrapped."""


def say_table(
    columns: Sequence[str], rows: Iterable[Sequence[object]], *, right: Sequence[str] = ()
) -> None:
    """Print a table. Cells are escaped, as they may be text of others.

    Args:
        columns: Headings.
        rows: Cells of each row, in the order of the columns; ``None`` is shown as ``-``.
        right: Headings of the columns that are aligned at the right.
    """
    cells = [["-" if cell is None else visible(str(cell)) for cell in row] for row in rows]
    if not sys.stdout.isatty():
        for row in cells:
            say("\t".join(row))
        return
    from rich.markup import escape
    from rich.table import Table

    table = Table()
    for column in columns:
        # Only the last column, mostly a reason, is wrapped while the terminal is wide enough
        table.add_column(
            column,
            justify="right" if column in right else "left",
            overflow="fold",
            no_wrap=column != columns[-1],
        )
    for row in cells:
        table.add_row(*map(escape, row))

    def draw(console: Console) -> None:
        if _needed(columns, cells) <= console.width:
            console.print(table)
        elif _framed([max(map(len, each)) for each in (columns, *cells)]) <= console.width:
            console.print(_transposed(columns, cells))
        else:
            console.print(escape(_blocks(columns, cells)), soft_wrap=True)

    say_drawn(draw)


def _needed(columns: Sequence[str], cells: Sequence[Sequence[str]]) -> int:
    """Columns of the terminal that a table needs: all of its cells but the last whole."""
    widths = [max(map(len, each)) for each in zip(columns, *cells, strict=True)]
    return _framed([*widths[:-1], min(widths[-1], LAST_WIDTH)])


def _framed(widths: Sequence[int]) -> int:
    """Columns of the terminal that a table with columns of these widths needs, with its frame."""
    return sum(widths) + 3 * len(widths) + 1


def _transposed(columns: Sequence[str], cells: Sequence[Sequence[str]]) -> Table:
    """A table whose first column has the headings, and a column for each row."""
    from rich.markup import escape
    from rich.table import Table

    table = Table(show_header=False)
    for each in zip(columns, *cells, strict=True):
        table.add_row(*map(escape, each))
    return table


def _blocks(columns: Sequence[str], cells: Sequence[Sequence[str]]) -> str:
    """Rows as blocks with a line for each cell."""
    width = max(map(len, columns))
    lines = (
        "\n".join(f"{name:<{width}}  {cell}" for name, cell in zip(columns, row, strict=True))
        for row in cells
    )
    return "\n\n".join(lines)


def say_facts(facts: Mapping[str, object]) -> None:
    """Print names with their values; those that are ``None`` or empty are left out."""
    kept = {name: visible(str(value)) for name, value in facts.items() if value not in (None, "")}
    terminal = sys.stdout.isatty()
    width = max(map(len, kept), default=0)
    for name, value in kept.items():
        say(f"{name:<{width}}  {value}" if terminal else f"{name}\t{value}")


def say_note(line: str) -> None:
    """Print a note: on a terminal below the result, in a pipe on standard error."""
    (say if sys.stdout.isatty() else warn)(visible(line))


def say_drawn(draw: Callable[[Console], None]) -> None:
    """Print what is drawn at once, so that a closed pipe does not change the exit status."""
    from rich.console import Console

    encoding = sys.stdout.encoding or "ascii"
    buffer = io.BytesIO()
    text = io.TextIOWrapper(buffer, encoding=encoding, errors="replace", write_through=True)
    draw(Console(file=text, highlight=False, force_terminal=sys.stdout.isatty()))
    say(buffer.getvalue().decode(encoding).rstrip("\n"))
