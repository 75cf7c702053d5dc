"""``gpustation plan``: the plan in plain words, with an exit status for each kind."""

from __future__ import annotations

import dataclasses
from typing import Annotated

import typer

from gpustation.cli.ending import NO_ACCESS, NO_ACCESS_MEANS, run, say_json
from gpustation.cli.options import AsJson, Region, assignment, exit_statuses
from gpustation.console.interrupts import say
from gpustation.plan.effect import Effect

STATUSES = exit_statuses(
    {one.status: f"{one.word}: {one.meaning}" for one in Effect}
    | {1: "no answer", 2: "wrong usage", NO_ACCESS: NO_ACCESS_MEANS}
)


def _word(text: str) -> str:
    words = [one.word for one in Effect if one not in (Effect.NOTHING, Effect.REFUSED)]
    if text not in words:
        raise typer.BadParameter(f"{text!r} is none of {', '.join(words)}")
    return text


def plan(
    context: Annotated[
        list[str] | None,
        typer.Option(
            "--context",
            "-c",
            metavar="KEY=VALUE",
            parser=assignment,
            help="A setting, as for `cdk deploy`; may be repeated.",
        ),
    ] = None,
    app: Annotated[
        str, typer.Option("--app", "-a", metavar="APP", help="The app, or its cloud assembly.")
    ] = "",
    allow: Annotated[
        list[str] | None,
        typer.Option(
            metavar="WORD", parser=_word, help="End with 0 for this answer too; may be repeated."
        ),
    ] = None,
    region: Region = "",
    as_json: AsJson = False,
) -> None:
    """Say what a deploy would do to the workstation. Nothing is changed."""

    def work() -> int:
        from gpustation.aws.session import make_session
        from gpustation.plan.make import make_plan

        found = make_plan(make_session(region), app=app, context=context or [])
        if as_json:
            shown = dataclasses.asdict(found)
            say_json({**shown, "effect": found.effect.word, "status": found.effect.status})
        else:
            say(str(found))
        return 0 if found.effect.word in (allow or ()) else found.effect.status

    run("plan", work)
