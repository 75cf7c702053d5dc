"""A disk that was copied into another machine: what goes, what stays."""

from __future__ import annotations

import json
import os
import re
import subprocess
from pathlib import Path

import pytest
from machine_bench import SETTINGS, STUBS, USERDATA

from localaws.machines.records import give_home

BLOCK = """\
# gpustation: set by the stack, replaced at every boot
ssh-ed25519 AAAA old-launch
# gpustation: end
"""
FILES = {
    "var/lib/cloud/data/instance-id": "i-new\n",
    "var/lib/cloud/instances/i-old/user-data.txt": "old addresses",
    "run/cloud-init/.instance-id": "i-new\n",
    "var/lib/gpustation/instance-id": "i-old\n",
    "var/lib/gpustation/settings.json": json.dumps(SETTINGS),
    "var/lib/gpustation/signaled/gpu": "{}",
    "var/lib/gpustation/done/environment": "digest\n",
    "var/lib/gpustation/done/verify": "digest\n",
    "var/lib/gpustation/done/jupyter-check": "digest\n",
    "etc/machine-id": "old\n",
    "var/lib/gpustation/jupyter-token": "old",
    "home/ubuntu/.config/gpustation/jupyter-token": "of an earlier release",
    "home/ubuntu/.ssh/authorized_keys": f"ssh-rsa AAAA of-the-person\n{BLOCK}",
    "home/ubuntu/.bash_history": "secret\n",
    "home/ubuntu/work.txt": "mine",
}


@pytest.fixture
def disk(tmp_path: Path) -> Path:
    for name, text in FILES.items():
        file = tmp_path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    give_home(tmp_path)
    return tmp_path


def run(disk: Path, script: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["bash", USERDATA / script],
        env={
            "PATH": f"{STUBS}:{os.environ['PATH']}",
            "GPUSTATION_ROOT": str(disk),
            "GPUSTATION_PHASE": "identity",
        },
        capture_output=True,
        text=True,
        check=False,
    )


def become(disk: Path) -> None:
    done = run(disk, "identity/become-new-machine.sh")
    assert done.returncode == 0, done.stderr


def bootstrap(disk: Path, age: float) -> Path:
    """Addresses that the user data laid down so many seconds before this boot."""
    file = disk / "etc/gpustation/bootstrap.json"
    file.parent.mkdir(parents=True)
    file.write_text("{}")
    booted = (disk / "run/cloud-init/.instance-id").stat().st_mtime
    os.utime(file, (booted - age, booted - age))
    return file


def test_what_was_the_old_machines_goes_and_the_rest_stays(disk: Path) -> None:
    become(disk)
    assert re.fullmatch(r"[0-9a-f]{32}\n", (disk / "etc/machine-id").read_text())
    token = disk / "var/lib/gpustation/jupyter-token"
    assert re.fullmatch(r"[0-9a-f]{48}", token.read_text())
    assert token.stat().st_mode & 0o777 == 0o600
    keys = (disk / "home/ubuntu/.ssh/authorized_keys").read_text()
    assert keys == "ssh-rsa AAAA of-the-person\n"
    for gone in (
        "home/ubuntu/.bash_history",
        "home/ubuntu/.config/gpustation/jupyter-token",
        "var/lib/cloud/instances/i-old",
        "var/lib/gpustation/signaled",
        "var/lib/gpustation/done/verify",
        "var/lib/gpustation/done/jupyter-check",
    ):
        assert not (disk / gone).exists(), gone
    assert (disk / "var/lib/gpustation/done/environment").exists()
    assert (disk / "home/ubuntu/work.txt").read_text() == "mine"
    assert (disk / "var/lib/gpustation/instance-id").read_text() == "i-new\n"


def test_once_per_machine(disk: Path) -> None:
    become(disk)
    token = (disk / "var/lib/gpustation/jupyter-token").read_text()
    become(disk)
    assert (disk / "var/lib/gpustation/jupyter-token").read_text() == token


def test_old_stacks_addresses_go_and_its_set_up_does_not_start(disk: Path) -> None:
    known = bootstrap(disk, age=100)
    become(disk)
    assert not known.exists()
    assert not (disk / "var/lib/gpustation/settings.json").exists()
    calls = (disk / "var/log/stub-calls.log").read_text()
    assert "systemctl disable gpustation.service" in calls


def test_new_stacks_addresses_stay(disk: Path) -> None:
    known = bootstrap(disk, age=-1)
    become(disk)
    assert known.exists()
    assert not (disk / "var/lib/gpustation/settings.json").exists()


def test_what_install_sh_was_told_stays(disk: Path) -> None:
    become(disk)
    assert (disk / "var/lib/gpustation/settings.json").exists()


def test_fails_when_the_copy_still_holds_what_was_the_old_machines(disk: Path) -> None:
    done = run(disk, "phases/07-keep-identity/phase.sh")
    assert done.returncode == 78
    assert "this disk is a copy of that of instance i-old" in done.stderr
    assert (disk / "var/lib/gpustation/instance-id").read_text() == "i-old\n"
    become(disk)
    assert run(disk, "phases/07-keep-identity/phase.sh").returncode == 0
