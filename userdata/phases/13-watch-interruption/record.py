"""What is noted of an interruption, and what people are told of it.

``PUBLIC`` exists from EC2's notice until the machine stops, and everybody may read it: a training
looks for it. ``RECORD`` outlasts the stop, so that the next boot can tell what happened.
"""

import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from notice import Notice
from people import moment, say, show_file, wall, write
from system import ROOT, one_line

PUBLIC = Path(ROOT + "/run/gpustation/interruption.json")
#: When the watcher last looked, and why it learned nothing.
LOOK = Path(ROOT + "/run/gpustation/interruption-look.json")
RECORD = Path(ROOT + "/var/lib/gpustation/interruption.json")
MESSAGE = Path(ROOT + "/run/motd.d/gpustation-interruption")
SETTINGS = Path(ROOT + "/var/lib/gpustation/settings.json")
BOOT_ID = Path(ROOT + "/proc/sys/kernel/random/boot_id")
#: Begin of the name of a file in the person's home folder, which JupyterLab shows.
FILE = "EC2-INTERRUPTS-THIS-MACHINE-AT-"
#: What EC2 does with the machine, and what comes after that.
ACTIONS = {
    "stop": ("STOPS", "its disk is kept, and EC2 starts it again when it can; nobody else can"),
    "hibernate": ("HIBERNATES", "EC2 resumes it when it can; nobody else can"),
    "terminate": ("DELETES", "its disk goes with it"),
}


def read(path: Path) -> dict[str, Any]:
    """Return an object; empty if the file is absent or damaged."""
    try:
        return dict(json.loads(path.read_text()))
    except (OSError, ValueError, TypeError):
        return {}


def settings() -> dict[str, Any]:
    """Return the machine's settings."""
    return read(SETTINGS)


def boot_id() -> str:
    """Return what distinguishes this boot from others."""
    return BOOT_ID.read_text().strip()


def describe(notice: Notice) -> str:
    """Return the notice in words."""
    act, after = ACTIONS.get(notice.action, (f"DOES '{notice.action}' TO", "save your work"))
    at = time.strftime("%H:%M:%S UTC", time.gmtime(notice.at))
    return f"EC2 {act} THIS SPOT MACHINE AT {at}: save your work now; {after}"


def publish(notice: Notice) -> None:
    """Write the file that a training looks for."""
    document = {"schema": 1, "action": notice.action, "time": notice.time, "at": int(notice.at)}
    write(PUBLIC, document)


def note(**members: Any) -> None:
    """Change members of the record."""
    write(RECORD, {**read(RECORD), **members})


def begin(notice: Notice) -> None:
    """Begin a new record, which replaces that of the interruption before."""
    write(
        RECORD,
        {
            "schema": 1,
            "action": notice.action,
            "time": notice.time,
            "at": int(notice.at),
            "noticed_at": int(time.time()),
            "boot": boot_id(),
            "hooks": None,
        },
    )


def note_pending() -> None:
    """Note that the machine, though started since the notice, has not been interrupted yet."""
    note(boot=boot_id(), started_again_boot=None, withdrawn_at=None)


def note_start() -> dict[str, Any]:
    """Note that the machine was started again, if it was; return the record if so.

    It is returned during the whole boot, and not in those after it.
    """
    known, boot = read(RECORD), boot_id()
    if not known or known.get("withdrawn_at") or known.get("boot") == boot:
        return {}
    if known.get("started_again_boot") is None:
        note(started_again_boot=boot, started_again_at=int(time.time()))
        known = read(RECORD)
    return known if known.get("started_again_boot") == boot else {}


def in_words(hooks: Mapping[str, str] | None) -> str:
    """Return the results of the hooks in words; ``None``: they had none yet."""
    if hooks is None:
        return "hooks: not finished"
    failed = [f"{name} {result}" for name, result in hooks.items() if result != "ok"]
    if failed:
        return one_line(f"hooks failed: {', '.join(failed)}")
    return f"hooks: {len(hooks)} ok" if hooks else "no hooks"


def in_past(known: Mapping[str, Any]) -> str:
    """Return the record of an interruption in words.

    Raises:
        ValueError: It is damaged.
    """
    try:
        again = moment(known["started_again_at"])
        text = f"EC2 interrupted this spot machine at {moment(known['at'])} ({known['action']})"
        return f"{text}; started again at {again}; {in_words(known['hooks'])}"
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"{RECORD} is damaged: {error!r}") from None


def announce(notice: Notice) -> None:
    """Tell everybody who is on the machine, and who comes."""
    text = describe(notice)
    show_message(text)
    wall(f"gpustation: {text}")
    at = time.strftime("%H.%M.%S", time.gmtime(notice.at))
    show_file(settings(), FILE, f"{FILE}{at}-UTC.txt", f"{text}\n")


def take_back(reason: str) -> None:
    """Tell that the machine is not interrupted, and why."""
    PUBLIC.unlink(missing_ok=True)
    show_message("")
    wall(f"gpustation: {reason}")
    show_file(settings(), FILE)


def show_message(text: str) -> None:
    """Set the message at login, empty: none; without success it goes on."""
    try:
        if not text:
            MESSAGE.unlink(missing_ok=True)
            return
        MESSAGE.parent.mkdir(parents=True, exist_ok=True)
        MESSAGE.write_text(f"gpustation: {text}\n")
    except OSError as error:
        say(f"warning: the message at login was not changed: {error}")
