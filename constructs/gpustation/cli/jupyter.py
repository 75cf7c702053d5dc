"""``gpustation jupyter``: a tunnel to Jupyter, and a browser at its end."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from gpustation.cli.ending import run
from gpustation.cli.options import Name, Region, Stack, Yes, epilog
from gpustation.cli.selecting import named, selected
from gpustation.cli.ssh import Start, running_machine
from gpustation.console.errors import CommandError
from gpustation.console.interrupts import say, status_of, warn
from gpustation.console.statuses import NO_CAPACITY, TIMED_OUT

if TYPE_CHECKING:
    from gpustation.access.connection import Connection
    from gpustation.access.tunnel import Tunnel

CTRL_C = 130
"""Exit status after Ctrl-C, the usual end of a tunnel, for which this verb exits with 0."""
EPILOG = epilog("gpustation jupyter --start", NO_CAPACITY, TIMED_OUT)


def jupyter(
    browser: Annotated[
        bool,
        typer.Option("--browser/--no-browser", help="Open the address in a browser."),
    ] = True,
    start: Start = False,
    name: Name = "",
    stack: Stack = "",
    region: Region = "",
    yes: Yes = False,
) -> None:
    """Open a tunnel to Jupyter, and its address in a browser, until Ctrl-C.

    After a lost connection or a reboot the tunnel is opened again. The local port is 8889, or the
    next free one.
    """
    stack = named(name, stack)

    def work() -> int:
        from gpustation.access import tunnel
        from gpustation.access.connection import connect
        from gpustation.aws.session import make_session
        from gpustation.workstation.machine import machine_of

        session = make_session(region)
        workstation = selected(session.client("cloudformation"), stack)
        running_machine(session, workstation, start, yes)
        routes: list[str] = []
        shown: list[str] = []

        def connection() -> Connection:
            machine = machine_of(session.client("ec2"), workstation)
            if machine.state == "pending":
                raise tunnel.TunnelError(f"{machine.instance_id} is starting")
            if machine.state != "running":
                raise CommandError(f"{machine.instance_id} is {machine.state}; the tunnel ends")
            made = connect(session, workstation.stack, machine, note=warn)
            if made.route.value not in routes[-1:]:
                warn(f"{machine.instance_id} by {made.route.value}")
                routes.append(made.route.value)
            return made

        def ready(opened: Tunnel) -> None:
            shown.append(opened.url)
            say(opened.url)
            warn("Ctrl-C closes the tunnel; the machine runs on")
            if browser:
                open_browser(opened.url)

        try:
            tunnel.keep(connection, ready, warn)
        except KeyboardInterrupt as interrupt:
            if not shown or status_of(interrupt) != CTRL_C:
                raise
            warn("the tunnel is closed")
        return 0

    run("jupyter", work)


def open_browser(url: str) -> None:
    """Open an address, if this computer has a browser."""
    import webbrowser

    try:
        found = webbrowser.open(url)
    except webbrowser.Error:
        found = False
    if not found:
        warn("no browser was found; open the address above in one")
