"""Prints what this machine computes on: ``gpu``, or ``cpu`` on the embedded AWS without a GPU.

On such a machine a folder, created before its first boot, holds locks for the CPU. The folder is
refused on a machine that reports to AWS, so a CPU is never accepted instead of a GPU there.
"""

import json
import os
import sys
from pathlib import Path
from urllib.parse import urlsplit

ROOT = os.environ.get("GPUSTATION_ROOT", "")
NO_GPU = Path(ROOT + "/etc/gpustation/no-gpu")
BOOTSTRAP = Path(ROOT + "/etc/gpustation/bootstrap.json")
LOOPBACK = ("localhost", "127.0.0.1")


def reports_to() -> set[str]:
    """Return the hosts of this machine's signal addresses."""
    if not BOOTSTRAP.exists():
        return set()
    signals = json.loads(BOOTSTRAP.read_text())["signals"]
    return {urlsplit(address).hostname or address for address in signals.values()}


def main() -> None:
    """Print the device.

    Raises:
        SystemExit: The folder exists on a machine that does not report to this computer.
    """
    if not NO_GPU.is_dir():
        print("gpu")
        return
    elsewhere = sorted(reports_to() - set(LOOPBACK))
    if elsewhere:
        sys.exit(
            f"{NO_GPU} is for machines of the embedded AWS, but this one reports to "
            f"{elsewhere[0]}: remove the folder, a GPU must compute"
        )
    print("cpu")


if __name__ == "__main__":
    main()
