"""``gpustation status``: the state of the workstations of a region."""

from __future__ import annotations

import time
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gpustation.catalog.names import name_in
from gpustation.cli.ending import run, say_json
from gpustation.cli.options import AsJson, Name, Region, Stack, epilog
from gpustation.cli.selecting import named
from gpustation.console.interrupts import warn
from gpustation.console.statuses import FINDING

if TYPE_CHECKING:
    import boto3

    from gpustation.access.report import Verdict
    from gpustation.workstation.status import Status

EPILOG = epilog("gpustation status --watch", FINDING)
WATCH_SECONDS = 5.0
"""Pause between two readings of ``--watch``; CloudFormation and EC2 throttle faster callers."""
KEEP_AWAKE = "gpustation keep-awake 2h"


def status(
    name: Name = "",
    stack: Stack = "",
    watch: Annotated[
        bool, typer.Option("--watch", help="Read again every 5 seconds, until Ctrl-C.")
    ] = False,
    region: Region = "",
    as_json: AsJson = False,
) -> None:
    """Show the workstations of the region: state, address, image, cost, set-up.

    Exit status 1: there is none.
    """
    stack = named(name, stack)
    if watch and as_json:
        raise typer.BadParameter("--watch and --json are alternatives; pass one of them")

    def work() -> int:
        from gpustation.aws.session import make_session
        from gpustation.workstation.status import read_status

        session = make_session(region)
        place = session.client("ec2").meta.region_name
        while True:
            found = read_status(session, stack)
            _remove_expired(session, found)
            if as_json:
                say_json({"region": place, "workstations": [document(one) for one in found]})
            else:
                _show(found, place)
            if not watch:
                return 0 if found else FINDING
            time.sleep(WATCH_SECONDS)

    run("status", work)


def _remove_expired(session: boto3.Session, found: list[Status]) -> None:
    """Remove rules of ``allow-my-ip`` whose time is over, as nothing else does so by itself."""
    from botocore.exceptions import BotoCoreError, ClientError

    from gpustation.aws.own_rules import remove
    from gpustation.aws.session import explain

    for one in found:
        for rule in one.rules:
            if rule.expired(one.now):
                try:
                    remove(session.client("ec2"), rule)
                    warn(f"removed the expired rule of allow-my-ip for {rule}")
                except (ClientError, BotoCoreError) as error:
                    warn(f"the expired rule of allow-my-ip for {rule} remains: {explain(error)}")


def document(one: Status) -> dict[str, Any]:
    """A workstation as JSON data; what is unknown is ``null``."""
    machine, price, report = one.machine, one.price, one.report
    return {
        "stack": one.workstation.stack,
        "name": name_in(one.workstation.stack),
        "stack_status": one.workstation.status,
        "changed": one.workstation.changed,
        "machine": machine
        and {
            "instance_id": machine.instance_id,
            "instance_type": machine.instance_type,
            "state": machine.state,
            "reason": machine.reason,
            "generation": machine.generation or None,
            "address": machine.address or None,
            "availability_zone": machine.zone,
            "image_id": machine.image_id,
            "started": machine.started,
            "lifecycle": "spot" if machine.is_spot else "on-demand",
        },
        "spot_request": _request(one),
        "spot_unknown": one.no_request or None,
        "disks": [vars(disk) for disk in one.disks],
        "steps": [{**vars(step), "seconds": step.seconds(one.now)} for step in one.steps],
        "ssh_rules": [
            {"address": rule.address, "until": rule.until, "expired": rule.expired(one.now)}
            for rule in one.rules
        ],
        "ready": one.workstation.outputs.get("Ready"),
        "set_up": one.set_up
        and {
            "state": one.set_up.state,
            "phase": one.set_up.phase,
            "since": one.set_up.since,
            "seconds": dict(one.set_up.seconds),
            "warnings": dict(one.set_up.warnings),
        },
        "report_unknown": one.no_report or None,
        "verdict": vars(report.verdict) if report and report.verdict else None,
        "last_stop": vars(report.last_stop) if report and report.last_stop else None,
        "keep_awake_until": report.keep_awake_until if report else None,
        "scratch_gib": report.scratch_gib if report else None,
        "daily_stop": one.daily_stop or None,
        "spend_limit": _limit(one),
        "hours": _rounded(one.hours, 3),
        "cost": {
            "usd_per_hour": price.usd_per_hour if price else None,
            "usd_of_this_run": _rounded(one.usd_of_this_run, 4),
            "usd_per_month_stopped": _rounded(one.usd_per_month_stopped, 2),
            "source": price.source if price else None,
            "as_of": price.as_of if price else None,
            "region": price.region if price else None,
        },
    }


