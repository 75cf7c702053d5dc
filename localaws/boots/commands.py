"""What `Control` can do to machines that boot, by its names and arguments."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

from localaws.boots.fleet import BootedMachines


def forward(machines: BootedMachines, instance_id: str, port: int) -> int:
    """Carry a port of the machine to this computer's loopback."""
    return machines.forward(instance_id, port)


def machine_run(
    machines: BootedMachines, instance_id: str, words: list[str], seconds: float
) -> dict[str, Any]:
    """Run a command in a machine."""
    done = machines.get(instance_id).box.run(*words, seconds=seconds)
    return {"status": done.returncode, "stdout": done.stdout, "stderr": done.stderr}


def cut_power(machines: BootedMachines, instance_id: str) -> None:
    """End a machine at once and boot it again."""
    machines.cut_power(instance_id)


def machine_environment(machines: BootedMachines, variables: dict[str, str]) -> None:
    """Set variables for the services of machines that are launched from now on."""
    machines.environment = variables


def machine_gpu(machines: BootedMachines, pretended: bool) -> None:
    """Say whether machines that are launched from now on are told that they have no GPU."""
    machines.gpu = pretended


def machine_module(machines: BootedMachines, available: bool) -> None:
    """Say whether the archive has the driver's module for the running kernel."""
    machines.module = available


def machine_reaches(machines: BootedMachines, port: int | None) -> None:
    """Carry a port of this computer's loopback into machines that boot from now on."""
    machines.reachable = [] if port is None else [*machines.reachable, port]


def image_disk(machines: BootedMachines, image_id: str, folder: str) -> None:
    """Say what machines that are launched from an image find on their disk."""
    machines.lend(image_id, Path(folder))


def silence_network(machines: BootedMachines, instance_id: str, on: bool) -> None:
    """Stop or continue the process that is the machine's way out."""
    os.kill(machines.get(instance_id).box.slirp_pid, signal.SIGSTOP if on else signal.SIGCONT)
