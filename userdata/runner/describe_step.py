"""Prints the sentence of a step's signal; that of ``gpu`` is shown in the output ``Ready``."""

import os
import sys
from pathlib import Path

STATE = Path(os.environ.get("GPUSTATION_ROOT", "") + "/var/lib/gpustation")
#: In the order in which they run.
PHASES = ("system", "driver", "environment", "notebooks", "jupyter", "verify", "jupyter-check")
#: Phases whose seconds are not shown, but whose warnings are.
ONLY_WARN = ("access", "report", "metadata", "scratch", "person")
#: The phases whose facts are part of a step's sentence.
FACTS = {"driver": ("driver",), "environment": ("environment",), "gpu": ("verify",)}


def read(kind: str, phase: str) -> str:
    """Return a phase's file in the folder `kind`, as one line; empty if there is none."""
    path = STATE / kind / phase
    return " ".join(path.read_text(errors="replace").split()) if path.exists() else ""


def main() -> None:
    """Print the facts, and for the last step also seconds and warnings."""
    step = sys.argv[1]
    text = " ".join(read("facts", phase) for phase in FACTS[step])
    if step == "gpu":
        # Phases that ran only when the image was built have no seconds here.
        ran = [phase for phase in PHASES if read("seconds", phase)]
        seconds = [f"{phase} {read('seconds', phase)} s" for phase in ran]
        text += f" ({', '.join(seconds)})"
        for phase in (*ONLY_WARN, *PHASES):
            warning = read("warnings", phase)
            text += f"; warning: {warning}" if warning else ""
    print(text)


if __name__ == "__main__":
    main()
