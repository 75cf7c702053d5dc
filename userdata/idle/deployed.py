"""Prints the daily stop that the stack has now, as JSON: a deploy may have changed it meanwhile.

It runs as a program of its own, which can be given up if AWS does not answer.
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
NAMES = ("stop_at", "stop_at_patience")
#: Seconds for retries; less than the caller waits.
PATIENCE = 5.0


def main() -> None:
    """Print the settings; lines of the agent's log come before them."""
    spec = importlib.util.spec_from_file_location("agent", AGENT)
    assert spec and spec.loader
    agent: Any = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(agent)
    agent.DEADLINE = min(agent.DEADLINE, time.monotonic() + PATIENCE)
    known = json.loads(BOOTSTRAP.read_text())
    settings = agent.read_settings(known["region"], known["settings_parameter"])
    print(json.dumps({name: settings.get(name) for name in NAMES}))


if __name__ == "__main__":
    try:
        main()
    except Exception as error:
        sys.exit(str(error) or repr(error))
