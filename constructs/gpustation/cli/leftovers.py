"""``gpustation leftovers``: lists billed and other resources that remain of deleted stacks."""

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
        0: "no leftovers",
        1: "leftovers found",
        2: "usage error",
        NO_ACCESS: "not everything could be checked; docs/leftovers.md lists the permissions",
    }
)


def leftovers(
    region: Region = "",
    stack: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME",
            help=f"A further stack to check, besides {', '.join(STACK_NAMES)} and those with the "
            "setting name; may be repeated.",
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """List resources that remain of deleted stacks. Changes nothing.

    For each it prints the cost and the command that deletes it.
    """

    def work() -> int:
        from gpustation.leftovers.find import find_leftovers
        from gpustation.leftovers.report import conclusion, document, exit_status, visible

        try:
            result = find_leftovers(region=region, stacks=stack or ())
        except ValueError as error:
            raise CommandError(visible(str(error)), NO_ACCESS) from error
        if as_json:
            say_json({**document(result), "conclusion": conclusion(result)})
        else:
            _show(result)
        return exit_status(result)

    run("leftovers", work)


def _show(result: Result) -> None:
    """Print the report at once, so that a closed pipe does not change the exit status."""
    from rich.console import Console

    from gpustation.leftovers.report import report

    encoding = sys.stdout.encoding or "ascii"
    buffer = io.BytesIO()
    text = io.TextIOWrapper(buffer, encoding=encoding, errors="replace", write_through=True)
    report(result, Console(file=text, highlight=False, force_terminal=sys.stdout.isatty()))
    say(buffer.getvalue().decode(encoding).rstrip("\n"))
