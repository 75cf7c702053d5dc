"""Prints what this machine computes on: ``gpu``, or ``cpu`` where the embedded AWS says so.

A machine of the embedded AWS has no GPU: a folder, laid down before its first boot, holds locks
for the CPU. A machine on AWS reports to AWS, so a CPU can never pass for its GPU.
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
    """Return the hosts that this machine's signals go to."""
    if not BOOTSTRAP.exists():
        return set()
    signals = json.loads(BOOTSTRAP.read_text())["signals"]
    return {urlsplit(address).hostname or address for address in signals.values()}


def main() -> None:
    """Print the device, or refuse on standard error."""
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
