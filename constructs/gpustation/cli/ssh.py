"""``gpustation ssh``: a shell or a command on the machine."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from gpustation.cli.ending import confirm, run
from gpustation.cli.options import Name, Region, Stack, Yes, epilog
from gpustation.cli.selecting import named, selected
from gpustation.console.errors import CommandError
from gpustation.console.interrupts import warn
from gpustation.console.statuses import NO_CAPACITY, TIMED_OUT

if TYPE_CHECKING:
    import boto3

    from gpustation.access.connection import Confirm
    from gpustation.workstation.find import Workstation
    from gpustation.workstation.machine import Machine

EPILOG = (
    epilog("gpustation ssh -- nvidia-smi", NO_CAPACITY, TIMED_OUT)
    + "\n 255  ssh did not reach the machine; the reason is on standard error"
    + "\n      otherwise the status of the remote command or shell"
)

Start = Annotated[bool, typer.Option("--start", help="Start the machine first if it is stopped.")]


def ssh(
    command: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="-- COMMAND",
            help="Command on the machine. Its words are joined by blanks, as ssh does.",
            show_default=False,
        ),
    ] = None,
    start: Start = False,
    new_host_keys: Annotated[
        bool,
        typer.Option(
            "--new-host-keys",
            help="Accept the host keys that the machine reports now, after showing them.",
        ),
    ] = False,
    name: Name = "",
    stack: Stack = "",
    region: Region = "",
    yes: Yes = False,
) -> None:
    """Open a shell on the machine, or run a command there.

    By its address where port 22 is open to you, else by Session Manager.
    """
    stack = named(name, stack)

    def work() -> int:
        from gpustation.access.connection import connect
        from gpustation.access.shell import SSH_FAILED, SshError
        from gpustation.access.shell import run as run_ssh
        from gpustation.aws.session import make_session

        session = make_session(region)
        workstation = selected(session.client("cloudformation"), stack)
        machine = running_machine(session, workstation, start, yes)
        accept = asking(yes) if new_host_keys else refusing
        connection = connect(session, workstation.stack, machine, note=warn, confirm=accept)
        warn(f"{machine.instance_id} by {connection.route.value}")
        try:
            return run_ssh(connection, command or ())
        except SshError as error:
            raise CommandError(str(error), SSH_FAILED) from error

    run("ssh", work)


def running_machine(
    session: boto3.Session, workstation: Workstation, start: bool, yes: bool
) -> Machine:
    """The machine of a workstation, which runs; with ``start`` it is started first.

    Raises:
        CommandError: There is none, or it does not run, or it did not start.
    """
    from gpustation.access.connection import await_reachable
    from gpustation.aws.calls import ONE_RETRY
    from gpustation.offers.price import BILL_DECIDES, from_catalog
    from gpustation.workstation import power
    from gpustation.workstation.machine import machine_of

    ec2 = session.client("ec2", config=ONE_RETRY)
    machine = machine_of(ec2, workstation)
    if machine.state == "running":
        return machine
    if not start:
        hint = "gpustation start, or --start, starts it"
        raise CommandError(
            f"{workstation.stack} ({machine.instance_id}) is {machine.state} and cannot be "
            f"reached; {hint}"
        )
    power.require_no_update(workstation, machine)
    if machine.state != "pending":
        price = from_catalog(machine.instance_type)
        costs = f"{price.usd_per_hour} USD per hour" if price.usd_per_hour else "an unknown price"
        confirm(
            f"Start {workstation.stack} ({machine.instance_type}, {costs}, {price.origin}; "
            f"{BILL_DECIDES})?",
            yes,
        )
    machine = power.start(ec2, machine.instance_id, warn)
    await_reachable(session, machine, warn)
    return machine


def refusing(_change: object) -> bool:
    """Changed host keys are refused."""
    return False


def asking(yes: bool) -> Confirm:
    """Changed host keys are shown, and accepted after "yes"."""

    def accept(change: object) -> bool:
        from gpustation.access.known_hosts import HostKeysChangedError

        assert isinstance(change, HostKeysChangedError)
        for what, keys in (("pinned", change.pinned), ("reported now", change.reported)):
            for key in keys:
                warn(f"{what:12}  {key.fingerprint}")
        confirm("Accept the reported host keys?", yes)
        return True

    return accept
