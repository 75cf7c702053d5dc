"""``gpustation wait``: waits for a state of the workstation, for scripts."""

from __future__ import annotations

import enum
from typing import Annotated

import typer

from gpustation.cli.ending import run, say_json
from gpustation.cli.options import AsJson, Name, Region, Stack, epilog
from gpustation.cli.selecting import named, selected
from gpustation.console.interrupts import say, warn
from gpustation.console.statuses import FINDING, TIMED_OUT

EPILOG = epilog("gpustation wait --for ready --timeout 1800", FINDING, TIMED_OUT)


class Goal(str, enum.Enum):
    """A state to wait for."""

    READY = "ready"
    RUNNING = "running"
    STOPPED = "stopped"


def wait(
    goal: Annotated[
        Goal,
        typer.Option(
            "--for",
            help="ready: the deploy is over, the machine runs and passes EC2's status checks.",
        ),
    ] = Goal.READY,
    timeout: Annotated[
        int, typer.Option(min=1, metavar="SECONDS", help="How long to wait at most.")
    ] = 1800,
    name: Name = "",
    stack: Stack = "",
    region: Region = "",
    as_json: AsJson = False,
) -> None:
    """Wait until the workstation is in a state. Changes nothing."""
    stack = named(name, stack)

    def work() -> int:
        from gpustation.aws.session import make_session
        from gpustation.workstation.waiting import await_goal

        session = make_session(region)
        cloudformation = session.client("cloudformation")
        workstation = selected(cloudformation, stack)
        report = warn if as_json else say
        machine = await_goal(
            cloudformation, session.client("ec2"), workstation.stack, goal.value, timeout, report
        )
        if as_json:
            facts = {"instance_id": machine.instance_id, "state": machine.state}
            say_json({"stack": workstation.stack, "goal": goal.value, **facts})
        return 0

    run("wait", work)
