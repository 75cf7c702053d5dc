"""Prints the machine's settings for the runner: ``list`` for all, ``digest`` for hashes of some.

Each argument of ``digest`` is a phase's revision and the names of settings in one string; one line
is printed for each. The runner compares it with that of the phase's last run. The name ``machine``
stands for the signal addresses, which differ on a copied disk in a new machine; on a machine
without a stack, for the machine id.
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

#: Values of settings that a file of an earlier release does not have.
DEFAULTS: dict[str, object] = {
    "jupyter_port": 8888,
    "role_credentials_for_users": False,
    "usd_per_hour": "",
    "price_of": "us-east-1 list price",
    "proxy": "",
    "no_proxy": "",
    "package_index": "",
    "python_mirror": "",
    "instance_type": "",
    "idle_stop_minutes": 0,
    "idle_stop_scratch_gib": 0,
    "stop_at": "",
    "stop_at_patience": 0,
    "report": "",
    "limited": False,
}


def digest(settings: dict[str, object], revision: str, names: list[str]) -> str:
    """Return 16 hexadecimal digits; revision 1 is left out, as early releases had no revisions.

    Raises:
        SystemExit: The settings file does not have one of the names.
    """
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
