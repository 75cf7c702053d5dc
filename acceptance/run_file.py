"""The file of a run: what it has made, so that this run or the next one deletes just that."""

from __future__ import annotations

import contextlib
import dataclasses
import fcntl
import json
import os
import secrets
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from gpustation.console.state_folder import replace_file, state_folder

PREFIX = "acceptance-"
"""Of the setting ``name`` of every run; the role of acceptance runs is limited to it."""
SCHEMA = 1


@dataclass
class RunFile:
    """What a run has made, written before and after each command.

    Attributes:
        name: The setting ``name`` of its stacks, ``acceptance-`` and 8 random hexadecimal digits.
        account: Id of the account.
        region: The region.
        began: When it began, in seconds since 1970.
        stacks: Ids of all stacks that it made, by name; a name without ids was to be used, and no
            stack of that name existed then.
        images: Ids of images that it saved.
        bootstrapped: Whether it made the stack CDKToolkit.
        kept: Whether the person asked to keep what it made.
        over: Whether everything is deleted.
    """

    name: str
    account: str
    region: str
    began: float
    stacks: dict[str, list[str]] = field(default_factory=dict)
    images: list[str] = field(default_factory=list)
    bootstrapped: bool = False
    kept: bool = False
    over: bool = False

    @property
    def path(self) -> Path:
        """Where it is."""
        return folder() / f"{self.name}.json"

    def write(self) -> None:
        """Write it, atomically, readable by its owner alone."""
        text = json.dumps({"schema": SCHEMA, **dataclasses.asdict(self)}, indent=2)
        replace_file(self.path, f"{text}\n")

    def note_stack(self, name: str, stack_id: str) -> None:
        """Record a stack's id."""
        ids = self.stacks.setdefault(name, [])
        if stack_id not in ids:
            ids.append(stack_id)
            self.write()


def new_name() -> str:
    """A name that no other run has."""
    return f"{PREFIX}{secrets.token_hex(4)}"


def folder() -> Path:
    """Where run files and the logs of failed runs are."""
    path = state_folder() / "acceptance"
    path.mkdir(mode=0o700, exist_ok=True)
    return path


def read_all() -> list[RunFile]:
    """The files of all runs, oldest first."""
    found = []
    for path in folder().glob(f"{PREFIX}*.json"):
        data: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        if data.pop("schema") == SCHEMA:
            found.append(RunFile(**data))
    return sorted(found, key=lambda run: run.began)


@contextlib.contextmanager
def held(name: str) -> Iterator[int | None]:
    """Hold the lock of a run; yields ``None`` if it is at work, or a command of it still is.

    The commands of a run inherit the descriptor: one that outlives a killed run keeps the lock.
    """
    descriptor = os.open(folder() / f"{name}.lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield None
            return
        yield descriptor
    finally:
        os.close(descriptor)
