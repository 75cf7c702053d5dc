"""Machines that boot with an idle stop whose times are a tenth, and what goes on on them."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tests.boot.phase_machine import Machine, phase_machine

TIMES = {"window": 60, "cap": 120, "tick": 6, "patience": 90}
"""Seconds. Of a person's machine they are 3600, 7200, 60 and 7200."""
LONGER = 40
"""Seconds beyond the window for which a machine that must not stop is observed."""
LATE = 5 * TIMES["tick"]
"""Seconds by which a stop may be late: two ticks, and the work of a computer that others use."""

PREPARE = """
cp -r /root/userdata /opt/gpustation/scripts-idle
rm -rf /opt/gpustation/scripts; ln -s scripts-idle /opt/gpustation/scripts
mkdir -p /etc/gpustation; rm -f /etc/gpustation/bootstrap.json
printf '{"idle_stop_minutes": 10, "jupyter_port": 8888}' >/var/lib/gpustation/settings.json
printf '#!/bin/sh\\ncat /run/gpu-use 2>/dev/null || echo 0\\n' >/usr/local/bin/nvidia-smi
chmod 755 /usr/local/bin/nvidia-smi
sed -i 's/^idle_stop_minutes=.*/idle_stop_minutes=10/' /root/settings
"""
LOGIN = """
sudo -u ubuntu ssh-keygen -q -t ed25519 -N '' -f /home/ubuntu/.ssh/own
sudo -u ubuntu cp /home/ubuntu/.ssh/own.pub /home/ubuntu/.ssh/authorized_keys
printf '%s\\n' 'IdentityFile ~/.ssh/own' 'StrictHostKeyChecking no' 'LogLevel ERROR' |
  sudo -u ubuntu tee /home/ubuntu/.ssh/config >/dev/null
"""
"""Lets the user log in to the machine from the machine itself."""


@dataclass(frozen=True)
class Scene:
    """What goes on on a machine, and what its idle stop must do.

    Attributes:
        stops: Seconds from the first sample to the stop; ``None``: not while it is observed.
        because: Part of the reason.
        before: Script that runs before the first sample.
        then: Script that runs after it.
        notebooks: Whether there is a Jupyter.
        outside: Runs beside it on this computer, until the machine has stopped.
        times: Others than ``TIMES``.
    """

    stops: float | None
    because: str
    before: str = ""
    then: str = ""
    notebooks: bool = False
    outside: Callable[[Machine], None] | None = None
    times: tuple[tuple[str, float], ...] = ()


@dataclass(frozen=True)
class Outcome:
    """What a machine did.

    Attributes:
        stopped: Seconds from its first sample to its stop; ``None`` if it still ran.
        reason: Of the stop, or of the last verdict.
        journal: What the idle stop printed.
    """

    stopped: float | None
    reason: str
    journal: str


def play(scene: Scene, distribution: str, folder: Path, disk: Path | None = None) -> Outcome:
    """Boot a machine, let the scene go on, and observe what the idle stop does."""
    with phase_machine(distribution, folder, disk, f"i-{folder.name}") as machine:
        machine.sh(PREPARE)
        times = {**TIMES, **dict(scene.times)}
        machine.sh(f"echo '{json.dumps(times)}' >/etc/gpustation/idle-times.json")
        if scene.notebooks:
            machine.sh(
                "for i in $(seq 300); do curl -s -o /dev/null http://127.0.0.1:8888/api && exit; "
                "sleep 0.2; done; exit 1"
            )
        machine.sh(scene.before)
        machine.phase("idle", "09-watch-idle")
        verdict = "/run/gpustation/idle/verdict.json"
        machine.sh(f"for i in $(seq 600); do [ -e {verdict} ] && exit; sleep 0.1; done; exit 1")
        begun = json.loads(machine.sh(f"cat {verdict}"))["decided_at"]
        machine.sh(scene.then)
        observed = times["window"] if scene.stops is None else scene.stops
        end = time.monotonic() + observed + LONGER
        while machine.runs and time.monotonic() < end:
            if scene.outside is not None:
                scene.outside(machine)
            time.sleep(0.5)
        return _outcome(machine, begun, verdict)


def _outcome(machine: Machine, begun: int, verdict: str) -> Outcome:
    if machine.runs:
        journal = machine.sh("journalctl -q -o cat -u gpustation-idle -u gpustation-idle-guard")
        return Outcome(None, json.loads(machine.sh(f"cat {verdict}"))["reason"], journal)
    stop = json.loads((machine.root / "var/lib/gpustation/last-stop.json").read_text())
    return Outcome(stop["at"] - begun, stop["reason"], "")
