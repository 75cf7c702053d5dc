"""Runs the commands that a person runs, keeps what they print, and ends them when the run ends."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shlex
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from acceptance.outcome import PartFailedError
from gpustation.console.shown_text import one_line

ROOT = Path(__file__).resolve().parent.parent
POLL_SECONDS = 0.2
END_SECONDS = 60.0
"""How long a command may take to end after Ctrl-C; `gpustation up` ends the CDK CLI first."""


@dataclass(frozen=True)
class Finished:
    """A command that has ended.

    Attributes:
        words: The command.
        status: Its exit status.
        out: Its standard output.
        err: Its standard error.
        seconds: How long it took.
    """

    words: Sequence[str]
    status: int
    out: str
    err: str
    seconds: float

    @property
    def document(self) -> dict[str, Any]:
        """The JSON document that it printed.

        Raises:
            PartFailedError: It printed none.
        """
        try:
            document: dict[str, Any] = json.loads(self.out)
        except ValueError as error:
            raise PartFailedError(f"`{self.shown}` printed no JSON document") from error
        return document

    @property
    def shown(self) -> str:
        """The command as a person types it."""
        return shlex.join(self.words)

    @property
    def last_words(self) -> str:
        """The last line of its errors, or else of its output."""
        lines = [line for line in f"{self.out}\n{self.err}".splitlines() if line.strip()]
        return one_line(lines[-1]) if lines else "it printed nothing"


class Commands:
    """The commands of a run.

    Args:
        environment: Their environment.
        logs: Folder for what they print.
        tick: Is called some times a second while one runs; what it raises ends the command.
        inherited: A descriptor that they keep open.
    """

    def __init__(
        self,
        environment: Mapping[str, str],
        logs: Path,
        tick: Callable[[], None],
        inherited: int,
    ) -> None:
        self._environment = dict(environment)
        self._logs, self._tick, self._inherited = logs, tick, inherited
        self._count = 0
        self.part = ""

    def gpustation(
        self, *words: str, statuses: Sequence[int] = (0,), seconds: float = 5400
    ) -> Finished:
        """Run ``gpustation``."""
        return self.run(("gpustation", *words), statuses=statuses, seconds=seconds)

    def run(
        self, words: Sequence[str], *, statuses: Sequence[int] = (0,), seconds: float = 5400
    ) -> Finished:
        """Run a command to its end.

        Args:
            words: The command.
            statuses: The exit statuses that are expected. Default: 0 alone.
            seconds: How long it may take. Default: 90 minutes.

        Raises:
            PartFailedError: It ended with another status, or not in time.
        """
        with self.started(words) as command:
            deadline = time.monotonic() + seconds
            while command.process.poll() is None:
                if time.monotonic() > deadline:
                    raise PartFailedError(f"`{shlex.join(words)}` did not end in {seconds:.0f} s")
                self.pause(POLL_SECONDS)
            finished = command.finished()
        if finished.status not in statuses:
            raise PartFailedError(
                f"`{finished.shown}` ended with exit status {finished.status}: "
                f"{finished.last_words}"
            )
        return finished

    def pause(self, seconds: float) -> None:
        """Wait, and let the run observe what it costs."""
        end = time.monotonic() + seconds
        while True:
            self._tick()
            left = end - time.monotonic()
            if left <= 0:
                return
            time.sleep(min(left, POLL_SECONDS))

    @contextlib.contextmanager
    def started(self, words: Sequence[str]) -> Iterator[Started]:
        """A command that runs beside the block, and is ended with it, as by Ctrl-C.

        The CDK CLI gets a folder for its synthesis, so that a run of two hours neither waits for a
        person's ``cdk deploy`` in this checkout, nor is in its way.
        """
        self._count += 1
        verb = re.sub(r"[^a-z-]", "", "-".join(words[:2]))
        path = self._logs / f"{self._count:02}-{self.part}-{verb}"
        command = [sys.executable, "-m", *words] if words[0] == "gpustation" else list(words)
        with (
            tempfile.TemporaryDirectory(prefix="gpustation-acceptance-") as scratch,
            path.with_suffix(".out").open("wb") as out,
            path.with_suffix(".err").open("wb") as err,
            # In a session of its own, as the terminal's Ctrl-C is for the run, which passes it on
            subprocess.Popen(
                command,
                cwd=ROOT,
                env={**self._environment, "CDK_OUTPUT": str(Path(scratch, "cdk.out"))},
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
                start_new_session=True,
                pass_fds=(self._inherited,),
            ) as process,
        ):
            started = Started(words, process, path, time.monotonic())
            try:
                yield started
            finally:
                started.end()


@dataclass(frozen=True)
class Started:
    """A command that runs."""

    words: Sequence[str]
    process: subprocess.Popen[bytes]
    path: Path
    begun: float

    @property
    def out(self) -> str:
        """What it has printed so far."""
        return _text(self.path.with_suffix(".out"))

    def finished(self) -> Finished:
        """Its result, once it has ended."""
        err = _text(self.path.with_suffix(".err"))
        seconds = time.monotonic() - self.begun
        return Finished(self.words, self.process.wait(), self.out, err, seconds)

    def end(self) -> None:
        """End it as Ctrl-C does; it is killed if that does not help."""
        if self.process.poll() is not None:
            return
        with contextlib.suppress(ProcessLookupError):
            self.process.send_signal(signal.SIGINT)
        try:
            self.process.wait(END_SECONDS)
        except subprocess.TimeoutExpired:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()


def _text(path: Path) -> str:
    return path.read_text(encoding="utf-8", errors="replace")
