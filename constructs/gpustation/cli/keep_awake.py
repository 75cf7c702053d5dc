"""``gpustation keep-awake``: asks the machine not to stop itself for some hours."""

from __future__ import annotations

from typing import Annotated

import typer

from gpustation.cli.ending import run, say_json
from gpustation.cli.options import AsJson, Name, Region, Stack, duration, epilog
from gpustation.cli.selecting import named, selected
from gpustation.console.interrupts import say, warn
from gpustation.console.statuses import TIMED_OUT

EPILOG = epilog("gpustation keep-awake 2h", TIMED_OUT)
SECONDS = 60.0
"""How long the machine may take to note the request."""


def time_or_off(text: str) -> int:
    """Minutes in a text such as ``2h``; 0 for ``off``."""
    return 0 if text == "off" else duration(text)


def keep_awake(
    minutes: Annotated[
        int,
        typer.Argument(
            parser=time_or_off,
            metavar="TIME",
            help="How long from now: hours or minutes, to 24h; `off` takes the request back.",
        ),
    ],
    name: Name = "",
    stack: Stack = "",
    region: Region = "",
    as_json: AsJson = False,
) -> None:
    """Ask the machine, by ssh, not to stop itself for some hours.

    It prevents the idle stop and delays the daily stop; the machine costs its price all the time.
    """
    stack = named(name, stack)

    def work() -> int:
        from gpustation.access.connection import connect
        from gpustation.access.shell import executor
        from gpustation.aws.session import make_session
        from gpustation.cli.ssh import running_machine
        from gpustation.workstation.on_machine import ask_to_stay_awake

        session = make_session(region)
        workstation = selected(session.client("cloudformation"), stack)
        machine = running_machine(session, workstation, start=False, yes=False)
        connection = connect(session, workstation.stack, machine, note=warn)
        request = ask_to_stay_awake(executor(connection, SECONDS), minutes)
        if as_json:
            facts = {"stack": workstation.stack, "instance_id": machine.instance_id}
            answer = {"until": request.until, "daily_stop_at": request.daily_stop}
            say_json({**facts, "idle_stop": request.idle_stop, **answer})
        elif not request.idle_stop and request.until is None:
            say("idle stop is off, so the machine does not stop by itself when nothing moves on it")
        elif request.until is None:
            say("your request is taken back; the machine stops when nothing moves on it")
        else:
            words = f"idleness does not stop the machine before {request.until:%Y-%m-%d %H:%M} UTC"
            if request.daily_stop:
                at = f"{request.daily_stop:%Y-%m-%d %H:%M} UTC"
                words += f", but its daily stop does, at {at} at the latest"
            say(words)
        return 0

    run("keep-awake", work)
