"""``gpustation leftovers``: lists what remains of deleted stacks, and deletes it on request."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from gpustation.catalog.names import STACK_NAMES
from gpustation.cli.ending import run, say_json
from gpustation.cli.options import AsJson, Region, Yes, example, exit_statuses
from gpustation.console.errors import CommandError
from gpustation.console.statuses import NO_ACCESS

if TYPE_CHECKING:
    import boto3

    from gpustation.leftovers.result import Result

STATUSES = exit_statuses(
    {
        0: "no leftovers",
        1: "leftovers found, or not all of them deleted",
        2: "usage error",
        NO_ACCESS: "not everything could be checked; docs/leftovers.md lists the permissions",
    }
)
EPILOG = f"{example('gpustation leftovers --delete')}\n\n{STATUSES}"


def leftovers(
    ids: Annotated[
        list[str] | None,
        typer.Argument(metavar="ID", help="With --delete: only the rows with these ids."),
    ] = None,
    region: Region = "",
    all_regions: Annotated[
        bool, typer.Option("--all-regions", help="Search all enabled regions.")
    ] = False,
    stack: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME",
            help=f"A further stack to check, besides {', '.join(STACK_NAMES)} and those with the "
            "setting name; may be repeated.",
        ),
    ] = None,
    delete: Annotated[
        bool,
        typer.Option(
            "--delete",
            help="Delete what a tag proves to be of a deleted stack, after showing it and asking.",
        ),
    ] = False,
    yes: Yes = False,
    as_json: AsJson = False,
) -> None:
    """List resources that remain of deleted stacks, or delete them with --delete.

    For each it prints the cost and the command that deletes it.
    """
    if (ids or yes) and not delete:
        raise typer.BadParameter("ids and --yes are for --delete; pass it too")
    if region and all_regions:
        raise typer.BadParameter("--region and --all-regions are alternatives; pass one of them")

    def work() -> int:
        from gpustation.cli.leftovers_delete import delete_rows, deletion_document
        from gpustation.leftovers.report import exit_status

        results = _find(region, stack or [], all_regions)
        if not as_json:
            _show(results)
        if not delete:
            if as_json:
                say_json(_document(results, all_regions))
            return max(map(exit_status, results), key=_SEVERITY.index)
        outcomes = delete_rows(results, stack or [], ids or [], yes, as_json)
        if as_json:
            say_json({**_document(results, all_regions), "deletion": deletion_document(outcomes)})
        return 1 if any(outcome.is_fault for outcome in outcomes) else 0

    run("leftovers", work)


_SEVERITY = (0, NO_ACCESS, 1)
"""Exit statuses of regions; the last of them counts."""


def _find(region: str, stacks: list[str], all_regions: bool) -> list[Result]:
    from gpustation.console.shown_text import visible
    from gpustation.leftovers.find import find_leftovers

    try:
        if all_regions:
            return _everywhere(stacks)
        return [find_leftovers(region=region, stacks=stacks)]
    except ValueError as error:
        raise CommandError(visible(str(error)), NO_ACCESS) from error


def _everywhere(stacks: list[str]) -> list[Result]:
    from gpustation.aws.session import make_session
    from gpustation.console.interrupts import warn
    from gpustation.leftovers.regions import enabled_regions, find_everywhere

    session: boto3.Session = make_session()
    regions = enabled_regions(session)
    return find_everywhere(session, regions, stacks, lambda region: warn(f"searched {region}"))


def _document(results: list[Result], all_regions: bool) -> dict[str, Any]:
    from gpustation.leftovers.report import conclusion, document

    documents = [{**document(result), "conclusion": conclusion(result)} for result in results]
    if not all_regions:
        return documents[0]
    usd = sum(result.usd_per_month for result in results)
    complete = all(result.complete for result in results)
    return {"regions": documents, "complete": complete, "usd_per_month": round(usd, 2)}


def _show(results: list[Result]) -> None:
    from gpustation.console.interrupts import say
    from gpustation.console.tables import say_drawn
    from gpustation.leftovers.report import report

    quiet = [result.region for result in results if not result.rows and result.complete]
    for result in results:
        if len(results) == 1 or result.region not in quiet:
            say_drawn(lambda console, result=result: report(result, console))  # type: ignore[misc]
    if len(results) > 1 and quiet:
        say(f"Nothing is left in {', '.join(quiet)}.")
