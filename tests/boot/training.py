"""The examples of a training that resumes, on machines that booted."""

from __future__ import annotations

import re
import time
from collections.abc import Callable

from tests.boot.workstation import PATIENCE, Workstation

STEPS = 4000
"""Of a training, which takes a hundredth of a second for each, at least."""
NOTEBOOKS = "/opt/gpustation/scripts/notebooks"
PYTHON = "/home/ubuntu/.local/share/gpustation/env/bin/python"


def until(condition: Callable[[], object], seconds: float = 120) -> object:
    """Wait until a condition holds, and return what it returned."""
    end = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < end
        time.sleep(0.2)
    return found


def logged(station: Workstation, unit: str, text: str) -> str:
    """Wait until the journal of a unit has a text, and return all of it.

    --merge: in its first boot, a machine of a saved image has a new machine id, but the journal
    goes on under the old one, which journalctl leaves out by itself.
    """
    end = time.monotonic() + PATIENCE
    while text not in (log := station.sh(f"journalctl -q --merge -o cat -u {unit}")):
        assert time.monotonic() < end, f"{text!r} is not in: {log}"
        time.sleep(0.2)
    return log


def slow_down(station: Workstation, framework: str, every: int) -> None:
    """Let the person's example take long enough to be interrupted, with a checkpoint every so many.

    It goes on to have the same result.
    """
    slow = "s/^        step += 1/&; __import__('time').sleep(0.01)/"
    change = f"s/20_000/{STEPS}/; s/default=500/default={every}/; {slow}"
    station.sh(f'sed -i "{change}" /home/ubuntu/resumable-{framework}.py')


def straight(station: Workstation, framework: str) -> str:
    """The last line of the same training without any interruption, with its parameters' digest."""
    program = f"{NOTEBOOKS}/resumable-{framework}.py --steps {STEPS} --folder /home/ubuntu/straight"
    station.sh(f"systemd-run -q --unit=straight --uid=ubuntu {PYTHON} {program}")
    log = logged(station, "straight", "finished after")
    found = re.search(rf"finished after {STEPS} steps, parameters \w+", log)
    assert found
    return found[0]


def resumes(station: Workstation, framework: str) -> None:
    """Stop a training and kill it, and see that it ends as without that."""
    unit = f"gpustation-training@resumable-{framework}"
    slow_down(station, framework, every=100)
    station.sh(f"systemctl start {unit}")
    logged(station, unit, f"begun, {STEPS} steps")
    station.sh(f"systemctl stop {unit}")
    stopped = re.search(r"saved step (\d+), loss \S+\nstopped;", logged(station, unit, "stopped;"))
    assert stopped
    station.sh(f"systemctl start {unit}")
    log = logged(station, unit, f"resumed at step {stopped[1]} of {STEPS}")
    until(lambda: logged(station, unit, "saved").count("saved") > log.count("saved") + 1)
    # As by a crash: systemd starts it again
    station.sh(f"systemctl kill -s KILL {unit}")
    log = logged(station, unit, "finished after")
    first, second = re.findall(r"resumed at step (\d+)", log)
    assert int(second) > int(first) > 0
    assert straight(station, framework) in log.splitlines()
