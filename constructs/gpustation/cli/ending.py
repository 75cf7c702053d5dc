"""Exit status, error message and JSON output, common to all subcommands."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from datetime import datetime
from typing import Any, NoReturn

import typer

from gpustation.console.errors import CommandError
from gpustation.console.interrupts import end, listening, say, warn
from gpustation.console.statuses import NO_ACCESS

SCHEMA = 1
"""Version of the JSON documents; it changes when a member is removed or changes its meaning."""


def run(verb: str, work: Callable[[], int]) -> NoReturn:
    """Run a subcommand and exit with its status.

    Args:
        verb: Name of the subcommand, the prefix of error messages.
        work: Does the work; returns the exit status.

    Raises:
        typer.Exit: Always.
    """
    raise typer.Exit(_status(verb, work))


def _status(verb: str, work: Callable[[], int]) -> int:
    with listening():
        try:
            # Imported here as --help does not need it, and inside `try` to handle signals
            from botocore.exceptions import BotoCoreError, ClientError

            from gpustation.aws.session import explain

            try:
                return work()
            except (ClientError, BotoCoreError) as error:
                raise CommandError(explain(error), NO_ACCESS) from error
        except KeyboardInterrupt as interrupt:
            return end(verb, interrupt)
        except CommandError as error:
            warn(f"{verb}: {error}")
            return error.status


def say_json(document: dict[str, Any]) -> None:
    """Print a JSON document; times are in ISO 8601."""
    say(json.dumps({"schema": SCHEMA, **document}, indent=2, default=_plain))


def _plain(value: Any) -> str:
    return value.isoformat() if isinstance(value, datetime) else str(value)


def confirm(question: str, yes: bool) -> None:
    """Ask for confirmation on the terminal, unless ``yes``; on standard error, as for any message.

    Raises:
        CommandError: The answer is no, or standard input is not a terminal.
    """
    if not (yes or agreed(question)):
        raise CommandError("canceled, nothing was changed")


def agreed(question: str) -> bool:
    """The answer to a question on the terminal; on standard error, as for any message.

    Raises:
        CommandError: Standard input is not a terminal.
    """
    if not sys.stdin.isatty():
        raise CommandError("standard input is not a terminal; pass --yes to confirm")
    sys.stderr.write(f"{question} [y/N] ")
    sys.stderr.flush()
    return sys.stdin.readline().strip().lower() in ("y", "yes")
