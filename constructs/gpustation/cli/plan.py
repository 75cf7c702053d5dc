"""``gpustation plan``: shows the effect of a deploy, with an exit status for each effect."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Annotated

import typer

from gpustation.cli.ending import run, say_json
from gpustation.cli.options import App, AsJson, Context, Region, example, exit_statuses
from gpustation.console.interrupts import say
from gpustation.console.statuses import MEANINGS, NO_ACCESS
from gpustation.plan.effect import Effect

if TYPE_CHECKING:
    import boto3

    from gpustation.offers.costs import Costs
    from gpustation.plan.judgement import Plan

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
        from gpustation.cli.price import document as cost_document
        from gpustation.offers.costs import cost_lines

        session = make_session(region)
        result, costs = _make(session, app, context or [])
        effect = result.effect
        if as_json:
            cost = cost_document(costs, session.region_name) if costs else None
            document = {**dataclasses.asdict(result), "effect": effect.word, "cost": cost}
            say_json({**document, "status": effect.status})
        else:
            say("\n".join([str(result), *(cost_lines(costs) if costs else [])]))
        return 0 if effect.word in (allow or ()) else effect.status

    run("plan", work)


def _make(session: boto3.Session, app: str, context: list[str]) -> tuple[Plan, Costs | None]:
    """The plan, and what the workstation costs; no costs for a stack without a machine."""
    from gpustation.offers.costs import HOURS_OF_A_MONTH, read_costs
    from gpustation.plan.assembly import AssemblyError, assembly, read_assembly
    from gpustation.plan.make import PlanError, make_plan

    try:
        with assembly(app=app, context=context) as folder:
            plan = make_plan(session, app=str(folder))
            try:
                instance_type, gib = read_assembly(folder).machine
            except AssemblyError:
                return plan, None
    except AssemblyError as error:
        raise PlanError(str(error)) from error
    place = session.client("cloudformation").meta.region_name
    return plan, read_costs(session, place, instance_type, gib, HOURS_OF_A_MONTH, with_spot=True)
