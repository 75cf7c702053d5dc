"""``gpustation VERB``: the verbs, and how each of them begins and ends.

Help is plain and nothing of AWS or of CDK is imported for it: a verb's file imports what it needs
where it works.
"""

from __future__ import annotations

import sys

import typer

from gpustation.cli import image, leftovers, plan
from gpustation.console.interrupts import leave

app = typer.Typer(
    name="gpustation",
    help="GPU workstations for deep learning on AWS: what a deploy would do, images, leftovers.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)
app.command("plan", epilog=plan.STATUSES)(plan.plan)
app.command("leftovers", epilog=leftovers.STATUSES)(leftovers.leftovers)
app.add_typer(image.app, name="image")


def main(words: list[str] | None = None) -> int:
    """Run the command line; returns the exit status."""
    try:
        app(args=sys.argv[1:] if words is None else words, prog_name="gpustation")
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else 1
    return 0


def command() -> None:
    """The console script."""
    leave(main())
