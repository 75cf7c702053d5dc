"""Signal handling of commands: a signal ends a command, but does not interrupt its clean-up.

A command runs in ``listening``. Code that creates something that must be deleted again runs in
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
"""How often a pause checks for a signal."""
_STDERR = 2


class Interrupted(KeyboardInterrupt):
    """A signal ended the command.

    Args:
        number: Number of the signal.

    Attributes:
        status: Exit status, 128 plus the number, as in shells.
    """

    def __init__(self, number: int) -> None:
        super().__init__(signal.Signals(number).name)
        self.status = 128 + number


def leave(status: int) -> NoReturn:
    """Exit with a status that signals during Python's shutdown do not change."""
    for number in SIGNALS:
        signal.signal(number, signal.SIG_IGN)
    sys.exit(status)


def status_of(interrupt: KeyboardInterrupt) -> int:
    """Exit status of an interrupted command, with or without ``listening``."""
    return interrupt.status if isinstance(interrupt, Interrupted) else 128 + signal.SIGINT


def end(command: str, interrupt: KeyboardInterrupt) -> int:
    """Report the interruption and an error during it, if any; returns the exit status."""
    cause = f" ({' '.join(str(interrupt.__cause__).split())})" if interrupt.__cause__ else ""
    warn(f"{command}: interrupted{cause}")
    return status_of(interrupt)


class Hold:
    """A block of code that a signal ends only at defined points.

    Args:
        what: Message of one line that is printed at every signal: the operation in progress, and
            what remains if the process is killed. It may be changed.

    Attributes:
        number: The first signal received; 0 if none.
    """

    def __init__(self, what: str) -> None:
        self.what = what
        self.number = 0

    def check(self) -> None:
        """Raise if a signal was received.

        Raises:
            Interrupted: A signal was received.
        """
        if self.number:
            raise Interrupted(self.number)

    def pause(self, seconds: float) -> None:
        """Wait, but raise as soon as a signal is received.

        Raises:
            Interrupted: A signal was received.
        """
        end = time.monotonic() + seconds
        while True:
            self.check()
            left = end - time.monotonic()
            if left <= 0:
                return
            time.sleep(min(left, SLICE_SECONDS))

    def note(self, number: int, _frame: object) -> None:
        """Signal handler."""
        self.number = self.number or number
        warn(f"{signal.Signals(number).name}: {self.what}")


@contextlib.contextmanager
def listening() -> Iterator[None]:
    """Let signals raise ``Interrupted`` immediately, unless the command is already ending."""

    def interrupt(number: int, _frame: object) -> None:
        if not isinstance(sys.exc_info()[1], KeyboardInterrupt):
            raise Interrupted(number)

    with _handled_by(interrupt):
        yield


@contextlib.contextmanager
def held(what: str) -> Iterator[Hold]:
    """Defer signals: they raise only in ``check`` and ``pause``, and at the end of the block.

    Args:
        what: See ``Hold``.

    Raises:
        Interrupted: A signal was received; its cause is the error that ended the block, if any.
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
    """Print a line; a closed terminal or pipe is ignored."""
    try:
        print(line, flush=True)
    except OSError:
        # Python would try again to flush the line at exit, and then exit with status 120
        with contextlib.suppress(OSError, ValueError), Path(os.devnull).open("w") as nowhere:
            os.dup2(nowhere.fileno(), sys.stdout.fileno())


def warn(line: str) -> None:
    """Print a line on standard error, unbuffered, so that it is safe in a signal handler."""
    with contextlib.suppress(OSError):
        os.write(_STDERR, f"{line}\n".encode())


@contextlib.contextmanager
def _handled_by(handler: Callable[[int, object], None]) -> Iterator[None]:
    """Install a handler for all signals that are not ignored, e.g. by nohup or a shell's ``&``."""
    if threading.current_thread() is not threading.main_thread():
        yield  # only the main thread can set signal handlers
        return
    ignored = (signal.SIG_IGN, None)
    numbers = [number for number in SIGNALS if signal.getsignal(number) not in ignored]
    before = {number: signal.signal(number, handler) for number in numbers}
    try:
        yield
    finally:
        for number, old in before.items():
            signal.signal(number, old)
