"""Looks every few seconds whether EC2 interrupts this spot machine, and acts on its notice.

It never powers the machine off: EC2 does that. A machine that shuts itself down is one that its
user stopped (status ``instance-stopped-by-user`` of the spot request), and EC2 does not start such
a machine again when there is room for it (EC2 user guide, "Spot Instance request status").
"""

import os
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable
from typing import Any

import hooks
import record
from notice import Metadata, Notice, UnreadableError
from people import say, show_file, write

#: Seconds from one look to the next, as EC2 recommends.
PAUSE = 5.0
#: Seconds between two looks at hooks that run.
STEP = 0.2
#: How many looks in a row must find no notice before it counts as withdrawn.
LOOKS = 3


class Watcher:
    """Watches until it is told to end.

    Args:
        metadata: Where it looks.
    """

    def __init__(self, metadata: Metadata) -> None:
        self._metadata = metadata
        self._ending = threading.Event()
        self._fault: str | None = None
        self._notice: Notice | None = None
        #: The announced times that hooks ran for; a disk that is full cannot hold the record.
        self._handled = {str(record.read(record.RECORD).get("time"))}
        self._run: hooks.Run | None = None
        self._absent = 0

    def begin(self) -> None:
        """Tell at login what happened before this boot, and which hooks would not run."""
        past = _try(record.note_start)
        if past:
            text = _try(lambda: record.in_past(past)) or ""
            say(text)
            _try(lambda: record.show_message(text))
            _try(lambda: show_file(record.settings(), record.FILE))
        found = hooks.find_roots()
        say(f"hooks in {hooks.FOLDER}: {len(found.hooks)}")
        for name, reason in found.refused.items():
            say(f"warning: hook {name} would not run: {reason}")

    def watch(self) -> None:
        """Look until SIGTERM; hooks that run then may end, but in their time."""
        signal.signal(signal.SIGTERM, lambda *_: self._ending.set())
        self.begin()
        due = time.monotonic()
        while self._run or not self._ending.is_set():
            if not self._ending.is_set() and time.monotonic() >= due:
                # After what takes long, not at once again
                due = time.monotonic() + PAUSE
                self.look()
                _tell_systemd("WATCHDOG=1")
            self.tend()
            if self._run:
                time.sleep(STEP)
            else:
                self._ending.wait(max(due - time.monotonic(), 0.0))

    def look(self) -> None:
        """Look once, and act on what is new."""
        fault = ""
        try:
            notice = self._metadata.read()
        except UnreadableError as error:
            fault = str(error)
        else:
            self._absent = 0 if notice else self._absent + 1
            if notice:
                self._react(notice)
            elif self._notice and self._absent >= LOOKS:
                self._withdraw()
        if fault != self._fault:
            if fault:
                say(f"warning: the metadata service: {fault}; the watch goes on")
            elif self._fault:
                say("the metadata service answers again")
            self._fault = fault
        _try(lambda: write(record.LOOK, {"at": int(time.time()), "fault": fault}))

    def tend(self) -> None:
        """Look after the hooks, and note how they ended."""
        if self._run is None:
            return
        self._run.tend()
        if not self._run.ended:
            return
        results, self._run = self._run.results, None
        say(record.in_words(results))
        _try(lambda: record.note(hooks=results))
        # Without waiting: a hanging disk must not keep the watch from going on
        _try(lambda: subprocess.Popen(["sync"], stdin=subprocess.DEVNULL))

    def _react(self, notice: Notice) -> None:
        if notice != self._notice:
            say(record.describe(notice))
            self._notice = notice
            _try(lambda: record.publish(notice))
            if notice.time in self._handled:
                say("the hooks of this notice have run")
                _try(record.note_pending)
                _try(lambda: record.show_message(record.describe(notice)))
        # Those of an earlier time first
        if notice.time in self._handled or self._run:
            return
        self._handled.add(notice.time)
        # Before they run, so that no restart of this program runs them twice
        _try(lambda: record.begin(notice))
        seconds = hooks.seconds_for(notice.at - time.time())
        words = (notice.action, notice.time, seconds, record.settings())
        commands = _try(lambda: hooks.commands(*words)) or []
        refused = hooks.find_roots().refused
        self._run = hooks.Run(commands, seconds, refused)
        # Beside the hooks: a home folder that hangs must not keep them from being ended in time
        announce = threading.Thread(
            target=_try, args=[lambda: record.announce(notice)], name="announce"
        )
        announce.daemon = True
        announce.start()

    def _withdraw(self) -> None:
        self._notice = None
        text = "EC2 does not interrupt this spot machine: its notice is gone"
        say(text)
        _try(lambda: record.note(withdrawn_at=int(time.time())))
        _try(lambda: record.take_back(text))


def _try(action: Callable[[], Any]) -> Any:
    """Return the result of an action that must not end the watch; ``None`` if it fails."""
    try:
        return action()
    except Exception as error:
        say(f"warning: {error!r}")
        return None


def _tell_systemd(text: str) -> None:
    """Tell systemd something, if it started this program and listens (sd_notify(3))."""
    address = os.environ.get("NOTIFY_SOCKET", "")
    if not address:
        return
    # An abstract address begins with @ there, and with a zero byte here
    where = f"\0{address[1:]}" if address.startswith("@") else address
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as connection:
            connection.sendto(text.encode(), where)
    except OSError as error:
        say(f"warning: systemd was not told that this program works: {error}")


def main() -> None:
    """Watch."""
    Watcher(Metadata()).watch()
