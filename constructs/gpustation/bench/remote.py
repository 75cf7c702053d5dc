"""Runs the benchmark's program on a machine, and completes its record."""

from __future__ import annotations

import importlib.resources
import json
import shlex
from collections.abc import Sequence
from typing import Any

from gpustation.access.shell import Execute
from gpustation.aws.calls import NOT_UNDERSTOOD
from gpustation.bench.record import record_of
from gpustation.console.errors import CommandError
from gpustation.console.shown_text import visible
from gpustation.offers.price import from_catalog

PYTHON = "/opt/gpustation/env/bin/python3"
"""The verified environment of a workstation, which has the framework."""


def program() -> bytes:
    """The program that measures."""
    return importlib.resources.files("gpustation.bench").joinpath("machine_program.py").read_bytes()


def command(gpus: Sequence[int], *, quick: bool = False, python: str = PYTHON) -> str:
    """The shell command that keeps the program in a file of its own, runs and removes it.

    A file, because it starts itself again for each measurement.
    """
    option = f" --gpus {','.join(map(str, gpus))}" if gpus else ""
    option += " --quick" if quick else ""
    return (
        'd=$(mktemp -d) && trap \'rm -rf "$d"\' EXIT && cat > "$d/bench.py" && '
        f'{shlex.quote(python)} "$d/bench.py"{option}'
    )


def measure(
    execute: Execute, instance_type: str, gpus: Sequence[int], *, quick: bool = False
) -> dict[str, Any]:
    """The record of a machine.

    Args:
        execute: Runs a command on the machine.
        instance_type: EC2 type of the machine.
        gpus: Numbers of GPUs to train on; empty: powers of two, and all.
        quick: Fewer and smaller measurements.

    Raises:
        CommandError: The program failed, or printed something else.
    """
    status, output = execute(command(gpus, quick=quick), program())
    if status:
        raise CommandError(f"the benchmark ended with exit status {status}; see above")
    try:
        document: dict[str, Any] = json.loads(output.splitlines()[-1])
        price = from_catalog(instance_type)
        document["machine"] = {"instance_type": instance_type}
        if price.usd_per_hour is not None:
            document["price"] = {
                "usd_per_hour": price.usd_per_hour,
                "source": price.source,
                "as_of": price.as_of,
                "region": price.region,
            }
        record_of(document, instance_type)
    except NOT_UNDERSTOOD as error:
        shown = visible(output[-200:].decode(errors="replace"))
        raise CommandError(f"the machine printed no record: {shown}") from error
    return document
