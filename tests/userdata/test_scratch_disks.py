"""Which disks phase 15-mount-scratch takes for the instance store, and what it says is on them.

``/sys`` and ``/proc`` are files here, and ``wipefs`` prints what the real one does; real disks are
in ``tests/boot/test_scratch.py``.
"""

from __future__ import annotations

import importlib.util
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest
from machine_bench import USERDATA

FOLDER = USERDATA / "phases/15-mount-scratch"
PROGRAM = FOLDER / "find_disks.py"
STORE = "Amazon EC2 NVMe Instance Storage        "
EBS = "Amazon Elastic Block Store              "
UUID = "11111111-2222-4333-8444-555555555555"
SPEC = importlib.util.spec_from_file_location("find_disks", PROGRAM)
assert SPEC and SPEC.loader
find_disks: Any = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(find_disks)


class Disks:
    """A folder that stands for a machine with NVMe disks."""

    def __init__(self, root: Path) -> None:
        self.root = root
        (root / "bin").mkdir()
        self.put("proc/self/mountinfo", "28 1 259:0 / / rw - ext4 /dev/root rw\n")
        self.put("proc/swaps", "Filename Type Size Used Priority\n")
        self.wipefs("")

    def put(self, path: str, text: str) -> None:
        target = self.root / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text)

    def add(self, name: str, model: str = STORE, number: str = "259:9") -> None:
        self.put(f"sys/block/{name}/device/model", f"{model}\n")
        self.put(f"sys/block/{name}/dev", f"{number}\n")
        (self.root / f"sys/block/{name}/holders").mkdir()

    def wipefs(self, script: str) -> None:
        command = self.root / "bin/wipefs"
        command.write_text(f'#!/bin/bash\necho "$*" >>{self.root}/calls\n{script}\n')
        command.chmod(0o755)

    def found(self) -> list[list[str]]:
        path = f"{self.root}/bin:{os.environ['PATH']}"
        done = subprocess.run(
            ["python3", "-I", str(PROGRAM)],
            env={"GPUSTATION_ROOT": str(self.root), "PATH": path},
            capture_output=True,
            text=True,
            check=True,
        )
        return [line.split("\t") for line in done.stdout.splitlines()]

    def device(self, name: str) -> str:
        return f"{self.root}/dev/{name}"


@pytest.fixture
def disks(tmp_path: Path) -> Disks:
    return Disks(tmp_path)


def test_only_the_model_of_instance_store_counts(disks: Disks) -> None:
    assert disks.found() == [], "there is no /sys/block"
    disks.add("nvme0n1", EBS)
    disks.add("nvme10n1")
    disks.add("nvme2n1")
    disks.add("nvme3n1", "Samsung SSD 990 PRO 2TB")
    disks.add("nvme4n1", f"not {STORE}")
    (disks.root / "sys/block/nvme5n1").mkdir()
    disks.add("sda")
    assert disks.found() == [
        [disks.device("nvme2n1"), "blank", ""],
        [disks.device("nvme10n1"), "blank", ""],
    ]
    calls = (disks.root / "calls").read_text().splitlines()
    assert {call.split()[-1] for call in calls} == {
        disks.device("nvme2n1"),
        disks.device("nvme10n1"),
    }
    assert all("--no-act" in call for call in calls), "nothing is changed"


@pytest.mark.parametrize(
    ("printed", "state", "detail"),
    [
        ("", "blank", ""),
        (f"ext4,{UUID},gpustation", "ours", f"ext4 {UUID}"),
        (f"# TYPE,UUID,LABEL\nbtrfs,{UUID},gpustation", "ours", f"btrfs {UUID}"),
        (f"ext4,{UUID},", "foreign", "it has ext4"),
        (f"ext4,{UUID},gpustation-2", "foreign", "it has ext4"),
        (f"xfs,{UUID},gpustation", "foreign", "it has xfs"),
        ("LVM2_member,a-b,", "foreign", "it has LVM2_member"),
        ("gpt,,\ngpt,,\nPMBR,,", "foreign", "it has gpt, PMBR"),
        (f"ext4,{UUID},gpustation\nzfs_member,,", "foreign", "it has ext4, zfs_member"),
    ],
)
def test_what_is_on_a_disk(disks: Disks, printed: str, state: str, detail: str) -> None:
    disks.add("nvme1n1")
    disks.wipefs(f"printf '{printed}\\n'")
    assert disks.found() == [[disks.device("nvme1n1"), state, detail]]


def test_a_disk_that_cannot_be_read_is_not_blank(disks: Disks) -> None:
    disks.add("nvme1n1")
    disks.wipefs("echo 'wipefs: error: probing initialization failed: Input/output error'; exit 1")
    ((_, state, detail),) = disks.found()
    assert state == "foreign"
    assert detail.startswith("it cannot be examined: wipefs: error: probing")
    (disks.root / "bin/wipefs").write_text("no program")
    ((_, state, _),) = disks.found()
    assert state == "foreign"


def test_a_disk_that_hangs_is_not_blank(disks: Disks, monkeypatch: pytest.MonkeyPatch) -> None:
    disks.wipefs("exec sleep 60")
    monkeypatch.setattr(find_disks, "SECONDS", 0.2)
    monkeypatch.setenv("PATH", f"{disks.root}/bin:{os.environ['PATH']}")
    assert find_disks.content_of("/dev/x")[0] == "foreign"


@pytest.mark.parametrize(
    ("path", "text", "detail"),
    [
        (
            "proc/self/mountinfo",
            "30 28 259:9 / /data rw - ext4 /dev/disk/by-uuid/1 rw\n",
            "it is mounted at /data",
        ),
        (
            "proc/self/mountinfo",
            "30 28 0:40 /sub /b shared:1 master:2 - btrfs {device} rw\n",
            "it is mounted at /b",
        ),
        (
            "proc/self/mountinfo",
            "30 28 259:10 / /p rw - ext4 {device}p1 rw\n",
            "it is mounted at /p",
        ),
        ("proc/swaps", "Filename\n{device} partition 1 0 -2\n", "it is swap space"),
        ("sys/block/nvme1n1/holders/dm-0", "", "it is a part of dm-0"),
    ],
)
def test_a_disk_that_somebody_uses(disks: Disks, path: str, text: str, detail: str) -> None:
    disks.add("nvme1n1")
    disks.put("sys/block/nvme1n1/nvme1n1p1/dev", "259:10\n")
    disks.put(path, text.replace("{device}", disks.device("nvme1n1")))
    assert disks.found() == [[disks.device("nvme1n1"), "used", detail]]
    assert not (disks.root / "calls").exists(), "it is not even read"


def test_both_programs_have_one_label() -> None:
    assert f"\nlabel={find_disks.LABEL}\n" in (FOLDER / "phase.sh").read_text()
