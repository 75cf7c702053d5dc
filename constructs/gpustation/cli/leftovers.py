"""``gpustation leftovers``: lists billed and other resources that remain of deleted stacks."""

from __future__ import annotations

from typing import Annotated

import typer

from gpustation.catalog.names import STACK_NAMES
from gpustation.cli.ending import run, say_json
from gpustation.cli.options import AsJson, Region, exit_statuses
from gpustation.console.errors import CommandError
from gpustation.console.statuses import NO_ACCESS

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
        from gpustation.console.shown_text import visible
        from gpustation.console.tables import say_drawn
        from gpustation.leftovers.find import find_leftovers
        from gpustation.leftovers.report import conclusion, document, exit_status, report

        try:
            result = find_leftovers(region=region, stacks=stack or ())
        except ValueError as error:
            raise CommandError(visible(str(error)), NO_ACCESS) from error
        if as_json:
            say_json({**document(result), "conclusion": conclusion(result)})
        else:
            say_drawn(lambda console: report(result, console))
        return exit_status(result)

    run("leftovers", work)
