"""The daily stop on a machine that boots: only there do the timer, its pause and power meet."""

from __future__ import annotations

import json
import time
from datetime import datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from tests.boot.idle_scene import PREPARE, TIMES
from tests.boot.phase_machine import phase_machine

ZONE = "Asia/Kolkata"
"""Half an hour away from whole hours, so that it is not this computer's."""
LEAD = TIMES["window"] / 2
AHEAD = LEAD + 2 * TIMES["tick"] + 20
"""Seconds for the set-up of the scene and the warning, at least."""
BURN = "sh -c 'while :; do :; done'"


@pytest.mark.tier("all")
@pytest.mark.parametrize("distribution", ["debian-13"], indirect=True)
def test_a_busy_machine_warns_and_stops_at_the_second(distribution: str, tmp_path: Path) -> None:
    """Without patience, so that the work does not delay it."""
    with phase_machine(distribution, tmp_path, name="i-daily") as machine:
        machine.sh(PREPARE)
        install = "apt-get -qq update; apt-get -qqy install tzdata"
        machine.sh(f"[ -e /usr/share/zoneinfo/{ZONE} ] || {{ {install}; }}")
        due = datetime.now(ZoneInfo(ZONE)) + timedelta(seconds=AHEAD + 60)
        due = due.replace(second=0, microsecond=0)
        settings = {"idle_stop_minutes": 10, "stop_at": f"{due:%H:%M} {ZONE}", "jupyter_port": 8888}
        machine.sh(f"echo '{json.dumps(settings)}' >/var/lib/gpustation/settings.json")
        machine.sh(f"echo '{json.dumps(TIMES)}' >/etc/gpustation/idle-times.json")
        machine.sh(f"systemd-run -q --collect {BURN}")
        machine.phase("idle", "09-watch-idle")
        while machine.runs and time.time() < due.timestamp() + 60:
            time.sleep(0.5)
        assert not machine.runs
        stop = json.loads((machine.root / "var/lib/gpustation/last-stop.json").read_text())
        assert stop["reason"] == f"daily stop at {due:%H:%M} {ZONE}"
        assert 0 <= stop["at"] - due.timestamp() <= 1
        (notice,) = (machine.root / "home/ubuntu").glob("THIS-MACHINE-STOPS-AT-*-UTC.txt")
        warned = due.timestamp() - notice.stat().st_mtime
        assert LEAD <= warned <= LEAD + 3 * TIMES["tick"]
        assert f"daily stop at {due:%H:%M} {ZONE}" in notice.read_text()
