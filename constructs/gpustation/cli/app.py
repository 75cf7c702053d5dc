"""The command line ``gpustation VERB``.

Subcommands import boto3 only when they run, so that ``--help`` is fast.
"""

from __future__ import annotations

import sys

import typer

from gpustation.cli import (
    allow_my_ip,
    bench,
    doctor,
    down,
    image,
    jupyter,
    keep_awake,
    leftovers,
    log,
    plan,
    price,
    quota,
    reboot,
    regions,
    ssh,
    ssh_config,
    ssh_proxy,
    start,
    status,
    stop,
    types,
    up,
    wait,
)
from gpustation.console.interrupts import leave

app = typer.Typer(
    name="gpustation",
    help="GPU workstations for deep learning on AWS: from the first deploy to nothing left.",
    epilog="\b\nThe first time: gpustation doctor, then up, and jupyter once it is ready.\n"
    "At the end of a day: gpustation stop. For good: gpustation down.",
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)
app.command("plan", epilog=plan.EPILOG)(plan.plan)
app.command("up", epilog=up.EPILOG)(up.up)
app.command("status", epilog=status.EPILOG)(status.status)
app.command("log", epilog=log.EPILOG)(log.log)
app.command("wait", epilog=wait.EPILOG)(wait.wait)
app.command("stop", epilog=stop.EPILOG)(stop.stop)
app.command("start", epilog=start.EPILOG)(start.start)
app.command("reboot", epilog=reboot.EPILOG)(reboot.reboot)
app.command("keep-awake", epilog=keep_awake.EPILOG)(keep_awake.keep_awake)
app.command("down", epilog=down.EPILOG)(down.down)
app.command("regions", epilog=regions.EPILOG)(regions.regions)
app.command("types", epilog=types.EPILOG)(types.types)
app.command("price", epilog=price.EPILOG)(price.price)
app.command("leftovers", epilog=leftovers.EPILOG)(leftovers.leftovers)
app.command("doctor", epilog=doctor.EPILOG)(doctor.doctor)
app.command("ssh", epilog=ssh.EPILOG)(ssh.ssh)
app.command("ssh-config", epilog=ssh_config.EPILOG)(ssh_config.ssh_config)
app.command("ssh-proxy", hidden=True, epilog=ssh_proxy.EPILOG)(ssh_proxy.ssh_proxy)
app.command("jupyter", epilog=jupyter.EPILOG)(jupyter.jupyter)
app.command("allow-my-ip", epilog=allow_my_ip.EPILOG)(allow_my_ip.allow_my_ip)
app.add_typer(image.app, name="image")
app.add_typer(quota.app, name="quota")
app.add_typer(bench.app, name="bench")


def main(args: list[str] | None = None) -> int:
    """Run the command line.

    Args:
        args: Arguments. Default: those of the process.

    Returns:
        The exit status.
    """
    try:
        app(args=sys.argv[1:] if args is None else args, prog_name="gpustation")
    except SystemExit as exit_:
        return exit_.code if isinstance(exit_.code, int) else 1
    return 0


def command() -> None:
    """Entry point of the console script."""
    leave(main())
