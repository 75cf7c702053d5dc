"""`make demo` where machines boot: what it shows, and that nothing is left, however it ends.

Only the command itself shows what a newcomer reads, and what it leaves.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from localaws.machines.booted import cgroups

ROOT = Path(__file__).resolve().parents[2]
PATIENCE = 600
COMPUTED = "no GPU: computed on the CPU"


class Demo:
    """One run, in a session of its own, with all its files below `folder`."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._output = folder / "output"
        self.process = subprocess.Popen(
            [sys.executable, "-m", "localaws.demo"],
            cwd=ROOT,
            env={
                **os.environ,
                "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
                "TMPDIR": str(folder),
                "COLUMNS": "100",
            },
            stdin=subprocess.DEVNULL,
            stdout=self._output.open("wb"),
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        self.emulators: set[int] = set()

    @property
    def text(self) -> str:
        return self._output.read_text(errors="replace")

    def await_text(self, text: str) -> None:
        deadline = time.monotonic() + PATIENCE
        while text not in self.text:
            assert self.process.poll() is None, self.text
            assert time.monotonic() < deadline, self.text
            time.sleep(0.05)
        self.emulators |= set(_children(self.process.pid, "localaws.account"))

    def end(self) -> int:
        return self.process.wait(PATIENCE)

    def left(self) -> list[str]:
        """Processes, cgroups, mounts and files of it."""
        assert self.emulators, "no embedded AWS was seen"
        sessions = {self.process.pid, *self.emulators}
        found = [f"process {pid} {line}" for pid, line in _processes() if _session(pid) in sessions]
        mount = cgroups.mount_point()
        assert mount is not None
        for emulator in self.emulators:
            found += [str(folder) for folder in mount.glob(f"localaws-{emulator}-*")]
        mounts = Path("/proc/self/mounts").read_text().splitlines()
        found += [line for line in mounts if str(self._folder) in line]
        return found + [str(path) for path in self._folder.iterdir() if path != self._output]


def _processes() -> Iterator[tuple[int, str]]:
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            line = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue
        if line:  # a zombie has none
            yield int(folder.name), line.strip()


def _session(pid: int) -> int:
    try:
        return os.getsid(pid)
    except ProcessLookupError:
        return 0


def _children(parent: int, text: str) -> list[int]:
    found = []
    for pid, line in _processes():
        try:
            stat = Path("/proc", str(pid), "stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(stat[1]) == parent and text in line:
            found.append(pid)
    return found


@pytest.fixture
def demo(tmp_path: Path) -> Iterator[Demo]:
    made = Demo(tmp_path)
    yield made
    if made.process.poll() is None:
        os.killpg(made.process.pid, signal.SIGKILL)
        made.process.wait()


def test_machine_boots_reports_its_steps_and_answers_as_jupyter(demo: Demo) -> None:
    demo.await_text("Inside i-")
    assert demo.end() == 0, demo.text
    text = " ".join(demo.text.split())
    steps = [
        text.index(
            f"CREATE_COMPLETE | AWS::CloudFormation::WaitCondition | Default/Generation1/{name}"
        )
        for name in ("DriverReady", "EnvironmentReady", "GpuReady")
    ]
    assert steps == sorted(steps)
    assert f"GpuWorkstation.Ready = {COMPUTED}" in text
    assert "and with its token: HTTP status 200" in text
    # In a shell, in a notebook's kernel, and in a shell after the reboot
    assert text.count("MXNet: 6.0") == 3
    assert text.count("| still here |") == 2
    assert COMPUTED in " ".join(demo.text.splitlines()[-4:])
    assert demo.left() == []


def test_nothing_is_left_after_ctrl_c_in_the_middle(demo: Demo) -> None:
    demo.await_text("Generation1/DriverReady ")
    assert [*Path(cgroups.mount_point() or "").glob(f"localaws-{min(demo.emulators)}-i-*")]
    os.killpg(demo.process.pid, signal.SIGINT)
    assert demo.end() == 130, demo.text
    assert "interrupted: the embedded AWS and all that it started are gone" in demo.text
    assert demo.left() == []


def test_nothing_is_left_after_kill_9_in_the_middle(demo: Demo) -> None:
    demo.await_text("Generation1/DriverReady ")
    os.killpg(demo.process.pid, signal.SIGKILL)
    demo.end()
    deadline = time.monotonic() + 300
    while (
        left := [each for each in demo.left() if "process" in each]
    ) and time.monotonic() < deadline:
        time.sleep(0.2)
    assert left == []
