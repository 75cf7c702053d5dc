"""``gpustation up``: deploys the workstation after showing plan, price and quota."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gpustation.cli.ending import confirm, run, say_json
from gpustation.cli.options import AsJson, Region, Yes, assignment, epilog
from gpustation.console.interrupts import say, warn
from gpustation.console.statuses import FINDING, NO_CAPACITY

if TYPE_CHECKING:
    import boto3

    from gpustation.deploy.offer import Offer
    from gpustation.plan.judgement import Plan

EPILOG = epilog("gpustation up -c instance_type=g5.xlarge", FINDING, NO_CAPACITY)
SETTLED = "CloudFormation goes on with the deploy; see `gpustation status`, end it with down"


def up(
    context: Annotated[
        list[str] | None,
        typer.Option(
            "--context",
            "-c",
            metavar="KEY=VALUE",
            parser=assignment,
            help="A setting, as in `cdk deploy`; may be repeated.",
        ),
    ] = None,
    app: Annotated[
        str, typer.Option("--app", "-a", metavar="APP", help="The app, or its cloud assembly.")
    ] = "",
    region: Region = "",
    yes: Yes = False,
    as_json: AsJson = False,
) -> None:
    """Deploy the workstation of this folder, after showing what it does and costs.

    It runs `cdk deploy`, which does the same for who prefers it.
    """

    def work() -> int:
        from gpustation.aws.session import make_session
        from gpustation.console.errors import CommandError
        from gpustation.deploy.offer import offer_of
        from gpustation.plan.assembly import AssemblyError, assembly, read_assembly
        from gpustation.plan.effect import Effect
        from gpustation.plan.make import make_plan

        session = make_session(region)
        report = warn if as_json else say
        try:
            with assembly(app=app, context=context or []) as folder:
                plan = make_plan(session, app=str(folder))
                offer = offer_of(read_assembly(folder))
                if not as_json:
                    _show(plan, offer)
                if plan.effect is Effect.REFUSED:
                    raise CommandError("the deploy would be refused; see above")
                command = shlex.join(["cdk", "deploy", *_options(context or [], app)])
                confirm(f"Deploy {plan.stack} now ({command})?", yes)
                document = _deploy(session, folder, plan.stack, report, live=not as_json)
        except AssemblyError as error:
            raise CommandError(str(error)) from error
        if as_json:
            say_json({**document, "effect": plan.effect.word, "cost": offer.document()})
        else:
            _say_next(document)
        return 0

    run("up", work)


def _options(context: list[str], app: str) -> list[str]:
    options = [word for setting in context for word in ("-c", setting)]
    return [*options, *(["--app", app] if app else [])]


def _show(plan: Plan, offer: Offer) -> None:
    say(str(plan))
    for line in offer.lines():
        say(f"  {line}")


def _deploy(
    session: boto3.Session, folder: Path, stack: str, report: Any, *, live: bool
) -> dict[str, Any]:
    """Deploy the assembly; returns the facts of the workstation."""
    from gpustation.deploy.operation import deploy

    workstation = deploy(session, folder, stack, report, live=live)
    return {
        "stack": stack,
        "instance_id": workstation.instance_id,
        "ready": workstation.outputs.get("Ready"),
    }


def _say_next(document: dict[str, Any]) -> None:
    say(f"{document['stack']} is deployed: {document['ready'] or 'see gpustation status'}")
    say("Next: gpustation jupyter, or gpustation ssh. Nothing stops it by itself: gpustation stop")
