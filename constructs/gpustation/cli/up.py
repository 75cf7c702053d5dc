"""``gpustation up``: deploys the workstation after showing plan, price and quota."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gpustation.cli.ending import confirm, run, say_json
from gpustation.cli.options import App, AsJson, Context, Region, Yes, epilog
from gpustation.console.interrupts import say, warn
from gpustation.console.statuses import FINDING, NO_CAPACITY

if TYPE_CHECKING:
    import boto3

    from gpustation.offers.costs import Costs
    from gpustation.plan.judgement import Plan

EPILOG = epilog("gpustation up -c instance_type=g5.xlarge", FINDING, NO_CAPACITY)


def up(
    context: Context = None,
    app: App = "",
    region: Region = "",
    yes: Yes = False,
    as_json: AsJson = False,
) -> None:
    """Deploy the workstation of this folder, after showing what it does and costs.

    It runs `cdk deploy`, which does the same for who prefers it.
    """

    def work() -> int:
        from gpustation.aws.session import make_session
        from gpustation.cli.price import document as cost_document
        from gpustation.console.errors import CommandError
        from gpustation.offers.costs import HOURS_OF_A_MONTH, cost_lines, read_costs
        from gpustation.plan.assembly import AssemblyError, assembly, read_assembly
        from gpustation.plan.effect import Effect
        from gpustation.plan.make import make_plan
        from gpustation.settings.stops import stops_of

        session = make_session(region)
        report = warn if as_json else say
        try:
            with assembly(app=app, context=context or []) as folder:
                plan = make_plan(session, app=str(folder))
                synthesized = read_assembly(folder)
                instance_type, gib = synthesized.machine
                place = session.client("cloudformation").meta.region_name
                costs = read_costs(
                    session, place, instance_type, gib, HOURS_OF_A_MONTH, with_spot=True
                )
                spot = synthesized.settings.get("spot") == "true"
                quota = _quota_lines(session, plan, costs, spot)
                for line in (str(plan), *cost_lines(costs), *quota):
                    report(line)
                if plan.effect is Effect.REFUSED:
                    raise CommandError("the deploy would be refused; see above")
                command = shlex.join(["cdk", "deploy", *_options(context or [], app)])
                confirm(f"Deploy {plan.stack} now ({command})?", yes)
                document = _deploy(session, folder, plan.stack, report, live=not as_json)
        except AssemblyError as error:
            raise CommandError(str(error)) from error
        if as_json:
            say_json({**document, "effect": plan.effect.word, "cost": cost_document(costs, place)})
        else:
            _say_next(document, stops_of(synthesized.settings))
        return 0

    run("up", work)


def _options(context: list[str], app: str) -> list[str]:
    options = [word for setting in context for word in ("-c", setting)]
    return [*options, *(["--app", app] if app else [])]


def _quota_lines(session: boto3.Session, plan: Plan, costs: Costs, spot: bool) -> list[str]:
    """The quota, if the deploy launches a machine; the deploy itself checks it again."""
    from gpustation.catalog.gpu_types import require_type
    from gpustation.catalog.quotas import in_words
    from gpustation.offers.quota import read_report
    from gpustation.plan.effect import Effect

    if plan.effect not in (Effect.NEW, Effect.REPLACED):
        return []
    gpu_type = require_type(costs.instance_type)
    report = read_report(session, gpu_type, spot=spot and bool(gpu_type.spot_quota_code))
    verdict = report.verdict
    left = f"needs {verdict.needed} vCPUs, {in_words(verdict.free)} free"
    line = f"  quota    {left} (limit {in_words(verdict.limit)}, {report.quota_code})"
    if report.suffices is False:
        line += f": too small, `{report.remedy}` asks for more"
    return [line, *(f"           {why}" for why in report.unknown)]


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


def _say_next(document: dict[str, Any], stops: str) -> None:
    say(f"{document['stack']} is deployed: {document['ready'] or 'see gpustation status'}")
    stop = f"It stops {stops}" if stops else "Nothing stops it by itself"
    say(f"Next: gpustation jupyter, or gpustation ssh. {stop}; at once: gpustation stop")
