"""The guard of the idle stop on a machine that boots: the watcher breaks, and the machine stops.

Only there are systemd's two ways to the guard: a watcher that fails starts it, and its own timer
does. Each test leaves one of them. All times are shorter.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from localaws.machines.booted.root import DISTRIBUTIONS
from tests.boot.idle_scene import LATE, Scene, begin, prepare
from tests.boot.phase_machine import Machine, phase_machine

pytestmark = pytest.mark.tier("all")

TICK, PATIENCE, WINDOW = 6, 15, 40
FRESH, LIMIT, LEAD = 3 * TICK, 2 * PATIENCE, WINDOW / 2
"""Seconds: for which a verdict counts, after which the guard stops the machine, and its warning."""
TIMES = (("window", WINDOW), ("cap", WINDOW), ("tick", TICK), ("patience", PATIENCE))
SCRIPTS = "/opt/gpustation/scripts/idle"
CRASHES = f"""
systemctl stop gpustation-idle-guard.timer
echo 'raise RuntimeError("broken")' >>{SCRIPTS}/watch.py
"""
"""Each run of the watcher fails, and nothing but that leads to the guard."""
HANGS = f"""
sed -i -e /OnFailure=/d /etc/systemd/system/gpustation-idle.service; systemctl daemon-reload
printf '%s\\n' 'import time' 'time.sleep(100000)' >>{SCRIPTS}/watch.py
"""
"""No run decides, and nothing but its timer leads to the guard."""
IN_WORDS = "nothing decides whether this machine is idle"


@pytest.fixture
def watched(distribution: str, tmp_path: Path) -> Iterator[Machine]:
    """A machine that watches itself, and on which something is busy."""
    with phase_machine(distribution, tmp_path, name="i-guard") as machine:
        prepare(machine, Scene(None, "", times=TIMES))
        machine.sh("echo 90 >/run/gpu-use")
        begin(machine)
        yield machine


def await_text(machine: Machine, text: str, path: str) -> None:
    """Wait until a file of the machine has a text."""
    machine.sh(f"for i in $(seq 900); do grep -q '{text}' {path} && exit; sleep 0.1; done; exit 1")


@pytest.mark.parametrize("distribution", [*DISTRIBUTIONS][:1], indirect=True)
@pytest.mark.parametrize("broken", [CRASHES, HANGS], ids=["crashes", "hangs"])
def test_a_machine_whose_watcher_breaks_says_so_and_stops(watched: Machine, broken: str) -> None:
    began = time.time()
    watched.sh(broken)
    await_text(watched, IN_WORDS, "/run/motd.d/gpustation-guard")
    shown = watched.sh("sudo -u ubuntu gpustation status", status=1)
    assert f"warning     {IN_WORDS}" in shown
    assert "gpustation keep-awake 24h" in shown
    await_text(watched, "this machine stops in", "/run/motd.d/gpustation-guard")
    earliest = began + FRESH - TICK + LIMIT + LEAD
    # The guard is called once per verdict that is missing, so it may be late by two of its calls
    deadline = earliest + 3 * FRESH + LATE
    while watched.runs and time.time() < deadline:
        time.sleep(0.5)
    assert not watched.runs
    stop = json.loads((watched.root / "var/lib/gpustation/last-stop.json").read_text())
    assert stop["reason"].startswith("nothing decided for ")
    assert earliest - 1 <= stop["at"] <= deadline


@pytest.mark.parametrize("distribution", [*DISTRIBUTIONS][:1], indirect=True)
def test_a_request_outlives_the_watcher(watched: Machine) -> None:
    watched.sh(CRASHES)
    watched.sh("sudo -u ubuntu gpustation keep-awake 1h")
    await_text(watched, IN_WORDS, "/run/motd.d/gpustation-guard")
    # Until the guard has looked after the time at which it would have announced the stop
    looked = "journalctl -q -o cat -u gpustation-idle-guard -g Finished | wc -l"
    end = time.time() + FRESH + LIMIT + LEAD + 2 * FRESH
    while time.time() < end:
        assert watched.runs
        time.sleep(1)
    assert int(watched.sh(looked)) > (LIMIT + LEAD) / FRESH
    watched.sh("sudo -u ubuntu gpustation keep-awake off")
    await_text(watched, "this machine stops in", "/run/motd.d/gpustation-guard")
