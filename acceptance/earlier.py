"""What earlier runs left is deleted before anything is made."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

from acceptance import run_file
from acceptance.clean_up import clean_up
from acceptance.world import World
from gpustation.console.errors import CommandError
from gpustation.console.interrupts import held
from gpustation.console.statuses import FINDING

Say = Callable[[str], None]
Ask = Callable[[str], bool]


def clean_up_only(world: World, say: Say, ask: Ask) -> int:
    """Delete what earlier runs left, kept ones too; returns the exit status."""
    account = world.session().client("sts").get_caller_identity()["Account"]
    left = clean_up_earlier(account, world, say, ask, kept=True)
    return FINDING if left else 0


def clean_up_earlier(
    account: str, world: World, say: Say, ask: Ask, *, kept: bool = False
) -> list[str]:
    """Delete what earlier runs in the account left; returns what could not be deleted.

    Raises:
        CommandError: Another run is at work, or the answer is no.
    """
    problems: list[str] = []
    for file in run_file.read_all():
        if file.over or file.account != account:
            continue
        if file.kept and not kept:
            say(f"{file.name} was kept on purpose, and is billed; --clean-up deletes it")
            continue
        with run_file.held(file.name) as lock:
            if lock is None:
                raise CommandError(
                    f"{file.name} is at work, or a command of it still is: wait for its end"
                )
            stacks = ", ".join(file.stacks) or "no stack"
            say(f"{file.name} did not end: {stacks} in {file.region}")
            if not ask(f"Delete what {file.name} left?"):
                raise CommandError("canceled: what the last run left comes first")
            there = dataclasses.replace(world, region=file.region)
            with held("deleting what the last run left; the next run goes on with it"):
                found = clean_up(file, there, say)
        problems += found
        for problem in found:
            say(f"NOT DELETED  {problem}")
    if problems and not kept:
        raise CommandError("what the last run left could not be deleted; see above")
    return problems
