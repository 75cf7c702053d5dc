"""``gpustation log``: events of the stack's last deploy, or the logs of the machine's set-up."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from gpustation.cli.ending import run, say_json
from gpustation.cli.options import AsJson, Name, Region, Stack, epilog
from gpustation.cli.selecting import named, selected
from gpustation.console.interrupts import say, warn
from gpustation.console.statuses import FINDING, TIMED_OUT

if TYPE_CHECKING:
    import boto3

    from gpustation.workstation.find import Workstation

EPILOG = epilog("gpustation log --machine", FINDING, TIMED_OUT)
SECONDS = 60.0
"""How long the machine may take to print its logs."""
LINES, ALL_LINES = 20, 1_000_000


def log(
    failures: Annotated[
        bool, typer.Option("--failures", help="Only events of what failed.")
    ] = False,
    machine: Annotated[
        bool, typer.Option("--machine", help="The logs of the machine's set-up, by ssh, instead.")
    ] = False,
    phase: Annotated[
        str, typer.Option(metavar="PHASE", help="With --machine: the only phase, with all lines.")
    ] = "",
    lines: Annotated[
        int | None,
        typer.Option(min=1, metavar="N", help=f"With --machine: last lines. Default: {LINES}."),
    ] = None,
    name: Name = "",
    stack: Stack = "",
    region: Region = "",
    as_json: AsJson = False,
) -> None:
    """Show the events of the last deploy, or the logs of the machine's set-up.

    Exit status 1: the deploy failed.
    """
    stack = named(name, stack)
    if failures and machine:
        raise typer.BadParameter("--failures and --machine are alternatives; pass one of them")
    if (phase or lines) and not machine:
        raise typer.BadParameter("--phase and --lines are about the machine; pass --machine too")

    def work() -> int:
        from gpustation.aws.session import make_session

        session = make_session(region)
        workstation = selected(session.client("cloudformation"), stack)
        if machine:
            wanted = lines or (ALL_LINES if phase else LINES)
            _show_set_up(session, workstation, phase, wanted, as_json)
            return 0
        return _show_events(session, workstation, failures, as_json)

    run("log", work)


def _show_set_up(
    session: boto3.Session, workstation: Workstation, phase: str, lines: int, as_json: bool
) -> None:
    from gpustation.access.connection import connect
    from gpustation.access.shell import executor
    from gpustation.cli.ssh import running_machine
    from gpustation.console.shown_text import visible
    from gpustation.workstation.on_machine import read_logs

    found = running_machine(session, workstation, start=False, yes=False)
    connection = connect(session, workstation.stack, found, note=warn)
    logs = read_logs(executor(connection, SECONDS), lines, phase)
    if as_json:
        phases = [{"phase": name, "lines": text} for name, text in logs.items()]
        facts = {"stack": workstation.stack, "instance_id": found.instance_id}
        say_json({**facts, "phases": phases})
        return
    for name, text in logs.items():
        if len(logs) > 1:
            say(f"==> {name}")
        for line in text:
            say(visible(line))


def _show_events(
    session: boto3.Session, workstation: Workstation, failures: bool, as_json: bool
) -> int:
    from gpustation.aws.stack_events import operation_events
    from gpustation.console.shown_text import one_line
    from gpustation.console.tables import say_note, say_table
    from gpustation.deploy.steps import failure

    events = operation_events(session.client("cloudformation"), workstation.stack)
    begin = events[0]["Timestamp"] if events else None
    rows = [
        {
            "seconds": (event["Timestamp"] - begin).total_seconds() if begin else 0.0,
            "status": event.get("ResourceStatus", ""),
            "resource": event.get("LogicalResourceId", ""),
            "type": event.get("ResourceType", ""),
            "reason": one_line(event.get("ResourceStatusReason", "")) or None,
        }
        for event in events
        if not failures or event.get("ResourceStatus", "").endswith("FAILED")
    ]
    why = failure(events)
    if as_json:
        facts = {"stack": workstation.stack, "status": workstation.status, "failure": why}
        say_json({**facts, "begun": begin, "events": rows})
    else:
        columns = ("seconds", "status", "resource", "reason")
        say_table(
            columns,
            [(f"{row['seconds']:.0f}", *(row[name] for name in columns[1:])) for row in rows],
            right=columns[:1],
        )
        say_note(f"{workstation.stack}: {workstation.status}")
        if why:
            say_note(f"It failed because of {one_line(why)}")
    return FINDING if why else 0
