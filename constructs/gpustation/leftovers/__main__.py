"""The command: ``python -m gpustation.leftovers``."""

from __future__ import annotations

import argparse
import sys

from botocore.exceptions import BotoCoreError

from gpustation.aws_session import explain
from gpustation.interrupts import end, listening, warn
from gpustation.leftovers.find import find_leftovers
from gpustation.leftovers.ours import STACK_NAMES
from gpustation.leftovers.report import exit_status, report, visible


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


def main(words: list[str] | None = None) -> int:
    """Run the command line; returns the exit status."""
    args = _parser().parse_args(words)
    with listening():
        try:
            found = find_leftovers(region=args.region, stacks=args.stack)
            report(found)
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
    sys.exit(main())
