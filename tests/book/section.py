"""Executes one notebook, and prints one line of JSON on how it ended: see `tests.book`.

Run by the Python of the environment that is tried: section.py NOTEBOOK LIMIT. The limit is in CPU
seconds of all processes: a busy computer makes no section slow.
"""

import contextlib
import json
import os
import sys
import threading
import time
from pathlib import Path

import nbformat
import psutil
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, DeadKernelError

STARTUP_SECONDS = 600
"""For a kernel on a busy computer."""
NOT_SHOWN = "tests.book: this cell's plot was not shown"


def main() -> None:
    """Print the cell at each start, so that a run that is cut off says how far it came."""
    path = Path(sys.argv[1])
    threading.Thread(target=end_after, args=(float(sys.argv[2]),), daemon=True).start()
    notebook = nbformat.read(path, 4)
    client = NotebookClient(
        notebook,
        timeout=None,
        startup_timeout=STARTUP_SECONDS,
        kernel_name="python3",
        shutdown_kernel="immediate",
        resources={"metadata": {"path": str(path.parent)}},
        on_cell_start=lambda cell, cell_index: print(json.dumps({"cell": cell_index}), flush=True),
    )
    error = {}
    try:
        client.execute()
    except CellExecutionError as failed:
        error = {"name": failed.ename, "value": failed.evalue, "trace": failed.traceback[-3000:]}
    except DeadKernelError as dead:
        error = {"name": "DeadKernelError", "value": str(dead), "trace": ""}
    print(json.dumps({"error": error, **outputs_of(notebook)}))


def end_after(limit: float) -> None:
    """End this process and those below it once they have used more CPU seconds."""
    me = psutil.Process()
    while True:
        time.sleep(1)
        below = me.children(recursive=True)
        if sum(spent(process) for process in (me, *below)) > limit:
            for process in below:
                with contextlib.suppress(psutil.NoSuchProcess):
                    process.kill()
            os._exit(0)


def spent(process: psutil.Process) -> float:
    """Return the CPU seconds of a process and of those that it saw end."""
    try:
        return sum(process.cpu_times()[:4])
    except psutil.NoSuchProcess:
        return 0


def outputs_of(notebook: nbformat.NotebookNode) -> dict[str, object]:
    """Count the pictures, and list the cells whose plot was not shown."""
    pictures, hidden = 0, []
    for index, cell in enumerate(notebook.cells):
        for output in cell.get("outputs", []):
            kinds = output.get("data", {})
            pictures += any(kind.startswith("image/") for kind in kinds)
            if NOT_SHOWN in output.get("text", ""):
                hidden.append(index)
    return {"pictures": pictures, "hidden": hidden}


if __name__ == "__main__":
    main()
