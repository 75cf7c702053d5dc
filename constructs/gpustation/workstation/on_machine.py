"""What only the machine itself knows or does: logs, free space, requests not to stop.

All of it is text of others: its form is checked, and it is escaped where it is shown.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from datetime import datetime, timezone

from gpustation.access.shell import Execute
from gpustation.aws.calls import NOT_UNDERSTOOD
from gpustation.console.errors import CommandError

LOGS = "/var/log/gpustation"
MAX_CHARACTERS = 200_000
"""Of one phase's log, from its end; that of the environment, the longest, has some 50,000."""
_PHASE = re.compile(r"[a-z][a-z-]{0,29}")
_PROGRAM = """
import json, pathlib, sys
lines, phase, most, folder = int(sys.argv[1]), sys.argv[2], int(sys.argv[3]), sys.argv[4]
logs = sorted(pathlib.Path(folder).glob("*.log"), key=lambda path: path.stat().st_mtime)
texts = {path.stem: path.read_text(errors="replace") for path in logs}
chosen = {name: text for name, text in texts.items() if phase in ("", name)}
cut = {name: text[-most:].splitlines()[-lines:] for name, text in chosen.items()}
print(json.dumps({"phases": [*texts], "logs": cut}))
"""
_NOT_FOUND = 127
"""Exit status of a shell that does not find a command (POSIX)."""
_BYTES_PER_GIB = 1024**3


@dataclass(frozen=True)
class DiskUse:
    """How full the root file system is.

    Attributes:
        used_gib: GiB in use.
        size_gib: Its size in GiB.
    """

    used_gib: float
    size_gib: float


@dataclass(frozen=True)
class Request:
    """A request to the machine not to stop itself.

    Attributes:
        idle_stop: Whether the machine stops itself at all.
        until: Until when it does not; ``None`` if the request was taken back, or is not needed.
        daily_stop: When its daily stop stops it nevertheless, at the latest; ``None`` if it does
            not come before.
    """

    idle_stop: bool
    until: datetime | None
    daily_stop: datetime | None = None


def ask_to_stay_awake(execute: Execute, minutes: int) -> Request:
    """Ask the machine not to stop itself.

    Args:
        execute: Runs a command on the machine.
        minutes: From now on; 0 takes one's own request back.

    Raises:
        CommandError: The machine has no idle stop, or its answer is not understood.
    """
    words = f"{minutes}m" if minutes else "off"
    status, output = execute(f"/usr/local/bin/gpustation keep-awake {words} --json", b"")
    if status == _NOT_FOUND:
        raise CommandError(
            "the machine was set up by a release without idle stop; deploy, then reboot it"
        )
    try:
        if status:
            raise ValueError(f"exit status {status}")
        answer = json.loads(output)
        until = answer["until"]
        if type(answer["idle_stop"]) is not bool or type(until) not in (int, type(None)):
            raise ValueError("it is not in the form that machines print")
        # Machines of earlier releases have no daily stop
        daily = answer.get("daily_stop_at")
        if type(daily) not in (int, float, type(None)):
            raise ValueError("it is not in the form that machines print")
        moment = None if until is None else datetime.fromtimestamp(until, timezone.utc)
        stop = None if daily is None else datetime.fromtimestamp(daily, timezone.utc)
    except (*NOT_UNDERSTOOD, OverflowError, OSError) as error:
        raise CommandError(f"the machine did not note the request: {error}") from error
    return Request(answer["idle_stop"], moment, stop)


def read_logs(execute: Execute, lines: int, phase: str = "") -> dict[str, list[str]]:
    """The last lines of the logs of the set-up by phase, the one that was written last at the end.

    Args:
        execute: Runs a command on the machine.
        lines: Lines of each log.
        phase: The only phase. Default: all.

    Raises:
        CommandError: There is no such log, or the answer is not understood.
    """
    command = f"python3 -I - {lines} '{phase}' {MAX_CHARACTERS} {LOGS}"
    status, output = execute(command, _PROGRAM.encode())
    try:
        if status:
            raise ValueError(f"exit status {status}")
        answer = json.loads(output)
        names = [name for name in answer["phases"] if _PHASE.fullmatch(name)]
        logs = {name: [*map(str, answer["logs"][name])] for name in names if name in answer["logs"]}
    except NOT_UNDERSTOOD as error:
        raise CommandError(
            f"the machine did not print the logs of its set-up in {LOGS}: {error}"
        ) from error
    if not logs:
        has = f"it has those of {', '.join(names)}" if names else f"there are none in {LOGS}"
        raise CommandError(f"the machine has no log of {phase or 'its set-up'}; {has}")
    return logs


def read_disk_use(execute: Execute) -> DiskUse:
    """How full the machine's root file system is.

    Raises:
        CommandError: The answer is not understood.
    """
    status, output = execute("df --block-size=1 --output=used,size /", b"")
    try:
        used, size = map(int, output.split()[-2:])
        if status:
            raise ValueError(f"exit status {status}")
    except ValueError as error:
        raise CommandError(f"df on the machine printed no sizes: {error}") from error
    return DiskUse(used / _BYTES_PER_GIB, size / _BYTES_PER_GIB)
