"""Notebooks that are executed in the Jupyter of a machine that booted."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tests.boot.workstation import Workstation

PROGRAM = Path(__file__).with_name("run_in_jupyter.py").read_text()

Outputs = list[dict[str, Any]]
"""Of one cell, in the form of nbformat 4."""


def execute(station: Workstation, path: str) -> list[Outputs]:
    """The outputs of each code cell of a notebook below the owner's home folder.

    It is executed in the machine's Jupyter, in the kernel that it names, as a browser would.
    """
    station.put("/home/ubuntu/.run_in_jupyter.py", PROGRAM)
    said = station.sh(
        "sudo -u ubuntu /opt/gpustation/env/bin/python /home/ubuntu/.run_in_jupyter.py "
        f"{path} <<<{station.token()}"
    )
    cells: list[Outputs] = json.loads(said.splitlines()[-1])
    for outputs in cells:
        for output in outputs:
            assert output["output_type"] != "error", output
    return cells


def cells_of(station: Workstation, *cells: str, kernel: str = "mxnet") -> list[Outputs]:
    """The outputs of cells that are executed one after the other in a new notebook."""
    made = [
        {
            "cell_type": "code",
            "metadata": {},
            "outputs": [],
            "execution_count": None,
            "source": cell,
        }
        for cell in cells
    ]
    metadata = {"kernelspec": {"name": kernel, "display_name": kernel}}
    notebook = {"cells": made, "metadata": metadata, "nbformat": 4, "nbformat_minor": 4}
    station.put("/home/ubuntu/of-a-test.ipynb", json.dumps(notebook))
    return execute(station, "of-a-test.ipynb")


def in_a_notebook(station: Workstation, *cells: str) -> list[str]:
    """What MXNet's kernel prints for each cell of a new notebook."""
    return [text_of(outputs) for outputs in cells_of(station, *cells)]


def text_of(outputs: Outputs) -> str:
    """What a cell printed."""
    return "".join(output.get("text", "") for output in outputs).strip()
