"""Prints the sentence that a step's signal carries; that of ``gpu`` is the ``Ready`` output."""

import os
import sys
from pathlib import Path

STATE = Path(os.environ.get("GPUSTATION_ROOT", "") + "/var/lib/gpustation")
#: In the order in which they run.
PHASES = ("system", "driver", "environment", "notebooks", "jupyter", "verify", "jupyter-check")
#: Phases of no time that may end with a warning.
ONLY_WARN = ("access", "metadata", "person")
#: Which phases' facts each step tells.
FACTS = {"driver": ("driver",), "environment": ("environment",), "gpu": ("verify",)}


def read(kind: str, phase: str) -> str:
    """Return what a phase left under `kind`, as one line; empty if nothing."""
    path = STATE / kind / phase
    return " ".join(path.read_text(errors="replace").split()) if path.exists() else ""


def main() -> None:
    """Print facts, then seconds and warnings with the last step."""
    step = sys.argv[1]
    text = " ".join(read("facts", phase) for phase in FACTS[step])
    if step == "gpu":
        # A phase that an image brought along took this machine no time.
        ran = [phase for phase in PHASES if read("seconds", phase)]
        seconds = [f"{phase} {read('seconds', phase)} s" for phase in ran]
        text += f" ({', '.join(seconds)})"
        for phase in (*ONLY_WARN, *PHASES):
            warning = read("warnings", phase)
            text += f"; warning: {warning}" if warning else ""
    print(text)


if __name__ == "__main__":
    main()
