"""``gpustation start``: starts the stopped machine, or moves it where its zone is full."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gpustation.cli.ending import run, say_json
from gpustation.cli.options import AsJson, Name, Region, Stack, Yes, duration, epilog
from gpustation.cli.selecting import named, selected
from gpustation.console.errors import CommandError
from gpustation.console.interrupts import say, warn
from gpustation.console.statuses import FINDING, NO_CAPACITY, TIMED_OUT

if TYPE_CHECKING:
    import boto3

    from gpustation.workstation.find import Workstation
    from gpustation.workstation.machine import Machine

EPILOG = epilog("gpustation start --wait 2h", FINDING, NO_CAPACITY, TIMED_OUT)


def start(
    name: Name = "",
    stack: Stack = "",
    wait: Annotated[
        int | None,
        typer.Option(
            parser=duration,
            metavar="TIME",
            help="Keep trying while EC2 has no room: hours or minutes, to 24h.",
        ),
    ] = None,
    move: Annotated[
        bool,
        typer.Option(
            "--move",
            help="If it does not start, move its disk to a zone with room. --yes alone does not.",
        ),
    ] = False,
    region: Region = "",
    yes: Yes = False,
    as_json: AsJson = False,
) -> None:
    """Start the stopped machine, and wait until it runs and is set up again.

    It has another public address than before. If its zone has no room, the other zones are asked,
    and it can be moved to one of them with its disk: by a deploy from this folder.
    """
    stack = named(name, stack)

    def work() -> int:
        from gpustation.aws.session import make_session
        from gpustation.cli.start_elsewhere import Request, elsewhere
        from gpustation.workstation.machine import machine_of
        from gpustation.workstation.refusal import NotStartedError

        session = make_session(region)
        workstation = selected(session.client("cloudformation"), stack)
        machine = machine_of(session.client("ec2"), workstation)
        report = warn if as_json else say
        moved: dict[str, str] | None = None
        try:
            machine = _start(session, workstation, machine, wait, yes=yes, report=report)
        except NotStartedError as refusal:
            request = Request(move=move, yes=yes, as_json=as_json)
            workstation, moved = elsewhere(session, workstation, refusal, request)
            machine = machine_of(session.client("ec2"), workstation)
        if as_json:
            say_json(_document(workstation, machine, moved))
        else:
            say(f"{workstation.stack} runs at {machine.address or 'no public address'}")
        return 0

    run("start", work)


def _document(
    workstation: Workstation, machine: Machine, moved: dict[str, str] | None
) -> dict[str, Any]:
    return {
        "stack": workstation.stack,
        "instance_id": machine.instance_id,
        "state": machine.state,
        "address": machine.address,
        "availability_zone": machine.zone,
        "moved": moved,
    }


def _start(
    session: boto3.Session,
    workstation: Workstation,
    machine: Machine,
    wait: int | None,
    *,
    yes: bool,
    report: Any,
) -> Machine:
    """Start the machine, after asking; with ``wait`` until it succeeds.

    Raises:
        NotStartedError: EC2 does not start it now.
        CommandError: It was not confirmed, must not run, or another error.
    """
    from gpustation.aws.calls import ONE_RETRY
    from gpustation.move.settings import take_back_unfinished
    from gpustation.workstation import power
    from gpustation.workstation.booting import await_set_up, reported
    from gpustation.workstation.patience import start_patiently

    power.require_no_update(workstation, machine)
    ssm, stopped = session.client("ssm"), machine.state != "running"
    before = reported(ssm, machine) if stopped else None
    if stopped:
        _require_allowed(session, workstation)
        _ask(workstation, machine, yes)
    if not workstation.busy:
        done = take_back_unfinished(session, workstation, machine, Path.cwd())
        if done:
            report(done)
    ec2 = session.client("ec2", config=ONE_RETRY)

    def attempt() -> Machine:
        return power.start(ec2, machine.instance_id, report)

    started = start_patiently(attempt, wait, report) if wait else attempt()
    await_set_up(ssm, started, before, report)
    if stopped:
        _name_copies(session, started)
    return started


def _require_allowed(session: boto3.Session, workstation: Workstation) -> None:
    """Refuse to start a machine that its spend limit would stop again."""
    from gpustation.aws.spend_notice import spent_limit

    if why := spent_limit(session.client("ssm"), workstation.stack):
        raise CommandError(
            f"{workstation.stack} would be stopped again at once: {why}; raise the setting "
            "monthly_budget_usd, or wait for the next month"
        )


def _ask(workstation: Workstation, machine: Machine, yes: bool) -> None:
    from gpustation.cli.ending import confirm
    from gpustation.offers.price import BILL_DECIDES, from_catalog

    price = from_catalog(machine.instance_type)
    costs = f"{price.usd_per_hour} USD per hour" if price.usd_per_hour else "unknown"
    if machine.is_spot:
        costs = f"spot, at most {costs}"
    confirm(
        f"Start {workstation.stack} ({machine.instance_type}, {costs}, {price.origin}; "
        f"{BILL_DECIDES})?",
        yes,
    )


def _name_copies(session: boto3.Session, machine: Machine) -> None:
    """Name the images that moves of this machine made and did not use: they are billed."""
    from botocore.exceptions import BotoCoreError, ClientError

    from gpustation.move.copies import find_copies
    from gpustation.saved_image.remove import UNDO

    try:
        copies = find_copies(session.client("ec2"), machine)
    except (ClientError, BotoCoreError):
        return  # whoever may not read images has made none
    for copy in copies:
        warn(
            f"{copy.image_id} was made to move {machine.instance_id}, is older than its disk now, "
            f"and is billed; {UNDO} {copy.image_id} deletes it"
        )
