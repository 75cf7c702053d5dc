"""``gpustation reboot``: reboots the machine."""

from __future__ import annotations

from gpustation.cli.ending import run, say_json
from gpustation.cli.options import AsJson, Name, Region, Stack, Yes, epilog
from gpustation.cli.selecting import named, selected
from gpustation.console.interrupts import say, warn
from gpustation.console.statuses import TIMED_OUT

EPILOG = epilog("gpustation reboot", TIMED_OUT)


def reboot(
    name: Name = "",
    stack: Stack = "",
    region: Region = "",
    yes: Yes = False,
    as_json: AsJson = False,
) -> None:
    """Reboot the running machine, and wait until it is set up again.

    Disk and address are kept; running programs end.
    """
    stack = named(name, stack)

    def work() -> int:
        from gpustation.aws.session import make_session
        from gpustation.cli.ending import confirm
        from gpustation.workstation import power
        from gpustation.workstation.booting import await_set_up, reported
        from gpustation.workstation.machine import machine_of

        session = make_session(region)
        workstation = selected(session.client("cloudformation"), stack)
        ec2, ssm = session.client("ec2"), session.client("ssm")
        machine = machine_of(ec2, workstation)
        machine_id, report = machine.instance_id, warn if as_json else say
        confirm(f"Reboot {workstation.stack} ({machine_id})? Running programs end.", yes)
        before = reported(ssm, machine)
        machine = power.reboot(ec2, machine_id, report)
        await_set_up(ssm, machine, before, report)
        if as_json:
            say_json(
                {"stack": workstation.stack, "instance_id": machine_id, "state": machine.state}
            )
        return 0

    run("reboot", work)
