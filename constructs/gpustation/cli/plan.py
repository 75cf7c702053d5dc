"""``gpustation plan``: shows the effect of a deploy, with an exit status for each effect."""

from __future__ import annotations

import dataclasses
from typing import Annotated

import typer

from gpustation.cli.ending import run, say_json
from gpustation.cli.options import App, AsJson, Context, Region, example, exit_statuses
from gpustation.console.interrupts import say
from gpustation.console.statuses import MEANINGS, NO_ACCESS
from gpustation.plan.effect import Effect

STATUSES = exit_statuses(
    {effect.status: f"{effect.word}: {effect.meaning}" for effect in Effect}
    | {1: "failure", 2: "usage error", NO_ACCESS: MEANINGS[NO_ACCESS]}
)
EPILOG = f"{example('gpustation plan -c instance_type=g5.xlarge')}\n\n{STATUSES}"


def _word(text: str) -> str:
    words = [effect.word for effect in Effect if effect not in (Effect.NOTHING, Effect.REFUSED)]
    if text not in words:
        raise typer.BadParameter(f"{text!r} is not one of {', '.join(words)}")
    return text


def plan(
    context: Context = None,
    app: App = "",
    allow: Annotated[
        list[str] | None,
        typer.Option(
            metavar="EFFECT",
            parser=_word,
            help="Exit with status 0 for this effect too; may be repeated.",
        ),
    ] = None,
    region: Region = "",
    as_json: AsJson = False,
) -> None:
    """Show what a deploy would do to the workstation. Changes nothing."""

    def work() -> int:
        from gpustation.aws.session import make_session
        from gpustation.plan.make import make_plan

        result = make_plan(make_session(region), app=app, context=context or [])
        effect = result.effect
        if as_json:
            say_json({**dataclasses.asdict(result), "effect": effect.word, "status": effect.status})
        else:
            say(str(result))
        return 0 if effect.word in (allow or ()) else effect.status

    run("plan", work)
