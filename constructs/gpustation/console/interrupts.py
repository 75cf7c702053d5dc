"""Signals that end a command: what it made is removed first, and no further signal stops that.

A command runs in ``listening``; whatever makes something that must be removed again runs in
``held``. Ctrl-C, ``kill``, a closed terminal and SIGQUIT are treated alike.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NoReturn

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT)
SLICE_SECONDS = 0.1
"""How soon a pause notices a signal."""
_STDERR = 2


class Interrupted(KeyboardInterrupt):
    """A signal has ended the work.

    Args:
        number: The signal.

    Attributes:
        status: Exit status for it, 128 and its number, as shells have it.
    """

    def __init__(self, number: int) -> None:
        super().__init__(signal.Signals(number).name)
        self.status = 128 + number


def leave(status: int) -> NoReturn:
    """End the process with a status; a signal that comes while Python ends does not change it."""
    for number in SIGNALS:
        signal.signal(number, signal.SIG_IGN)
    sys.exit(status)


def status_of(interrupt: KeyboardInterrupt) -> int:
    """Exit status of a command that was interrupted, with or without ``listening``."""
    return interrupt.status if isinstance(interrupt, Interrupted) else 128 + signal.SIGINT


def end(command: str, interrupt: KeyboardInterrupt) -> int:
    """Say that a command was interrupted, and what else it met; returns its exit status."""
    met = f" ({' '.join(str(interrupt.__cause__).split())})" if interrupt.__cause__ else ""
    warn(f"{command}: interrupted{met}")
    return status_of(interrupt)


class Hold:
    """Work that a signal ends only where the work says so.

    Args:
        what: What is under way and what would be left of it, in one line: the answer to every
            signal. It may be set anew.

    Attributes:
        number: The first signal that came; 0 if none did.
    """

    def __init__(self, what: str) -> None:
        self.what = what
        self.number = 0

    def check(self) -> None:
        """End the work if a signal came.

        Raises:
            Interrupted: One came.
        """
        if self.number:
            raise Interrupted(self.number)

    def pause(self, seconds: float) -> None:
        """Wait, or end the work as soon as a signal comes.

        Raises:
            Interrupted: One came.
        """
        end = time.monotonic() + seconds
        while True:
            self.check()
            left = end - time.monotonic()
            if left <= 0:
                return
            time.sleep(min(left, SLICE_SECONDS))

    def note(self, number: int, _frame: object) -> None:
        """The signals' handler."""
        self.number = self.number or number
        warn(f"{signal.Signals(number).name}: {self.what}")


@contextlib.contextmanager
def listening() -> Iterator[None]:
    """Let a signal raise ``Interrupted`` wherever the command is, unless it is ending already."""

    def interrupt(number: int, _frame: object) -> None:
        if not isinstance(sys.exc_info()[1], KeyboardInterrupt):
            raise Interrupted(number)

    with _handled_by(interrupt):
        yield


@contextlib.contextmanager
def held(what: str) -> Iterator[Hold]:
    """Do not let a signal cut the block: its ``check`` and ``pause`` raise, and its end does.

    Args:
        what: See ``Hold``.

    Raises:
        Interrupted: A signal came; its cause is the error with which the block ended, if any.
    """
    hold = Hold(what)
    with _handled_by(hold.note):
        try:
            yield hold
        except Exception as error:
            if hold.number:
                raise Interrupted(hold.number) from error
            raise
    hold.check()


def say(line: str) -> None:
    """Print a line; if the terminal or the pipe is closed it is lost, and the work goes on."""
    try:
        print(line, flush=True)
    except OSError:
        # Python keeps the line, tries once more at its end, and would then exit with 120
        with contextlib.suppress(OSError, ValueError), Path(os.devnull).open("w") as nowhere:
            os.dup2(nowhere.fileno(), sys.stdout.fileno())


def warn(line: str) -> None:
    """As ``say``, on standard error; in a handler too, for it does not use Python's buffers."""
    with contextlib.suppress(OSError):
        os.write(_STDERR, f"{line}\n".encode())


@contextlib.contextmanager
def _handled_by(handler: Callable[[int, object], None]) -> Iterator[None]:
    """Install a handler for all signals but those that nohup or a shell's ``&`` ignores."""
    if threading.current_thread() is not threading.main_thread():
        yield  # signals reach the main thread only
        return
    ignored = (signal.SIG_IGN, None)
    numbers = [number for number in SIGNALS if signal.getsignal(number) not in ignored]
    before = {number: signal.signal(number, handler) for number in numbers}
    try:
        yield
    finally:
        for number, old in before.items():
            signal.signal(number, old)
