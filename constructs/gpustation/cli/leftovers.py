"""``gpustation leftovers``: what is left of stacks that are gone."""

from __future__ import annotations

import io
import sys
from typing import TYPE_CHECKING, Annotated

import typer

from gpustation.catalog.names import STACK_NAMES
from gpustation.cli.ending import NO_ACCESS, run, say_json
from gpustation.cli.options import AsJson, Region, exit_statuses
from gpustation.console.errors import CommandError
from gpustation.console.interrupts import say

if TYPE_CHECKING:
    from gpustation.leftovers.result import Result

STATUSES = exit_statuses(
    {
        0: "nothing is left",
        1: "something is",
        2: "wrong usage",
        NO_ACCESS: "not everything could be checked; docs/leftovers.md has the permissions",
    }
)


def leftovers(
    region: Region = "",
    stack: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME",
            help=f"Also a stack of ours, beside {', '.join(STACK_NAMES)} and those of the setting "
            "name; may be repeated.",
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """List what is left of workstations and images whose stacks are gone. Changes nothing.

    With its cost, and the command that removes it.
    """

    def work() -> int:
        from gpustation.leftovers.find import find_leftovers
        from gpustation.leftovers.report import conclusion, document, exit_status, visible

        try:
            found = find_leftovers(region=region, stacks=stack or ())
        except ValueError as error:
            raise CommandError(visible(str(error)), NO_ACCESS) from error
        if as_json:
            say_json({**document(found), "conclusion": conclusion(found)})
        else:
            _show(found)
        return exit_status(found)

    run("leftovers", work)


def _show(found: Result) -> None:
    """In one piece, and lost where nobody reads it: the exit status is the answer then too."""
    from rich.console import Console

    from gpustation.leftovers.report import report

    encoding = sys.stdout.encoding or "ascii"
    written = io.BytesIO()
    text = io.TextIOWrapper(written, encoding=encoding, errors="replace", write_through=True)
    report(found, Console(file=text, highlight=False, force_terminal=sys.stdout.isatty()))
    say(written.getvalue().decode(encoding).rstrip("\n"))
