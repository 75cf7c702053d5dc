"""``gpustation quota``: the vCPU quota of a type, requests to raise it, and their decision."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperGroup

from gpustation.cli.ending import confirm, run, say_json
from gpustation.cli.options import (
    AsJson,
    OptionalType,
    Region,
    Yes,
    epilog,
    require_gpu_types,
)
from gpustation.console.interrupts import say, warn
from gpustation.console.statuses import FINDING, NO_ACCESS, NO_CAPACITY, TIMED_OUT

if TYPE_CHECKING:
    from gpustation.catalog.quotas import OpenRequest
    from gpustation.offers.quota import QuotaReport

EPILOG = epilog("gpustation quota g5.xlarge", NO_CAPACITY)
GpuTypeName = Annotated[str, typer.Argument(metavar="TYPE", help="EC2 type with a GPU.")]


class DefaultsToShow(TyperGroup):
    """Runs ``show`` if the first word is none of the subcommands: ``quota g5.xlarge``."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Parse the arguments; see the class."""
        if not args or (args[0] not in self.commands and args[0] != "--help"):
            args = ["show", *args]
        return super().parse_args(ctx, args)


Spot = Annotated[bool, typer.Option("--spot", help="The quota of spot machines.")]

app = typer.Typer(
    cls=DefaultsToShow,
    help="Show the vCPU quota of a type, request a higher one, and follow the request.\n\n"
    "`gpustation quota TYPE` is short for `gpustation quota show TYPE`.",
    epilog=EPILOG,
    rich_markup_mode=None,
)


@app.command(epilog=EPILOG)
def show(
    instance_type: OptionalType = "",
    spot: Spot = False,
    region: Region = "",
    as_json: AsJson = False,
) -> None:
    """Compare the quota with what a machine needs, as a deploy does.

    Without TYPE it is about the region's workstation, which needs nothing while it runs. With TYPE
    it is about one more machine. Exit status 4: the quota does not suffice.
    """
    require_gpu_types(instance_type)

    def work() -> int:
        from gpustation.aws.session import make_session
        from gpustation.catalog.gpu_types import require_type
        from gpustation.offers.own_machine import DEFAULT_TYPE, own_machine
        from gpustation.offers.quota import PATIENT, read_report

        session = make_session(region)
        own = None if instance_type else own_machine(session, PATIENT)
        name = instance_type or (own.instance_type if own else DEFAULT_TYPE)
        runs = own is not None and own.state in ("pending", "running")
        report = read_report(session, require_type(name), machines=0 if runs else 1, spot=spot)
        if as_json:
            say_json(document(report))
        else:
            _show(report)
        return _status(report)

    run("quota", work)


@app.command(epilog=epilog("gpustation quota request g5.xlarge --machines 2", NO_CAPACITY))
def request(
    instance_type: GpuTypeName,
    machines: Annotated[
        int, typer.Option(min=1, help="Number of machines beside those that run.")
    ] = 1,
    spot: Spot = False,
    region: Region = "",
    yes: Yes = False,
    as_json: AsJson = False,
) -> None:
    """Request a quota for further machines of a type, after asking.

    A request that is open is shown instead of filing another one.
    """
    require_gpu_types(instance_type)

    def work() -> int:
        from gpustation.aws.session import make_session
        from gpustation.catalog.gpu_types import require_type
        from gpustation.offers import quota
        from gpustation.offers.quota import read_report

        session = make_session(region)
        report = read_report(session, require_type(instance_type), machines, spot=spot)
        verdict, filed, found = report.verdict, False, None
        report_line = warn if as_json else say
        if report.open_requests:
            found = report.open_requests[0]
            less = found.vcpus is not None and found.vcpus < verdict.desired
            note = f"; it is for less than the {verdict.desired} that are needed" if less else ""
            report_line(f"no new request: {found} is open{note}")
        elif verdict.limit is None or (verdict.limit >= verdict.desired and not report.suffices):
            return _refuse_unknown(report)
        elif verdict.limit >= verdict.desired:
            report_line(f"the quota {verdict.limit} suffices already; nothing was requested")
        else:
            confirm(
                f"Request {verdict.desired} vCPUs of {_name(report)} in {report.region}, instead "
                f"of {verdict.limit}?",
                yes,
            )
            found = quota.request(session, report)
            filed = found is not None
            if found is None:
                report_line("no new request: one is open")
            else:
                report_line(f"requested: {found}. Next: gpustation quota watch {instance_type}")
        if as_json:
            say_json(
                {
                    **_place(report),
                    "limit": verdict.limit,
                    "desired": verdict.desired,
                    "filed": filed,
                    "request": _request(found),
                }
            )
        return 0

    run("quota request", work)


