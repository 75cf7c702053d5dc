"""The command: ``python -m gpustation.leftovers``."""

from __future__ import annotations

import argparse
import io
import sys

from botocore.exceptions import BotoCoreError
from rich.console import Console

from gpustation.aws.session import explain
from gpustation.console.interrupts import end, leave, listening, say, warn
from gpustation.leftovers.find import find_leftovers
from gpustation.leftovers.ours import STACK_NAMES
from gpustation.leftovers.report import exit_status, report, visible
from gpustation.leftovers.result import Result


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m gpustation.leftovers",
        description="Lists what is left in the account of workstations and images whose stacks "
        "are gone, with its cost and the command that removes it. Changes nothing.",
        epilog="Exit status: 0 nothing is left, 1 something is, 2 wrong usage, 3 could not be "
        "checked (a permission is missing; docs/leftovers.md has the policy).",
    )
    parser.add_argument("--region", default="", help="region (default: as the CDK CLI finds it)")
    parser.add_argument(
        "--stack",
        action="append",
        default=[],
        metavar="NAME",
        help=f"also a stack of ours, beside {', '.join(STACK_NAMES)} "
        "and those of the setting name; may be repeated",
    )
    return parser


def _show(found: Result) -> None:
    """In one piece, and lost where nobody reads it: the exit status is the answer then too."""
    encoding = sys.stdout.encoding or "ascii"
    written = io.BytesIO()
    text = io.TextIOWrapper(written, encoding=encoding, errors="replace", write_through=True)
    report(found, Console(file=text, highlight=False, force_terminal=sys.stdout.isatty()))
    say(written.getvalue().decode(encoding).rstrip("\n"))


def main(words: list[str] | None = None) -> int:
    """Run the command line; returns the exit status."""
    args = _parser().parse_args(words)
    with listening():
        try:
            found = find_leftovers(region=args.region, stacks=args.stack)
            _show(found)
        except KeyboardInterrupt as interrupt:
            return end("leftovers", interrupt)
        except BotoCoreError as error:
            warn(f"leftovers: {visible(explain(error))}")
            return 3
        except ValueError as error:
            warn(f"leftovers: {visible(str(error))}")
            return 3
    return exit_status(found)


if __name__ == "__main__":
    leave(main())
