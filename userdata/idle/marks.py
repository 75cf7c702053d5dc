"""Requests not to stop the machine: one file per user in a folder where everybody may write.

Anybody who can log in can ask for it, as they could keep the machine awake with work. A mark is
text of others for root: its owner is that of the file, and it cannot ask for more than a day.
"""

import json
import os
import pwd
import stat
from collections.abc import Iterator
from pathlib import Path

MARKS = Path(os.environ.get("GPUSTATION_ROOT", "") + "/run/gpustation/keep-awake")
#: Longest request in seconds.
LONGEST = 24 * 3600
#: Bytes of a mark.
SIZE = 200


def make_folder() -> None:
    """Make the folder for marks, in which nobody can remove or replace those of others."""
    MARKS.mkdir(parents=True, exist_ok=True)
    MARKS.chmod(0o1777)


def ask(until: float) -> None:
    """Ask to keep the machine awake until a moment, in seconds since 1970; 0 takes it back.

    Raises:
        OSError: The mark cannot be written.
    """
    mark = MARKS / str(os.getuid())
    if not until:
        mark.unlink(missing_ok=True)
        return
    draft = MARKS / f".{os.getuid()}.{os.getpid()}"
    draft.write_text(json.dumps({"until": int(until)}))
    draft.replace(mark)


def read_marks(now: float) -> Iterator[tuple[str, float | None, str]]:
    """Yield user, end and fault of each mark that has not expired; with a fault, no end.

    Args:
        now: Seconds since 1970.
    """
    paths = sorted(MARKS.iterdir()) if MARKS.is_dir() else []
    for path in paths:
        if path.name.startswith("."):
            continue
        try:
            user, until = _read(path)
        except (OSError, ValueError, TypeError, KeyError) as error:
            yield path.name, None, f"the request {path} is not valid: {error}"
            continue
        if until > now + LONGEST + 60:
            yield user, None, f"{user} asked for more than {LONGEST // 3600} h, so it is ignored"
        elif until > now:
            yield user, until, ""


def _read(path: Path) -> tuple[str, float]:
    # A FIFO would block, and a link could name any file of root's.
    handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    with os.fdopen(handle, "rb") as file:
        state = os.fstat(file.fileno())
        if not stat.S_ISREG(state.st_mode):
            raise ValueError("it is not a file")
        until = json.loads(file.read(SIZE))["until"]
    if type(until) is not int:
        raise ValueError("its end is not a number of seconds since 1970")
    try:
        user = pwd.getpwuid(state.st_uid).pw_name
    except KeyError:
        user = str(state.st_uid)
    return user, float(until)


def latest(now: float) -> tuple[float, str, list[str]]:
    """Return the latest end (0 without a request), who asked for it, and the faults."""
    end, user, faults = 0.0, "", []
    for name, until, fault in read_marks(now):
        if until is None:
            faults.append(fault)
        elif until > end:
            end, user = until, name
    return end, user, faults
