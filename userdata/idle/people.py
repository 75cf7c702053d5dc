"""Tells people something: in the journal, on their terminals, and in a file of the home folder.

Also for the other watchers of this machine, see phases/13-watch-interruption.
"""

import json
import os
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from system import ROOT, run

SCRIPTS = Path(__file__).resolve().parent.parent


def write(path: Path, value: object) -> None:
    """Write a value as JSON, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(path.name + ".new")
    with draft.open("w") as file:
        file.write(json.dumps(value))
        file.flush()
        os.fsync(file.fileno())
    draft.replace(path)


def moment(clock: float) -> str:
    """Return a moment in words."""
    return time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(clock))


def say(line: str) -> None:
    """Print a line, for the journal, in one piece.

    ``print`` writes a line's end by itself: unbuffered, the lines of two threads would mix.
    """
    sys.stdout.write(f"{line}\n")


def home_of(settings: Mapping[str, Any]) -> str:
    """Return the person's home folder."""
    return ROOT + str(settings.get("home") or "/home/ubuntu")


def wall(text: str) -> None:
    """Show a text on the terminals of all who are logged in; without success it goes on."""
    try:
        run("wall", text)
    except OSError as error:
        say(f"warning: nobody was told on their terminals: {error}")


def show_file(settings: Mapping[str, Any], prefix: str, name: str = "", text: str = "") -> None:
    """Replace the file in the home folder, which JupyterLab shows; without success it goes on.

    It is written with the person's rights.

    Args:
        settings: The machine's settings.
        prefix: What the names of all such files begin with; those that exist are deleted.
        name: Of the new one. Default: none is written.
        text: Its content.
    """
    home = home_of(settings)
    change = f'find . -maxdepth 1 -type f -name "{prefix}*" -delete'
    if name:
        change += '; cat >"$1"'
    scripts = f'. "{SCRIPTS}/runner/record.sh"; . "{SCRIPTS}/home/as_owner.sh"; as_owner "$@"'
    try:
        run("bash", "-c", scripts, "bash", home, "bash", "-c", change, "bash", name, text=text)
    except OSError as error:
        say(f"warning: the notice in {home} was not changed: {error}")
