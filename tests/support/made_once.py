"""Files that take seconds to make and do not change, made once for all workers of a run."""

from __future__ import annotations

import atexit
import fcntl
import functools
import os
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest

WORKER = "PYTEST_XDIST_WORKER"


def run_folder(folders: pytest.TempPathFactory) -> Path:
    """The folder of this run, shared by its workers."""
    own = folders.getbasetemp()
    return own.parent if WORKER in os.environ else own


def made_once(folders: pytest.TempPathFactory, name: str, make: Callable[[Path], None]) -> Path:
    """A file or folder of the run; the first worker makes it while the others wait.

    Args:
        folders: Where the run keeps its files.
        name: The name in the run's folder.
        make: Makes the file or folder at the given path. If it fails, the next worker tries again.
    """
    path = run_folder(folders) / name
    with path.with_name(f".{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not path.exists():
            draft = path.with_name(f".{name}.{os.getpid()}")
            make(draft)
            draft.rename(path)
    return path


@functools.cache
def aws_cli() -> str:
    """A folder for PATH with the AWS CLI of the tests' own environment.

    pip writes the interpreter's path into the first line of the CLI's script, and no system runs
    such a script if the path holds a blank.
    """
    folder = tempfile.TemporaryDirectory(prefix="aws-cli-")
    atexit.register(folder.cleanup)
    script = Path(folder.name, "aws")
    script.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m awscli "$@"\n')
    script.chmod(0o755)
    return folder.name