def _request(one: Status) -> dict[str, Any] | None:
    request = one.spot_request
    if request is None:
        return None
    return {
        "id": request.request_id,
        "state": request.state,
        "status": request.code,
        "since": request.since,
        "interrupted": one.is_interrupted,
    }


def _limit(one: Status) -> dict[str, Any] | None:
    notice = one.notice
    if notice is None:
        return None
    return {
        "month": str(notice.month),
        "limit_usd": notice.limit_usd,
        "spent_usd": _rounded(notice.spent_at(one.now.timestamp()), 4),
        "as_of": _utc(notice.as_of),
        "stops_at": _utc(notice.stops_at),
        "stopped_at": _utc(notice.stopped_at),
        "reason": notice.reason or None,
    }


def _utc(moment: float | None) -> datetime | None:
    return None if moment is None else datetime.fromtimestamp(moment, timezone.utc)


def _rounded(value: float | None, digits: int) -> float | None:
    return None if value is None else round(value, digits)


def _show(found: list[Status], region: str) -> None:
    from gpustation.console.tables import say_facts, say_note, say_table

    if not found:
        say_note(f"There is no workstation in {region}; --region selects another region.")
    elif len(found) == 1:
        say_facts(_facts(found[0]))
    else:
        columns = ("stack", "state", "type", "address", "hours", "USD of this run")
        say_table(columns, map(_row, found), right=columns[4:])
    if any(one.price for one in found):
        from gpustation.offers.price import BILL_DECIDES, from_catalog

        say_note(f"Prices: {from_catalog('').origin}, without tax and discounts; {BILL_DECIDES}.")


def _row(one: Status) -> tuple[object, ...]:
    machine, usd = one.machine, one.usd_of_this_run
    return (
        one.workstation.stack,
        machine.state if machine else one.workstation.status,
        machine.instance_type if machine else None,
        (machine.address or None) if machine else None,
        None if one.hours is None else f"{one.hours:.1f}",
        None if usd is None else f"{usd:.2f}",
    )


def _facts(one: Status) -> dict[str, object]:
    workstation, machine = one.workstation, one.machine
    facts: dict[str, object] = {
        "stack": workstation.stack,
        "deploy": workstation.status,
        "machine": machine.instance_id if machine else "none",
    }
    if machine:
        facts |= {
            "type": machine.instance_type,
            "state": machine.state,
            "reason": machine.reason,
            "bought": _bought(one),
            "generation": machine.generation,
            "address": machine.address or "none",
            "zone": machine.zone,
            "image": machine.image_id,
            "running": _running(one),
            "disks": ", ".join(f"{disk.gib} GiB {disk.kind}" for disk in one.disks),
            "scratch": _scratch(one),
        }
    facts["port 22"] = ", ".join(str(rule) for rule in one.rules if not rule.expired(one.now))
    for step in one.steps:
        facts[step.name] = f"{step.state}, {step.seconds(one.now):.0f} s  {step.reason}".strip()
    facts |= _set_up(one)
    facts |= _idle_stop(one)
    facts["daily stop"] = one.daily_stop
    facts |= _spend_limit(one)
    facts["ready"] = workstation.outputs.get("Ready")
    return {**facts, **_costs(one)}


def _bought(one: Status) -> str:
    """How the machine is bought, if on the spot market, and what EC2 did with it."""
    if one.machine is None or not one.machine.is_spot:
        return ""
    request = one.spot_request
    if request is None:
        return f"spot; {one.no_request or 'its request does not exist any more'}"
    if one.is_interrupted:
        return (
            f"spot, INTERRUPTED BY EC2 {request.interrupted_since}".rstrip()
            + f" ({request.code}): only EC2 starts it again, when it has the capacity; gpustation "
            "start offers to move it to an on-demand machine"
        )
    return f"spot, request {request}"


