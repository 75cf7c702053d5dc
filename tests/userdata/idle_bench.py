"""A folder that stands for a machine, for the real programs of its idle stop.

The commands print what the real ones do.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from machine_bench import USERDATA

IDLE = USERDATA / "idle"
MODULES = (
    *("asking", "system", "decide", "daily", "collect", "marks", "tell", "policy", "deployed"),
    *("people", "watch", "person"),
)
UNITS = """\
Id=gpustation-jupyter.service
ActiveState=inactive
InvocationID=j1
CPUUsageNSec=[not set]
MainPID=70

Id=apt-daily.service
ActiveState={apt}
InvocationID={run}
CPUUsageNSec={cpu}
MainPID=0
"""
COMMANDS = {
    "nvidia-smi": 'cat "$GPUSTATION_ROOT/smi"',
    "systemctl": 'if [ "$1" = show ]; then cat "$GPUSTATION_ROOT/units"; '
    'else echo "systemctl $*" >>"$GPUSTATION_ROOT/calls"; fi',
    "nft": 'if [ "$1" = -f ]; then cat >>"$GPUSTATION_ROOT/rules"; '
    'echo 0 >"$GPUSTATION_ROOT/moved"; exit; fi; bytes=$(cat "$GPUSTATION_ROOT/moved") || exit; '
    'printf \'{"nftables": [{"counter": {"bytes": %s}}]}\' "$bytes"',
    "ss": 'case "$*" in -Htlnp) cat "$GPUSTATION_ROOT/listening";; '
    '-HtinpO*) cat "$GPUSTATION_ROOT/established";; *) cat "$GPUSTATION_ROOT/tabs";; esac',
    "loginctl": 'if [ "$1" = list-sessions ]; then cat "$GPUSTATION_ROOT/sessions"; '
    'else cat "$GPUSTATION_ROOT/session-${!#}"; fi',
    "wall": 'echo "$1" >>"$GPUSTATION_ROOT/wall"',
}


class Box:
    """The folder that stands for a machine."""

    def __init__(self, root: Path) -> None:
        self.root = root
        for name in ("smi", "listening", "established", "tabs", "sessions", "moved"):
            self.put(name, "")
        self.put("smi", "0\n")
        self.put("moved", "0")
        self.put("dev/pts/0", "")
        self.put("proc/uptime", "1000.00 500.00\n")
        self.group("system.slice", 0)
        self.units()

    def put(self, path: str, text: str) -> Path:
        target = self.root / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text)
        return target

    def units(self, apt: str = "inactive", run: str = "a1", cpu: int = 0) -> None:
        self.put("units", UNITS.format(apt=apt, run=run, cpu=cpu))

    def group(self, name: str, seconds: float) -> None:
        self.put(f"sys/fs/cgroup/{name}/cpu.stat", f"usage_usec {seconds * 1e6:.0f}\nuser_usec 1\n")

    def process(
        self,
        pid: int,
        cgroup: str,
        command: str = "python3 train.py",
        *,
        cpu: float = 0.0,
        io: int = 0,
        parent: int = 1,
    ) -> None:
        ticks = int(cpu * os.sysconf("SC_CLK_TCK"))
        name = command.split()[0].rpartition("/")[2][:15]
        fields = ["S", parent, *[0] * 9, ticks, 0, 0, 0, *[0] * 4, 1234]
        self.put(f"proc/{pid}/stat", f"{pid} ({name}) {' '.join(map(str, fields))}")
        self.put(f"proc/{pid}/cgroup", f"0::{cgroup}\n")
        self.put(f"proc/{pid}/cmdline", command.replace(" ", "\0"))
        self.put(f"proc/{pid}/io", f"rchar: 9\nread_bytes: {io}\nwrite_bytes: 0\n")


@pytest.fixture
def box(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Box:
    commands = tmp_path / "bin"
    commands.mkdir()
    for name, script in COMMANDS.items():
        (commands / name).write_text(f"#!/bin/bash\n{script}\n")
        (commands / name).chmod(0o755)
    root = tmp_path / "root"
    root.mkdir()
    monkeypatch.setenv("GPUSTATION_ROOT", str(root))
    monkeypatch.setenv("PATH", f"{commands}:{os.environ['PATH']}")
    return Box(root)


@pytest.fixture
def idle(box: Box, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """The modules, imported as the program does it, for this folder."""
    monkeypatch.syspath_prepend(USERDATA / "jupyter")
    monkeypatch.syspath_prepend(IDLE)
    for name in MODULES:
        sys.modules.pop(name, None)
    yield SimpleNamespace(**{name: importlib.import_module(name) for name in MODULES})
    for name in MODULES:
        sys.modules.pop(name, None)


def clock(box: Box, idle: Any, seconds: float) -> None:
    box.put("proc/uptime", f"{1000 + seconds:.2f} 1.00\n")


@pytest.fixture
def watch(box: Box, idle: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Runs the watcher at a second of the uptime; its reports are lines of a list."""
    box.put(
        "var/lib/gpustation/settings.json",
        json.dumps({"idle_stop_minutes": 60, "report": "/p", "home": "/home/ubuntu"}),
    )
    box.put("etc/gpustation/bootstrap.json", "{}")
    home = box.root / "home/ubuntu"
    home.mkdir(parents=True)
    if os.geteuid() == 0:
        os.chown(home, 1000, 1000)
    monkeypatch.setattr(idle.watch, "GPU_SAMPLES", 1)
    monkeypatch.setattr(idle.collect.time, "sleep", lambda _: None)
    reports: list[str] = []

    def at(seconds: float) -> dict[str, Any]:
        clock(box, idle, seconds)
        idle.watch.watch()
        return dict(json.loads((box.root / "run/gpustation/idle/verdict.json").read_text()))

    monkeypatch.setattr(idle.tell, "report", lambda settings: reports.append("reported"))
    at.reports = reports  # type: ignore[attr-defined]
    return at
