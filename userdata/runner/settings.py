"""Tells the runner the machine's settings: ``list`` of all, or ``digest`` of several.

Each argument of ``digest`` is a phase's revision and a list of names in one string, and gives one
line. The digest tells whether a finished phase was run with the settings of today. The name
``machine`` stands for the signal addresses: a copied disk in a new machine has others. A machine
without a stack is known by its machine id.
"""

import hashlib
import json
import os
import sys
from pathlib import Path

ROOT = os.environ.get("GPUSTATION_ROOT", "")
SETTINGS = Path(ROOT + "/var/lib/gpustation/settings.json")
BOOTSTRAP = Path(ROOT + "/etc/gpustation/bootstrap.json")
MACHINE_ID = Path(ROOT + "/etc/machine-id")


#: Settings that a file of an earlier release lacks.
DEFAULTS: dict[str, object] = {
    "jupyter_port": 8888,
    "role_credentials_for_users": False,
    "usd_per_hour": "",
    "proxy": "",
    "no_proxy": "",
    "package_index": "",
    "python_mirror": "",
    "instance_type": "",
}


def digest(settings: dict[str, object], revision: str, names: list[str]) -> str:
    """Return a short hash of these settings; revision 1 is that of phases that never had one."""
    absent = [name for name in names if name not in settings]
    if absent:
        sys.exit(f"{SETTINGS} lacks {', '.join(absent)}; it has {', '.join(sorted(settings))}")
    values: list[object] = [[name, settings[name]] for name in sorted(names)]
    if revision != "1":
        values.append(["revision", revision])
    return hashlib.sha256(json.dumps(values).encode()).hexdigest()[:16]


def main() -> None:
    """Run the command line."""
    settings = DEFAULTS | json.loads(SETTINGS.read_text())
    if sys.argv[1] == "list":
        for name, value in settings.items():
            text = value if isinstance(value, str) else json.dumps(value)
            print(f"{name}={' '.join(text.split())}")
        return
    settings["machine"] = (BOOTSTRAP if BOOTSTRAP.exists() else MACHINE_ID).read_text()
    for phase in sys.argv[2:]:
        revision, *names = phase.split()
        print(digest(settings, revision, names))


if __name__ == "__main__":
    main()
