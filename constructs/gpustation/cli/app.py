"""The command line ``gpustation VERB``.

Subcommands import boto3 only when they run, so that ``--help`` is fast.
"""

from __future__ import annotations

import sys
from importlib import import_module

import typer

from gpustation.console.interrupts import leave

VERBS = (
    *("plan", "up", "status", "log", "wait", "stop", "start", "reboot", "keep-awake", "down"),
    *("regions", "types", "price", "cost", "leftovers", "doctor"),
    *("ssh", "ssh-config", "ssh-proxy", "jupyter", "allow-my-ip"),
)
"""In the order of the help text; each is a function in a module of its name."""
GROUPS = ("image", "quota", "bench")
"""Verbs with subcommands; each module has a ``typer.Typer``."""
HIDDEN = ("ssh-proxy",)


def make_app(verb: str = "") -> typer.Typer:
    """The command line.

    Args:
        verb: The only verb, whose help is shown in half of the time, as typer reads the signatures
            of all it knows. Default, and for an unknown verb: all of them.
    """
    app = typer.Typer(
        name="gpustation",
        help="GPU workstations for deep learning on AWS: from the first deploy to nothing left.",
        epilog="\b\nThe first time: gpustation doctor, then up, and jupyter once it is ready.\n"
        "At the end of a day: gpustation stop. For good: gpustation down.",
        no_args_is_help=True,
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
    )
    # Without it typer would make a command of a single verb
    app.callback()(lambda: None)
    every = (*VERBS, *GROUPS)
    for name in (verb,) if verb in every else every:
        plain = name.replace("-", "_")
        module = import_module(f"gpustation.cli.{plain}")
        if name in GROUPS:
            app.add_typer(module.app, name=name)
        else:
            register = app.command(name, hidden=name in HIDDEN, epilog=module.EPILOG)
            register(getattr(module, plain))
    return app


def main(args: list[str] | None = None) -> int:
    """Run the command line.

    Args:
        args: Arguments. Default: those of the process.

    Returns:
        The exit status.
    """
    given = sys.argv[1:] if args is None else args
    try:
        make_app(given[0] if given else "")(args=given, prog_name="gpustation")
    except SystemExit as exit_:
        return exit_.code if isinstance(exit_.code, int) else 1
    return 0


def command() -> None:
    """Entry point of the console script."""
    leave(main())
