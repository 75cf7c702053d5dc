"""Runs the CDK CLI as a child process, which a signal ends with all its children."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path

from gpustation.console.errors import CommandError
from gpustation.console.interrupts import SLICE_SECONDS, held

END_SECONDS = 10.0
"""How long the CLI may take to end after a signal, before it is killed."""


def find_cdk() -> str:
    """Path of the CDK CLI.

    Raises:
        CommandError: It is not on PATH.
    """
    cdk = shutil.which("cdk")
    if cdk is None:
        raise CommandError("cdk is not on PATH; run `make setup`, then `. .venv/bin/activate`")
    return cdk


def run_cdk(
    words: Sequence[str],
    log: Path,
    *,
    region: str,
    on_signal: str,
    tick: Callable[[], None],
) -> int:
    """Run ``cdk`` with these words; its output goes to a file.

    Args:
        words: Arguments of the CLI.
        log: Receives its output.
        region: Region of the stack.
        on_signal: What goes on in the account if the command is interrupted, one line.
        tick: Is called ten times a second while the CLI runs.

    Returns:
        The exit status of the CLI.

    Raises:
        CommandError: There is no CDK CLI.
        Interrupted: A signal was received; the CLI has ended.
    """
    command = [find_cdk(), *words]
    with (
        held(on_signal) as hold,
        log.open("wb") as output,
        subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env={**os.environ, "AWS_REGION": region, "AWS_DEFAULT_REGION": region},
            start_new_session=True,
        ) as process,
    ):
        try:
            while process.poll() is None:
                tick()
                hold.pause(SLICE_SECONDS)
        except BaseException:
            _end(process)
            raise
        return process.returncode


def _end(process: subprocess.Popen[bytes]) -> None:
    """End the CLI, which must not outlive the command."""
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGINT)
    try:
        process.wait(END_SECONDS)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
