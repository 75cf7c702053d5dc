"""Shows the steps of an operation while it runs: a table on a terminal, else a line per change."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime, timezone
from typing import TYPE_CHECKING

from gpustation.console.shown_text import one_line
from gpustation.deploy.steps import NETWORK, OTHERS, REMOVAL, Step

if TYPE_CHECKING:
    from rich.console import RenderableType

POLL_SECONDS = 2.0
"""CloudFormation throttles readers of events; ten people in an account are still served."""
_GROUPS = (NETWORK, OTHERS, REMOVAL)
"""Steps of many resources, which are done several times before the last of them is begun."""
_MARKS = {"running": "...", "done": "ok", "failed": "FAILED"}


class StepView:
    """A view that is refreshed by ``tick``, as often as one likes.

    Args:
        read: Returns the steps; is called every ``POLL_SECONDS``.
        say: Prints a line where the output is not a terminal.
    """

    def __init__(self, read: Callable[[], Sequence[Step]], say: Callable[[str], None]) -> None:
        self._read = read
        self._say = say
        self._next = 0.0
        self._steps: Sequence[Step] = ()
        self._shown: dict[str, str] = {}
        self._refresh: Callable[[RenderableType], None] | None = None

    @contextlib.contextmanager
    def shown(self, *, live: bool) -> Iterator[StepView]:
        """Show the steps in this block.

        Args:
            live: As a table that changes, if standard error is a terminal.
        """
        if not (live and sys.stderr.isatty()):
            yield self
            self.tick(last=True)
            return
        from rich.console import Console
        from rich.live import Live

        with Live(console=Console(stderr=True), refresh_per_second=4, transient=False) as view:
            self._refresh = view.update
            yield self
            self.tick(last=True)

    def tick(self, *, last: bool = False) -> None:
        """Read the steps again if it is time, and show them."""
        if last or time.monotonic() >= self._next:
            self._steps = self._read() or self._steps
            self._next = time.monotonic() + POLL_SECONDS
        if self._refresh:
            self._refresh(self._table())
        else:
            self._say_changes(last)

    def _say_changes(self, last: bool) -> None:
        for step in self._steps:
            settled = last or step.state == "failed" or step.name not in _GROUPS
            if settled and self._shown.get(step.name) != step.state:
                self._shown[step.name] = step.state
                self._say(line(step))

    def _table(self) -> RenderableType:
        from rich.table import Table
        from rich.text import Text

        now = datetime.now(timezone.utc)
        table = Table.grid(padding=(0, 2))
        for step in self._steps:
            reason = Text(one_line(step.reason))
            table.add_row(step.name, f"{step.seconds(now):.0f} s", _MARKS[step.state], reason)
        return table


def line(step: Step) -> str:
    """A step as one line."""
    if step.state == "running":
        return f"{step.name}: begun"
    took = f"{step.seconds(datetime.now(timezone.utc)):.0f} s"
    return f"{step.name}: {step.state} after {took}" + (
        f": {one_line(step.reason)}" if step.reason else ""
    )
