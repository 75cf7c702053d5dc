"""``gpustation stop``: stops the machine; its disk is kept."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gpustation.cli.ending import run, say_json
from gpustation.cli.options import AsJson, Name, Region, Stack, Yes, epilog
from gpustation.cli.selecting import named, selected
from gpustation.console.interrupts import say, warn
from gpustation.console.statuses import TIMED_OUT

if TYPE_CHECKING:
    from mypy_boto3_ec2 import EC2Client

    from gpustation.workstation.machine import Machine

EPILOG = epilog("gpustation stop", TIMED_OUT)


def stop(
    name: Name = "",
    stack: Stack = "",
    region: Region = "",
    yes: Yes = False,
    as_json: AsJson = False,
) -> None:
    """Stop the machine, and wait until it is stopped.

    Running programs end. The disk is kept, and billed; the machine and its address are not. What is
    on /scratch is lost.
    """
    stack = named(name, stack)

    def work() -> int:
        from gpustation.aws.session import make_session
        from gpustation.cli.ending import confirm
        from gpustation.workstation import power
        from gpustation.workstation.machine import machine_of

        session = make_session(region)
        workstation = selected(session.client("cloudformation"), stack)
        ec2 = session.client("ec2")
        machine_id = machine_of(ec2, workstation).instance_id
        confirm(
            f"Stop {workstation.stack} ({machine_id})? Running programs end, and what is on "
            "/scratch is lost.",
            yes,
        )
        machine = power.stop(ec2, machine_id, warn if as_json else say)
        if as_json:
            say_json(
                {"stack": workstation.stack, "instance_id": machine_id, "state": machine.state}
            )
        else:
            say(f"{workstation.stack} is stopped; {_next(ec2, machine)}")
        return 0

    run("stop", work)


def _next(ec2: EC2Client, machine: Machine) -> str:
    """What a stopped machine costs, and who starts it again."""
    from gpustation.aws.calls import UnknownError
    from gpustation.catalog.spot import Standing
    from gpustation.workstation.spot_state import read_request

    usual = "only its disk costs. Next: gpustation start"
    if not machine.is_spot:
        return usual
    try:
        request = read_request(ec2, machine)
    except UnknownError:
        return usual
    if request is None or request.standing is not Standing.INTERRUPTED:
        return usual
    return (
        f"EC2 interrupted it {request.interrupted_since}".rstrip()
        + " and starts it again when it has the capacity; from then on it costs its price. Nothing "
        "but gpustation start --move, to an on-demand machine, or gpustation down prevents that"
    )
