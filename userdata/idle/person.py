"""The command gpustation on the machine itself: its stops, for everybody who is logged in.

Beside its own stops it shows EC2's interruptions, see phases/13-watch-interruption.
"""

import json
import re
import sys
import time
from pathlib import Path
from typing import Any

import marks
import tell
from decide import gib
from people import moment
from system import ROOT

USAGE = """\
usage: gpustation status
       gpustation keep-awake DURATION    such as 45m, 2h; 24h at most
       gpustation keep-awake off
This is the command on the machine; the one on your own computer has more (pip install gpustation).
"""
#: A verdict that is older than this number of seconds is told as old.
FRESH = 180
#: What the guard tells people of a watcher that does not decide: guard.sh.
GUARD = Path(ROOT + "/run/motd.d/gpustation-guard")


def main(words: list[str]) -> int:
    """Run the command line, and return the exit status."""
    match words:
        case ["status"]:
            return status()
        case ["keep-awake", text, *rest] if rest in ([], ["--json"]):
            seconds = 0 if text == "off" else duration(text)
            if seconds is None:
                print(
                    f"gpustation: {text} must be minutes or hours, such as 45m or 2h, 24h at most",
                    file=sys.stderr,
                )
                return 2
            return keep_awake(seconds, as_json=bool(rest))
        case ["--help"] | ["-h"] | ["help"]:
            print(USAGE, end="")
            return 0
        case _:
            print(USAGE, end="", file=sys.stderr)
            return 2


def duration(text: str) -> int | None:
    """Return the seconds of a duration; ``None`` if it is none, or longer than a day."""
    parsed = re.fullmatch(r"([0-9]{1,4})([mh])", text)
    if not parsed:
        return None
    seconds = int(parsed[1]) * {"m": 60, "h": 3600}[parsed[2]]
    return seconds if 0 < seconds <= marks.LONGEST else None


def keep_awake(seconds: int, *, as_json: bool) -> int:
    """Keep the machine awake for so long from now; 0 takes one's own request back."""
    until = int(time.time()) + seconds if seconds and _is_on() else 0
    try:
        if _is_on():
            marks.ask(until)
    except OSError as error:
        print(f"gpustation: the request was not noted: {error}", file=sys.stderr)
        return 1
    daily = _verdict().get("daily_stop") or {}
    anyway = daily.get("latest") if daily and daily["latest"] < until else None
    idle_stop = _is_on() and _verdict().get("window_seconds") != 0
    if as_json:
        answer = {"idle_stop": idle_stop, "until": until or None, "daily_stop_at": anyway}
        print(json.dumps(answer))
    elif not _is_on():
        print("gpustation: idle stop is off, so this machine does not stop by itself")
    elif not until:
        print("gpustation: your request is taken back")
    else:
        words = f"idleness does not stop this machine before {moment(until)}"
        if anyway:
            words += f", but its {daily['rule']} does, at {moment(anyway)} at the latest"
        print(f"gpustation: {words}")
    return 0


def status() -> int:
    """Print the last verdict, and what is known of EC2's interruptions."""
    # Here, so that a fault in it keeps nobody from keeping the machine awake
    from status import rows as interruptions

    worst = _idle_status()
    rows, well = interruptions()
    for name, text in rows:
        print(f"{name:<10}  {text}")
    return worst if well else 1


def _idle_status() -> int:
    if not _is_on():
        print("idle stop  off, and no daily stop: this machine does not stop by itself")
        return 0
    verdict, guard = _verdict(), _guard()
    if not verdict:
        print("idle stop  on, without a verdict yet: systemctl status gpustation-idle")
        if guard:
            print(f"warning    {guard}")
        return 1
    age = int(time.time()) - verdict["decided_at"]
    window = verdict["window_seconds"]
    after = f"after {window / 60:.0f} min in which nothing moves" if window else "off"
    rows = [("idle stop", after)]
    if daily := verdict.get("daily_stop"):
        at, latest = moment(daily["stops_at"]), moment(daily["latest"])
        text = daily["rule"].removeprefix("daily stop ")
        rows.append(("daily stop", f"{text}: {at}, {latest} at the latest"))
    rows += [
        ("state", verdict["state"] + f", decided {age} s ago"),
        ("because", verdict["reason"]),
    ]
    # Nobody acts on a verdict that is old
    if verdict["stops_at"] and not guard:
        rows.append(("stops", f"{moment(verdict['stops_at'])} if nothing moves from now on"))
    if verdict["present"]:
        rows.append(("there", ", ".join(verdict["present"])))
    if verdict.get("scratch_gib") is not None:
        rows.append(("/scratch", f"{gib(verdict['scratch_gib'])} in use, lost at every stop"))
    if verdict["keep_awake_until"]:
        until = moment(verdict["keep_awake_until"])
        rows.append(("kept awake", f"until {until}, by {verdict['keep_awake_by']}"))
    if stop := tell.last_stop():
        rows.append(("last stop", f"{moment(stop['at'])}: {stop['reason']}"))
    rows += [("warning", each) for each in verdict["warnings"]]
    if guard:
        rows.append(("warning", guard))
    elif age > FRESH:
        rows.append(
            ("warning", f"no verdict for {age // 60} min: systemctl status gpustation-idle")
        )
    for name, text in rows:
        print(f"{name:<10}  {text}")
    return 1 if guard or age > FRESH else 0


def _guard() -> str:
    """Return what the guard tells people; empty while it has nothing to tell."""
    try:
        return GUARD.read_text(errors="replace").strip().removeprefix("gpustation: ")
    except OSError:
        return ""


def _is_on() -> bool:
    return tell.FOLDER.is_dir()


def _verdict() -> dict[str, Any]:
    try:
        return dict(json.loads(tell.VERDICT.read_text()))
    except (OSError, ValueError, TypeError):
        return {}
