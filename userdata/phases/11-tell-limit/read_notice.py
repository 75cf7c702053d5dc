"""Prints in one line what the spend limit of a stack found last; the argument is the stack's name.

The limit acts outside of the machine. What it says is from AWS's side, but it is shown as text.
"""

import importlib.util
import json
import os
import sys
import time
from pathlib import Path
from typing import Any

ROOT = os.environ.get("GPUSTATION_ROOT", "")
AGENT = Path(ROOT + "/opt/gpustation/agent.py")
BOOTSTRAP = Path(ROOT + "/etc/gpustation/bootstrap.json")
#: Path of the parameters that the limits write.
NOTICES = "/gpustation/spent/"
#: Seconds for retries: the set-up waits for it.
PATIENCE = 5.0


def in_words(notice: dict[str, Any]) -> str:
    """Return the notice in one line."""
    if not notice:
        return "a spend limit is set, and nothing is counted yet"
    month, limit = str(notice["month"]), float(notice["limit_usd"])
    if notice["reason"]:
        return f"THIS MACHINE IS STOPPED AGAIN: {notice['reason']}"
    spent = sum(float(notice["spent"][part]) for part in ("machine", "address", "disk"))
    as_of = time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(float(notice["as_of"])))
    rate = float(notice["usd_per_hour"])
    cost = f"; an hour cost {rate:.3f} USD then, at the list price of this region" if rate else ""
    return f"{spent:.2f} of {limit:g} USD spent in {month} until {as_of}{cost}"


def main() -> None:
    """Print the line; lines of the agent's log come before it."""
    spec = importlib.util.spec_from_file_location("agent", AGENT)
    assert spec and spec.loader
    agent: Any = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(agent)
    agent.DEADLINE = min(agent.DEADLINE, time.monotonic() + PATIENCE)
    region = json.loads(BOOTSTRAP.read_text())["region"]
    text = in_words(agent.read_settings(region, NOTICES + sys.argv[1]))
    print(" ".join("".join(char if char.isprintable() else " " for char in text).split())[:300])


if __name__ == "__main__":
    try:
        main()
    except Exception as error:
        sys.exit(str(error) or repr(error))