def _scratch(one: Status) -> str:
    """The instance store while the machine runs; without a machine that runs there is none."""
    runs = one.machine is not None and one.machine.state == "running"
    size = one.report.scratch_gib if one.report and runs else None
    return f"{size} GiB at /scratch, lost at every stop" if size else ""


def _set_up(one: Status) -> dict[str, object]:
    """The set-up while it runs or after it failed, and its warnings."""
    if one.no_report:
        return {"set-up": one.no_report}
    if one.set_up is None:
        return {}
    facts: dict[str, object] = {}
    if one.set_up.state != "complete":
        took = ", ".join(f"{name} {seconds} s" for name, seconds in one.set_up.seconds.items())
        facts["set-up"] = f"phase {one.set_up.phase} {_ago(one)}" + (
            f"; before it {took}" if took else ""
        )
    for phase, text in one.set_up.warnings.items():
        facts[f"warning of {phase}"] = text
    return facts


def _idle_stop(one: Status) -> dict[str, object]:
    """What the machine's idle stop last reported; it reports only when it changes its mind."""
    report = one.report
    if report is None:
        return {}
    facts: dict[str, object] = {}
    runs = one.machine is not None and one.machine.state == "running"
    if runs and report.verdict:
        facts["idle stop"] = _verdict(report.verdict)
    until = report.keep_awake_until
    if runs and until and until > one.now:
        facts["kept awake"] = f"until {until:%Y-%m-%d %H:%M} UTC"
    if report.last_stop:
        at, why = report.last_stop.at, report.last_stop.reason
        facts["stopped itself"] = f"{at:%Y-%m-%d %H:%M} UTC: {why}"
    return facts


def _spend_limit(one: Status) -> dict[str, object]:
    """What is spent of the limit, and what follows."""
    notice = one.notice
    if notice is None:
        return {"spend limit": one.no_notice} if one.no_notice else {}
    usd = notice.spent_at(one.now.timestamp())
    text = f"{usd:.2f} of {notice.limit_usd:g} USD spent in {notice.month}"
    if notice.reason:
        return {"spend limit": f"THE MACHINE MAY NOT RUN: {notice.reason}"}
    if notice.stops_at is not None:
        text += f"; stops at {_utc(notice.stops_at):%Y-%m-%d %H:%M} UTC if it runs on"
    return {"spend limit": text}


def _verdict(verdict: Verdict) -> str:
    if verdict.state == "failing":
        return (
            "NOTHING DECIDES whether the machine is idle; look at it with: "
            "gpustation ssh -- systemctl status gpustation-idle"
        )
    if verdict.state == "awake":
        since = f"{verdict.decided:%Y-%m-%d %H:%M} UTC"
        return f"awake since {since}; now: gpustation ssh -- gpustation status"
    # Whether that delays a daily stop depends on its patience; the machine itself says so
    hint = "" if verdict.reason.startswith("daily stop") else f"; this delays it: {KEEP_AWAKE}"
    return f"STOPS AT {verdict.stops:%H:%M} UTC: {verdict.reason}{hint}"


def _ago(one: Status) -> str:
    assert one.set_up is not None
    seconds = max((one.now - one.set_up.since).total_seconds(), 0)
    if one.set_up.state == "failed":
        return f"failed, {seconds:.0f} s ago"
    if one.machine is None or one.machine.state != "running":
        return "had begun when the machine stopped"
    return f"running, for {seconds:.0f} s"


def _running(one: Status) -> str:
    if one.hours is None or one.machine is None:
        return ""
    return f"{one.hours:.1f} hours, since {one.machine.started:%Y-%m-%d %H:%M} UTC"


def _costs(one: Status) -> dict[str, object]:
    price = one.price
    if price is None:
        return {}
    hourly = "unknown" if price.usd_per_hour is None else f"{price.usd_per_hour} USD per hour"
    run_so_far = one.usd_of_this_run
    # Without a maximum price, a spot machine never costs more (EC2 API, SpotMarketOptions)
    most = "at most " if one.machine and one.machine.is_spot else ""
    return {
        "price": hourly if price.usd_per_hour is None else most + hourly,
        "this run": None if run_so_far is None else f"{most}{run_so_far:.2f} USD",
        "stopped": f"{one.usd_per_month_stopped:.2f} USD per month for the disks",
    }
