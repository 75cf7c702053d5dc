"""Calls to AWS at the same time, none of which can hold up a command for longer than a deadline."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Mapping
from typing import Generic, TypeVar

T = TypeVar("T")


class DeadlineError(Exception):
    """A call did not return in time; the message says how long it was waited for."""


class Calls(Generic[T]):
    """Calls in threads of their own, which end with the process.

    Not an executor, whose threads Python joins at exit: one hung connection would hold the
    command.

    Args:
        calls: The calls by name.
        seconds: How long all of them together may take.
        workers: How many run at a time. Default: all.
    """

    def __init__(
        self, calls: Mapping[str, Callable[[], T]], seconds: float, *, workers: int = 0
    ) -> None:
        self._seconds = seconds
        self._waiting: queue.SimpleQueue[tuple[str, Callable[[], T]]] = queue.SimpleQueue()
        self._done: queue.SimpleQueue[tuple[str, T | Exception]] = queue.SimpleQueue()
        self._names = [*calls]
        self._deadline = time.monotonic() + seconds
        for item in calls.items():
            self._waiting.put(item)
        for _ in range(min(workers or len(calls), len(calls))):
            threading.Thread(target=self._work, daemon=True).start()

    def results(self, arrived: Callable[[str], None] = lambda _: None) -> dict[str, T | Exception]:
        """The result of each call, or its error; ``DeadlineError`` for one that did not return.

        Args:
            arrived: Is called with the name of each call that returned.
        """
        found: dict[str, T | Exception] = {}
        while len(found) < len(self._names):
            try:
                name, result = self._done.get(timeout=max(self._deadline - time.monotonic(), 0.0))
            except queue.Empty:
                break
            found[name] = result
            arrived(name)
        late = DeadlineError(f"no answer within {self._seconds:g} s")
        return {name: found.get(name, late) for name in self._names}

    def _work(self) -> None:
        while True:
            try:
                name, call = self._waiting.get_nowait()
            except queue.Empty:
                return
            try:
                result: T | Exception = call()
            except Exception as error:
                result = error
            self._done.put((name, result))
