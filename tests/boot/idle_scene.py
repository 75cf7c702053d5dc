"""Machines that boot with an idle stop whose times are a tenth or less, and what goes on there."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tests.boot.idle_programs import BURN, WORK
from tests.boot.phase_machine import Machine, phase_machine

TIMES = {"window": 60, "cap": 120, "tick": 6, "patience": 90}
"""Seconds. Of a person's machine they are 3600, 7200, 60 and 7200."""
LONGER = 40
"""Seconds beyond the window for which a machine that must not stop is observed."""
LATE = 5 * TIMES["tick"]
"""Seconds by which a stop may be late: two ticks, and the work of a computer that others use."""
A_PERSONS = {"window": 600, "cap": 7200, "tick": 60, "patience": 7200}
"""Seconds, of a person's machine with the setting idle_stop_minutes=10."""

OFF = 90
"""Seconds for the shutdown itself, on a computer where other machines boot."""
LAST_STOP = "var/lib/gpustation/last-stop.json"
VERDICT = "/run/gpustation/idle/verdict.json"
PREPARE = rf"""
cat >{BURN} <<'EOF'
{WORK}
EOF
chmod 755 {BURN}
cp -r /root/userdata /opt/gpustation/scripts-idle
rm -rf /opt/gpustation/scripts; ln -s scripts-idle /opt/gpustation/scripts
mkdir -p /etc/gpustation; rm -f /etc/gpustation/bootstrap.json
printf '{{"idle_stop_minutes": 10, "jupyter_port": 8888}}' >/var/lib/gpustation/settings.json
cat >/usr/local/bin/nvidia-smi <<'EOF'
#!/bin/sh
[ ! -e /run/gpu-fails ] || exit 9
case "$*" in
  *utilization.gpu*) cat /run/gpu-use ;;
  *memory.used*) cat /run/gpu-memory ;;
esac
EOF
chmod 755 /usr/local/bin/nvidia-smi
echo 0 | tee /run/gpu-use >/run/gpu-memory
for unit in gpustation-idle gpustation-idle-guard; do
  mkdir -p /etc/systemd/system/$unit.service.d
  printf '[Service]\nNice=-10\n' >/etc/systemd/system/$unit.service.d/punctual.conf
done
sed -i 's/^idle_stop_minutes=.*/idle_stop_minutes=10/' /root/settings
"""
"""Puts the scripts on a machine, with a GPU that is files.

Its watcher has priority: at a tenth of the times, others on this computer would make gaps in its
samples.
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
        settings: More settings of the machine.
        is_full_time: Nothing is faster than on a person's machine.
    """

    stops: float | None
    because: str
    before: str = ""
    then: str = ""
    notebooks: bool = False
    outside: Callable[[Machine], None] | None = None
    times: tuple[tuple[str, float], ...] = ()
    settings: tuple[tuple[str, float], ...] = ()
    is_full_time: bool = False

    @property
    def all_times(self) -> dict[str, float]:
        """Its times by name."""
        return {**A_PERSONS} if self.is_full_time else {**TIMES, **dict(self.times)}

    @property
    def late(self) -> float:
        """Seconds by which a stop may be late; one sample a minute decides at full time."""
        return A_PERSONS["tick"] + 15 if self.is_full_time else LATE


@dataclass(frozen=True)
class Outcome:
    """What a machine did.

    Attributes:
        stopped: Seconds from its first sample to its stop; ``None`` if it still ran.
        warned: Seconds from its warning to its stop; ``None`` without both.
        reason: Of the stop, or of the last verdict.
        journal: What the idle stop printed.
    """

    stopped: float | None
    warned: float | None
    reason: str
    journal: str

    def __str__(self) -> str:
        """What it did, in one line."""
        what = "still ran" if self.stopped is None else f"stopped after {self.stopped:.0f} s"
        if self.warned is not None:
            what += f", {self.warned:.0f} s after its warning"
        return f"{what}: {self.reason}"


def fault(scene: Scene, outcome: Outcome) -> str:
    """What a machine did wrong; empty if it did what it must."""
    if scene.because not in outcome.reason:
        return f"{outcome}; the reason must contain {scene.because!r}"
    if scene.stops is None:
        return "" if outcome.stopped is None else f"{outcome}; it must not stop"
    latest = scene.stops + scene.late
    if outcome.stopped is None or not scene.stops - 1 <= outcome.stopped <= latest:
        return f"{outcome}; it must stop after {scene.stops:.0f} to {latest:.0f} s"
    lead, tick = min(300, scene.all_times["window"] / 2), scene.all_times["tick"]
    if outcome.warned is None or outcome.warned < lead - tick:
        return f"{outcome}; it must warn {lead:.0f} s before"
    return ""


def play(
    scene: Scene,
    distribution: str,
    folder: Path,
    disk: Path | None = None,
    change: Callable[[Path], None] | None = None,
) -> Outcome:
    """Boot a machine, let the scene go on, and observe what the idle stop does.

    Args:
        scene: The scene.
        distribution: What it boots.
        folder: Where its disk is made.
        disk: What another machine has written over that distribution. Default: nothing.
        change: Changes the machine's copy of ``userdata/``, whose folder it gets. Default: nothing.
    """
    with phase_machine(distribution, folder, disk, f"i-{folder.name}") as machine:
        if change is not None:
            change(machine.root / "root/userdata")
        prepare(machine, scene)
        if scene.notebooks:
            machine.sh(
                "for i in $(seq 300); do curl -s -o /dev/null http://127.0.0.1:8888/api && exit; "
                "sleep 0.2; done; exit 1"
            )
        machine.sh(scene.before)
        begun = begin(machine)
        machine.sh(scene.then)
        observed = scene.all_times["window"] if scene.stops is None else scene.stops
        end = time.monotonic() + observed + max(LONGER, scene.late + 10)
        while machine.runs and time.monotonic() < end:
            if scene.outside is not None:
                scene.outside(machine)
            time.sleep(0.5)
        while machine.runs and (machine.root / LAST_STOP).exists() and time.monotonic() < end + OFF:
            time.sleep(0.5)
        return _outcome(machine, begun)


def prepare(machine: Machine, scene: Scene) -> None:
    """Put programs, settings and times of the idle stop on a machine."""
    machine.sh(PREPARE)
    if scene.settings:
        settings = {"idle_stop_minutes": 10, "jupyter_port": 8888, **dict(scene.settings)}
        machine.sh(f"echo '{json.dumps(settings)}' >/var/lib/gpustation/settings.json")
    if not scene.is_full_time:
        machine.sh(f"echo '{json.dumps(scene.all_times)}' >/etc/gpustation/idle-times.json")


def begin(machine: Machine) -> int:
    """Install the timers; returns the moment of the first verdict, in seconds since 1970."""
    machine.phase("idle", "09-watch-idle")
    machine.sh(f"for i in $(seq 600); do [ -e {VERDICT} ] && exit; sleep 0.1; done; exit 1")
    return int(json.loads(machine.sh(f"cat {VERDICT}"))["decided_at"])


def _outcome(machine: Machine, begun: int) -> Outcome:
    if machine.runs:
        journal = machine.sh("journalctl -q -o cat -u gpustation-idle -u gpustation-idle-guard")
        return Outcome(None, None, json.loads(machine.sh(f"cat {VERDICT}"))["reason"], journal)
    stop = json.loads((machine.root / LAST_STOP).read_text())
    notices = [*(machine.root / "home/ubuntu").glob("THIS-MACHINE-STOPS-AT-*")]
    warned = stop["at"] - notices[0].stat().st_mtime if notices else None
    return Outcome(stop["at"] - begun, warned, stop["reason"], "")
