"""``gpustation start``: starts the stopped machine."""

from __future__ import annotations

from gpustation.cli.ending import run, say_json
from gpustation.cli.options import AsJson, Name, Region, Stack, Yes, epilog
from gpustation.cli.selecting import named, selected
from gpustation.console.errors import CommandError
from gpustation.console.interrupts import say, warn
from gpustation.console.statuses import NO_CAPACITY, TIMED_OUT

EPILOG = epilog("gpustation start", NO_CAPACITY, TIMED_OUT)


def start(
    name: Name = "",
    stack: Stack = "",
    region: Region = "",
    yes: Yes = False,
    as_json: AsJson = False,
) -> None:
    """Start the stopped machine, and wait until it runs and is set up again.

    It has another public address than before.
    """
    stack = named(name, stack)

    def work() -> int:
        from gpustation.aws.calls import ONE_RETRY
        from gpustation.aws.session import make_session
        from gpustation.aws.spend_notice import spent_limit
        from gpustation.cli.ending import confirm
        from gpustation.offers.price import BILL_DECIDES, from_catalog
        from gpustation.workstation import power
        from gpustation.workstation.booting import await_set_up, reported
        from gpustation.workstation.machine import machine_of

        session = make_session(region)
        ec2 = session.client("ec2", config=ONE_RETRY)
        workstation = selected(session.client("cloudformation"), stack)
        machine = machine_of(ec2, workstation)
        machine_id, report = machine.instance_id, warn if as_json else say
        ssm, stopped = session.client("ssm"), machine.state != "running"
        before = reported(ssm, machine) if stopped else None
        if stopped and (why := spent_limit(ssm, workstation.stack)):
            raise CommandError(
                f"{workstation.stack} would be stopped again at once: {why}; raise the setting "
                "monthly_budget_usd, or wait for the next month"
            )
        if stopped:
            price = from_catalog(machine.instance_type)
            costs = f"{price.usd_per_hour} USD per hour" if price.usd_per_hour else "unknown"
            confirm(
                f"Start {workstation.stack} ({machine.instance_type}, {costs}, {price.origin}; "
                f"{BILL_DECIDES})?",
                yes,
            )
        machine = power.start(ec2, machine_id, report)
        await_set_up(ssm, machine, before, report)
        if as_json:
            say_json(
                {
                    "stack": workstation.stack,
                    "instance_id": machine_id,
                    "state": machine.state,
                    "address": machine.address,
                }
            )
        else:
            say(f"{workstation.stack} runs at {machine.address or 'no public address'}")
        return 0

    run("start", work)
