"""``gpustation ssh-proxy``: ssh's ProxyCommand of ``ssh-config``; not for people."""

from __future__ import annotations

import os
import sys
from typing import Annotated

import typer

from gpustation.cli.ending import run
from gpustation.cli.options import Region, epilog
from gpustation.console.interrupts import warn
from gpustation.console.statuses import FINDING

EPILOG = epilog("gpustation ssh-proxy --stack GpuWorkstation --region us-east-1", FINDING)


def ssh_proxy(
    stack: Annotated[str, typer.Option(metavar="STACK", help="Full name of the stack.")],
    region: Region = "",
) -> None:
    """Push the key, and connect standard input and output to the machine. Asks nothing."""

    def work() -> int:
        from gpustation.access.connection import connect, session_command
        from gpustation.access.programs import require_session_manager
        from gpustation.access.relay import relay
        from gpustation.access.route import Route
        from gpustation.aws.session import make_session
        from gpustation.catalog.ports import SSH_PORT
        from gpustation.console.errors import CommandError
        from gpustation.workstation.find import find_one
        from gpustation.workstation.machine import machine_of

        session = make_session(region)
        workstation = find_one(session.client("cloudformation"), stack)
        machine = machine_of(session.client("ec2"), workstation)
        if machine.state != "running":
            raise CommandError(f"{stack} is {machine.state}; `gpustation start` starts it")
        connection = connect(session, stack, machine, note=warn)
        connection.push()
        if connection.route is Route.DIRECT:
            try:
                relay(machine.address, SSH_PORT)
            except OSError as error:
                raise CommandError(f"{machine.address}: {error.strerror or error}") from error
            return 0
        place = session.client("ec2").meta.region_name
        command = session_command(require_session_manager(), place, machine.instance_id)
        sys.stdout.flush()
        try:
            os.execvp(command[0], command)
        except OSError as error:
            raise CommandError(f"{command[0]}: {error.strerror}", FINDING) from error

    run("ssh-proxy", work)
