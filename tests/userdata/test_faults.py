"""Faults that trying again does not cure, full disks, and two runs at once."""

from __future__ import annotations

import fcntl
import json
import subprocess
import threading
from typing import Any

import pytest
from machine_bench import Machine
from test_driver import put_before_the_stubs

UV_MISMATCH = "  x Failed to download `pip==1`\n  Hash mismatch for `pip==1`\nExpected:\n  sha256:0"
PIP_MISMATCH = "ERROR: THESE PACKAGES DO NOT MATCH THE HASHES FROM\n    uv==0.13.9 from https://"
FULL = "error: write failed: No space left on device (os error 28)"


def run_again(machine: Machine, faults: dict[str, dict[str, Any]] | None = None) -> int:
    """Run the runner alone; returns its exit status."""
    done = subprocess.run(
        ["bash", machine.root / "opt/gpustation/scripts/run.sh"],
        env=machine._environment(faults or {}),
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    machine.output = done.stdout + done.stderr
    return done.returncode


@pytest.fixture
def undone(finished: Machine) -> Machine:
    """A machine whose environment is still to be installed."""
    finished.environment.clear()
    for name in ("done/environment", "environment-complete"):
        (finished.state / name).unlink(missing_ok=True)
    finished.forget_calls()
    return finished


def failure(machine: Machine) -> dict[str, Any]:
    return dict(json.loads(machine.read("var/lib/gpustation/failure.json")))


def test_a_fault_that_stays_is_told_from_one_that_may_pass(undone: Machine) -> None:
    assert run_again(undone, {"uv": {"exit": 42}}) == 42
    undone.environment["LOCALAWS_FREE_MIB"] = "100"
    assert run_again(undone) == failure(undone)["exit_code"] == 78


@pytest.mark.tier("all")
def test_third_try_of_a_boot_is_the_last(undone: Machine) -> None:
    (undone.root / "run/gpustation/tries").unlink(missing_ok=True)
    tries = [run_again(undone, {"uv": {"exit": 42}}) for _ in range(3)]
    # systemd starts the set-up again after all but 78
    assert tries == [42, 42, 78]
    assert "this was the last of 3 attempts" in undone.output
    assert failure(undone)["exit_code"] == 42
    assert run_again(undone, {"uv": {"exit": 42}}) == 42, "the next boot has three again"


@pytest.mark.tier("all")
def test_what_is_killed_three_times_is_not_started_again(undone: Machine) -> None:
    tries = undone.root / "run/gpustation/tries"
    assert not tries.exists()
    undone.environment["GPUSTATION_RETRY_SECONDS"] = "0"
    put_before_the_stubs(undone, "ldconfig", KILLS_THE_RUNNER)
    assert [run_again(undone) for _ in range(4)] == [-9, -9, -9, 78]
    assert "error: 3 attempts ended without a report; the next boot tries again" in undone.output
    put_before_the_stubs(undone, "ldconfig", "exit 0")
    assert run_again(undone) == 0
    assert not tries.exists()


def test_systemds_own_count_is_forgotten_at_each_try(undone: Machine) -> None:
    assert run_again(undone) == 0
    assert "systemctl reset-failed gpustation.service" in undone.calls("systemctl")


KILLS_THE_RUNNER = """
pid=$$
while ((pid > 1)); do
  ! grep -qz 'scripts[^/]*/run.sh' /proc/$pid/cmdline || runner=$pid
  pid=$(sed -n 's/^PPid:\t//p' /proc/$pid/status)
done
kill -9 $runner
exit 1
"""
PYTHON_SOURCE = "releases.astral.sh or github.com"
UV_CAUSES = """error: Failed to install cpython-3.11.18-linux-x86_64-gnu
  cause: Request failed after 3 retries in 10.5s
  cause: Connection refused (os error 111)"""


@pytest.mark.parametrize("mirror", ["", "https://mirror.example.com/python"])
@pytest.mark.rows_in_make_test(1)
def test_python_that_cannot_be_fetched_is_tried_again_and_names_its_source(
    undone: Machine, mirror: str
) -> None:
    settings = undone.state / "settings.json"
    told = json.loads(settings.read_text()) | {"python_mirror": mirror}
    settings.write_text(json.dumps(told))
    undone.environment["GPUSTATION_RETRY_SECONDS"] = "6"
    fault = {"exit": 2, "stderr": UV_CAUSES, "when": "python install"}
    assert run_again(undone, {"uv": fault}) == 2
    assert failure(undone)["reason"].startswith(
        "phase environment failed: Python 3.11 for mxnet could not be downloaded from "
        f"{mirror or PYTHON_SOURCE} (Connection refused (os error 111)): the machine must "
        "reach it, or python_mirror must name a copy of python-build-standalone's releases after "
    )
    assert len([call for call in undone.calls("uv") if "python install" in call]) == 2
    undone.forget_calls()
    assert run_again(undone) == 0
    assert f"uv fetches from {mirror or 'its own source'}" in undone.calls("uv")


@pytest.mark.parametrize(
    ("command", "when", "text", "named"),
    [
        ("uv", "pip install", UV_MISMATCH, "Hash mismatch for `pip==1` Expected:"),
        ("python", "pip install", PIP_MISMATCH, "HASHES FROM uv==0.13.9 from"),
        ("uv", "pip install", FULL, FULL),
    ],
)
@pytest.mark.rows_in_make_test(1)
def test_what_cannot_get_better_is_tried_once(
    undone: Machine, command: str, when: str, text: str, named: str
) -> None:
    undone.environment["GPUSTATION_RETRY_SECONDS"] = "6"
    assert run_again(undone, {command: {"exit": 1, "stderr": text, "when": when}}) == 78
    assert named in failure(undone)["reason"]
    assert text.splitlines()[0] in undone.output
    assert len([call for call in undone.calls(command) if when in call]) == 1


def test_full_disk_while_the_book_is_fetched_is_a_warning(machine: Machine) -> None:
    machine.boot({"git": {"exit": 128, "stderr": FULL, "when": "fetch"}})
    assert "; warning: the D2L notebooks are missing" in machine.cloud.signals[-1][1]["Data"]
    assert not (machine.state / "failed-command").exists()


@pytest.mark.parametrize(
    ("free", "phase", "what"),
    [
        (1000, "system", "the system packages needs 1024"),
        (4600, "environment", "the environment of mxnet needs 4688"),
        (5000, "environment", "the CUDA toolkit needs 6144"),
    ],
)
@pytest.mark.rows_in_make_test(1)
def test_too_small_a_disk_is_told_before_it_is_full(
    machine: Machine, free: int, phase: str, what: str
) -> None:
    machine.environment["LOCALAWS_FREE_MIB"] = str(free)
    machine.cloud.settings.update(cuda_toolkit=True)
    machine.boot()
    reason = machine.cloud.signals[-1][1]["Reason"]
    assert reason.startswith(
        f"phase {phase} failed: {what} MiB free on the disk of {machine.root}/opt/gpustation, "
        f"there are {free}: raise disk_gib (new generation) or make room after "
    )


def test_ballast_is_given_up_at_the_first_fault(undone: Machine) -> None:
    ballast = undone.state / "ballast"
    assert run_again(undone) == 0
    assert ballast.stat().st_size == 2**20
    (undone.state / "done/environment").unlink()
    (undone.state / "environment-complete").unlink()
    assert run_again(undone, {"uv": {"exit": 42}}) == 42
    assert not ballast.exists()


def test_second_run_waits_for_the_first(finished: Machine) -> None:
    with (finished.state / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        release = threading.Timer(1, fcntl.flock, (lock, fcntl.LOCK_UN))
        release.start()
        assert run_again(finished) == 0
        release.join()
    assert "another run is in progress; waiting for it to end" in finished.output


def test_what_the_agent_says_is_kept(finished: Machine) -> None:
    assert "step gpu: signaled SUCCESS" in finished.read("var/log/gpustation/report.log")
