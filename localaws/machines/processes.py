"""Ends every process of a session, so that nothing outlives the embedded AWS.

The child leads a session of its own; Lambda workers and machine runs inherit it, whatever process
groups they make for themselves.
"""

from __future__ import annotations

import contextlib
import os
import signal
import time
from pathlib import Path

SWEEPS = 20
"""A sweep can miss a process that is being forked; the next one, 20 ms later, finds it."""
PROC = Path("/proc")


GROUP, SESSION = 2, 3
"""Where /proc/PID/stat keeps them, counted after "pid (name)", whose name may hold anything."""


def kill_session(session: int) -> None:
    """Kill every process of the session but the caller, until none is left.

    Where there is no /proc (macOS), the session leader's process group is all that can be found.
    """
    if not PROC.is_dir():
        with contextlib.suppress(ProcessLookupError, PermissionError):
            if session != os.getpid():
                os.killpg(session, signal.SIGKILL)
        return
    for _ in range(SWEEPS):
        members = _living(SESSION, session)
        if not members:
            return
        for pid in members:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(0.02)


def group_lives(group: int) -> bool:
    """Whether any process of the group still runs; without /proc only its leader is looked at."""
    return PROC.is_dir() and bool(_living(GROUP, group))


def _living(field: int, value: int) -> list[int]:
    """Processes whose field has the value, without the caller and without zombies."""
    pids = []
    for entry in PROC.iterdir():
        if not entry.name.isdigit() or int(entry.name) == os.getpid():
            continue
        try:
            fields = (entry / "stat").read_text().rpartition(")")[2].split()
        except (FileNotFoundError, ProcessLookupError):
            continue
        if int(fields[field]) == value and fields[0] != "Z":
            pids.append(int(entry.name))
    return pids
