"""The command ``python -m acceptance``, run by ``make acceptance``."""

from __future__ import annotations

import dataclasses
import sys
from pathlib import Path
from typing import Annotated

import typer

from acceptance import earlier, performance, program, world
from acceptance.parts.table import ALWAYS, PARTS
from gpustation.catalog.frameworks import ARCHITECTURES
from gpustation.cli.ending import agreed, run
from gpustation.cli.options import assignment, require_gpu_types
from gpustation.console.errors import CommandError
from gpustation.console.interrupts import leave, say
from gpustation.console.statuses import NO_ACCESS

LIMIT = 2.0
LEAST, MOST = 0.1, 100.0

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None)


@app.command()
def acceptance(
    quick: Annotated[
        bool, typer.Option("--quick", help="Deploy, compute, destroy: about 0.10 USD.")
    ] = False,
    only: Annotated[
        list[str] | None,
        typer.Option(metavar="PART", help="This part and what it needs; may be repeated."),
    ] = None,
    without: Annotated[
        list[str] | None,
        typer.Option(metavar="PART", help="Not this part, nor what needs it; may be repeated."),
    ] = None,
    instance_type: Annotated[
        str, typer.Option("--type", metavar="TYPE", help="EC2 type with a GPU.")
    ] = "g4dn.xlarge",
    framework: Annotated[str, typer.Option(help="The first framework.")] = "mxnet",
    region: Annotated[
        str, typer.Option(metavar="REGION", help="AWS region. Default: as for gpustation.")
    ] = "",
    limit: Annotated[
        float, typer.Option(min=LEAST, max=MOST, metavar="USD", help="The most that it may cost.")
    ] = LIMIT,
    context: Annotated[
        list[str] | None,
        typer.Option(
            "--context",
            "-c",
            metavar="KEY=VALUE",
            parser=assignment,
            help="A further setting of the workstation; may be repeated.",
        ),
    ] = None,
    evidence: Annotated[
        Path | None,
        typer.Option(metavar="FOLDER", help="Where the evidence goes. Default: docs/proven."),
    ] = None,
    logs: Annotated[
        Path | None, typer.Option(metavar="FOLDER", help="Where the logs go. Default: a new one.")
    ] = None,
    keep: Annotated[
        bool, typer.Option("--keep", help="After a failure keep everything; it is billed.")
    ] = False,
    clean_up: Annotated[
        bool, typer.Option("--clean-up", help="Only delete what earlier runs left.")
    ] = False,
    list_parts: Annotated[bool, typer.Option("--list", help="List the parts.")] = False,
    on_embedded: Annotated[
        bool, typer.Option("--local", help="On the embedded AWS of this project: no account.")
    ] = False,
    records: Annotated[
        bool, typer.Option("--records", help="With --local: boot no machines.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
) -> None:
    """Do the whole job once on an AWS account, within a cost limit, and write down what it showed.

    It deploys a machine of its own, uses it in every way, and deletes everything again.
    """
    require_gpu_types(instance_type)
    if framework not in ARCHITECTURES:
        raise typer.BadParameter(f"--framework {framework!r} is not {' or '.join(ARCHITECTURES)}")
    if records and not on_embedded:
        raise typer.BadParameter("--records is for --local; pass it too")
    if only and quick:
        raise typer.BadParameter("--quick and --only are alternatives; pass one of them")
    if list_parts:
        for part in PARTS:
            always = ", always" if part.name in ALWAYS else ""
            say(f"{part.name:<14} {part.what} (about {part.minutes:g} min{always})")
        raise typer.Exit(0)
    try:
        parts = program.parts_of(quick=quick, only=only or [], without=without or [])
    except ValueError as error:
        raise typer.BadParameter(str(error)) from error
    settings = tuple((key, value) for key, _, value in (x.partition("=") for x in context or []))
    options = performance.Options(
        instance_type=instance_type,
        framework=framework,
        limit=limit,
        parts=parts,
        evidence=evidence,
        logs=logs,
        settings=settings,
        keep=keep,
        records=records,
    )

    def ask(question: str) -> bool:
        return yes or agreed(question)

    def work() -> int:
        if on_embedded:
            from acceptance.local import local_world

            with local_world(region, records=records) as (there, why):
                if why:
                    say(f"NO MACHINE BOOTS ({why}): it is a record, and what needs one is left out")
                if clean_up:
                    return earlier.clean_up_only(there, say, ask)
                return program.perform(
                    dataclasses.replace(options, records=bool(why)), there, say, ask
                )
        try:
            there = world.aws(region)
        except ValueError as error:
            raise CommandError(str(error), NO_ACCESS) from error
        if clean_up:
            return earlier.clean_up_only(there, say, ask)
        return program.perform(options, there, say, ask)

    run("acceptance", work)


if __name__ == "__main__":
    try:
        app()
    except SystemExit as end:
        leave(end.code if isinstance(end.code, int) else 1)
    sys.exit(0)