@app.command(
    epilog=epilog("gpustation quota watch g5.xlarge --timeout 7200", NO_CAPACITY, TIMED_OUT)
)
def watch(
    instance_type: GpuTypeName,
    timeout: Annotated[
        int, typer.Option(min=1, metavar="SECONDS", help="How long to wait at most.")
    ] = 3600,
    spot: Spot = False,
    region: Region = "",
    as_json: AsJson = False,
) -> None:
    """Wait until AWS has granted or denied the last request for the quota of a type.

    Exit status 1: there is no request; 4: it was denied.
    """
    require_gpu_types(instance_type)

    def work() -> int:
        from gpustation.aws.session import make_session
        from gpustation.catalog.gpu_types import require_type
        from gpustation.console.errors import CommandError
        from gpustation.offers import quota

        session = make_session(region)
        code = quota.code_of(require_type(instance_type), spot)
        followed = quota.last_request(session, code)
        place = session.region_name
        if followed is None:
            raise CommandError(
                f"there is no request for {code} in {place}; `gpustation quota request "
                f"{instance_type}` files one",
                FINDING,
            )
        report_line = warn if as_json else say
        report_line(str(followed))
        decision = quota.watch(session, code, followed, timeout, report_line)
        word = "granted" if decision.granted else "not granted"
        limit = "unknown" if decision.limit is None else decision.limit
        report_line(f"{word}: the quota is {limit}")
        if as_json:
            say_json(
                {
                    "region": place,
                    "instance_type": instance_type,
                    "quota_code": code,
                    "limit": decision.limit,
                    "granted": decision.granted,
                    "request": _request(decision.request),
                }
            )
        return 0 if decision.granted else NO_CAPACITY

    run("quota watch", work)


def document(report: QuotaReport) -> dict[str, Any]:
    """The quota as JSON data; what is unknown is ``null``."""
    verdict = report.verdict
    return {
        **_place(report),
        "quota_name": report.quota_name or None,
        "vcpus_needed": verdict.needed,
        "limit": verdict.limit,
        "in_use": verdict.in_use,
        "reserved": verdict.reserved,
        "free": verdict.free,
        "suffices": report.suffices,
        "room_in_reservations": list(verdict.room_in),
        "open_requests": [_request(one) for one in report.open_requests],
        "unknown": list(report.unknown),
    }


def _place(report: QuotaReport) -> dict[str, str]:
    return {
        "region": report.region,
        "instance_type": report.gpu_type.name,
        "quota_code": report.quota_code,
    }


def _request(request: OpenRequest | None) -> dict[str, Any] | None:
    if request is None:
        return None
    return {
        "id": request.request_id,
        "status": request.status,
        "vcpus": request.vcpus,
        "day": request.day,
    }


def _name(report: QuotaReport) -> str:
    return f"{report.quota_name or 'the quota'} ({report.quota_code})"


def _show(report: QuotaReport) -> None:
    from gpustation.catalog.quotas import in_words
    from gpustation.console.tables import say_facts

    verdict, name = report.verdict, report.gpu_type.name
    reserved = f", of which {verdict.reserved} reserved and unused" if verdict.reserved else ""
    say_facts(
        {
            "type": name,
            "region": report.region,
            "quota": _name(report),
            "limit": f"{in_words(verdict.limit)} vCPUs",
            "in use": f"{in_words(verdict.in_use)} vCPUs{reserved}",
            "free": f"{in_words(verdict.free)} vCPUs",
            "needed": f"{verdict.needed} vCPUs" if verdict.needed else "none: the machine runs",
            "reservation": ", ".join(verdict.room_in) and f"room in {', '.join(verdict.room_in)}",
            "open request": "; ".join(map(str, report.open_requests)),
            "unknown": "; ".join(report.unknown),
            "verdict": _verdict(report),
        }
    )


def _verdict(report: QuotaReport) -> str:
    verdict = report.verdict
    if report.suffices is None:
        return "UNKNOWN whether the quota suffices"
    if not report.suffices:
        return f"TOO SMALL: `{report.remedy}` asks for {verdict.desired} vCPUs"
    if verdict.needs_reservation:
        return f"suffices only for the capacity reservation in {', '.join(verdict.room_in)}"
    return "suffices"


def _status(report: QuotaReport) -> int:
    if report.suffices is None:
        warn(f"quota: not everything could be read: {'; '.join(report.unknown)}")
        return NO_ACCESS
    return 0 if report.suffices else NO_CAPACITY


def _refuse_unknown(report: QuotaReport) -> int:
    warn(
        "quota request: nothing was requested, as it is unknown what is needed: "
        f"{'; '.join(report.unknown)}"
    )
    return NO_ACCESS
