"""The account's clock, which a test can move, and what is due at a time of it."""

from __future__ import annotations

import contextvars
import heapq
import itertools
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timezone
from functools import partial

Action = Callable[[], None]


@dataclass(order=True)
class Due:
    """Something that is done at a time of the clock.

    Attributes:
        when: In seconds since 1970.
        number: Orders what is due at the same time: first entered, first done.
        cancelled: It is not done any more.
    """

    when: float
    number: int
    action: Action = field(compare=False)
    cancelled: bool = field(default=False, compare=False)


class Clock:
    """Real time plus an offset, which only grows.

    What is due is done in real time too, by a thread that sleeps until then and does not exist
    before something is entered.

    Attributes:
        moved: Is told by how many seconds the clock is ahead of real time, whenever that changes.
    """

    def __init__(self) -> None:
        self.moved: Callable[[float], None] = lambda _: None
        self._offset = 0.0
        self._standing: float | None = None
        self._due: list[Due] = []
        self._numbers = itertools.count()
        self._change = threading.Condition()
        self._working = 0
        self._thread: threading.Thread | None = None
        self._one_advance = threading.Lock()

    def now(self) -> float:
        """Seconds since 1970."""
        standing = self._standing
        return time.time() + self._offset if standing is None else standing

    def datetime(self) -> datetime:
        """The time in UTC."""
        return datetime.fromtimestamp(self.now(), timezone.utc)

    def at(self, when: float, action: Action) -> Due:
        """Do something at a time, or at once if that has passed, in the caller's context."""
        due = Due(when, next(self._numbers), partial(contextvars.copy_context().run, action))
        with self._change:
            heapq.heappush(self._due, due)
            if self._thread is None:
                self._thread = threading.Thread(target=self._serve, daemon=True)
                self._thread.start()
            self._change.notify_all()
        return due

    def start(self, action: Action) -> None:
        """Do something on a thread of its own, in the caller's context; `advance` awaits it."""
        with self._change:
            self._working += 1
        context = contextvars.copy_context()
        threading.Thread(
            target=self._work, args=(partial(context.run, action),), daemon=True
        ).start()

    def advance(self, seconds: float) -> None:
        """Move the clock forward, and do what becomes due, each at its own time.

        The clock stands while something is done. It returns when nothing that was started is
        still at work.

        Raises:
            ValueError: The seconds are negative.
        """
        if seconds < 0:
            raise ValueError(f"advance: {seconds} s: the clock only moves forward; give 0 or more")
        with self._one_advance:
            with self._change:
                self._standing = self.now()
            end = self._standing + seconds
            try:
                while True:
                    self.settle()
                    due = self._next(end)
                    if due is None:
                        break
                    self._standing = max(self._standing, due.when)
                    self.moved(self._standing - time.time())
                    due.action()
            finally:
                with self._change:
                    # Work may have taken longer in real time than the clock was moved
                    self._offset = max(self._offset, end - time.time())
                    self._standing = None
                    self.moved(self._offset)
                    self._change.notify_all()

    def settle(self) -> None:
        """Wait until nothing that was started is at work."""
        with self._change:
            self._change.wait_for(lambda: self._working == 0)

    def _next(self, end: float) -> Due | None:
        with self._change:
            while self._due and self._due[0].when <= end:
                due = heapq.heappop(self._due)
                if not due.cancelled:
                    return due
        return None

    def _serve(self) -> None:
        while True:
            with self._change:
                seconds = self._due[0].when - self.now() if self._due else None
                if self._standing is not None or seconds is None:
                    self._change.wait()
                    continue
                if seconds > 0:
                    self._change.wait(min(seconds, threading.TIMEOUT_MAX))
                    continue
                due = heapq.heappop(self._due)
                if not due.cancelled:
                    self.start(due.action)

    def _work(self, action: Action) -> None:
        try:
            action()
        finally:
            with self._change:
                self._working -= 1
                self._change.notify_all()
