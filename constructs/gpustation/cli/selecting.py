"""The workstation that a subcommand is about: by option, the only one, or by asking."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import typer

from gpustation.catalog.names import WORKSTATION, stack_name
from gpustation.console.errors import CommandError
from gpustation.console.interrupts import warn
from gpustation.console.statuses import USAGE

if TYPE_CHECKING:
    from mypy_boto3_cloudformation import CloudFormationClient

    from gpustation.workstation.find import Workstation


def named(name: str, stack: str) -> str:
    """Name of the stack that ``--name`` or ``--stack`` selects; empty if neither is given.

    Raises:
        typer.BadParameter: Both options were given.
    """
    if name and stack:
        raise typer.BadParameter("--name and --stack are alternatives; pass one of them")
    return stack or (stack_name(WORKSTATION, name) if name else "")


def selected(cloudformation: CloudFormationClient, stack: str) -> Workstation:
    """The stack with this name; without a name the only workstation, or the one that is chosen.

    Raises:
        CommandError: There is none, or there are several and nobody to ask.
    """
    from gpustation.workstation.find import find_all, find_one

    if stack:
        return find_one(cloudformation, stack)
    found = find_all(cloudformation)
    region = cloudformation.meta.region_name
    if not found:
        raise CommandError(
            f"there is no workstation in {region}; `gpustation up` or `cdk deploy` creates one, "
            "--region selects another region"
        )
    return found[0] if len(found) == 1 else _chosen(found, region)


def _chosen(found: list[Workstation], region: str) -> Workstation:
    stacks = [one.stack for one in found]
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        raise CommandError(
            f"{region} has several workstations: {', '.join(stacks)}; pass --stack with one of "
            "them, or --name with its name",
            USAGE,
        )
    for number, stack in enumerate(stacks, 1):
        warn(f"{number}  {stack}")
    sys.stderr.write(f"Which of them, 1 to {len(stacks)}? ")
    sys.stderr.flush()
    answer = sys.stdin.readline().strip()
    if not answer.isdecimal() or not 1 <= int(answer) <= len(stacks):
        raise CommandError("nothing was chosen, nothing was done", USAGE)
    return found[int(answer) - 1]
