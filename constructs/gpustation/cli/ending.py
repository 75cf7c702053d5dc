"""How every verb ends: its result, one line on standard error, or a signal."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from typing import Any, NoReturn

import typer

from gpustation.console.errors import CommandError
from gpustation.console.interrupts import end, listening, say, warn

SCHEMA = 1
"""Version of the JSON documents; another one where a member goes or means something else."""
NO_ACCESS = 3
"""Exit status where AWS could not be asked."""
NO_ACCESS_MEANS = "no credentials, a missing permission, or no network"


def run(verb: str, work: Callable[[], int]) -> NoReturn:
    """Do the work of a verb and end with its status.

    Args:
        verb: Its name, which begins the line of an error.
        work: Returns the exit status.

    Raises:
        typer.Exit: Always.
    """
    raise typer.Exit(_status(verb, work))


def _status(verb: str, work: Callable[[], int]) -> int:
    with listening():
        try:
            # Here, for no --help needs it; a signal meanwhile ends it as any other time
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
    """Print one document."""
    say(json.dumps({"schema": SCHEMA, **document}, indent=2, default=str))


def confirm(question: str, yes: bool) -> None:
    """Ask, unless the answer came along.

    Raises:
        CommandError: The answer is no, or there is nobody to ask.
    """
    if yes:
        return
    if not sys.stdin.isatty():
        raise CommandError("there is no terminal to ask in; pass --yes")
    try:
        answer = input(f"{question} [y/N] ")
    except EOFError:
        answer = ""
    if answer.strip().lower() not in ("y", "yes"):
        raise CommandError("nothing was done")
