"""The machine's report: its public host keys, signed and written once per boot, never a failure."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from machine_bench import USERDATA, Machine

SCRIPT = USERDATA / "phases/08-write-report/write_report.py"
KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIA0NDQ0NDQ0NDQ0NDQ0NDQ0NDQ0NDQ0NDQ0NDQ0NDQ0N"


def write(machine: Machine) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-I", SCRIPT, "CFN-Report"],
        env=machine._environment({}),
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


def prepare(machine: Machine) -> None:
    machine.run_agent("fetch")
    for name, text in {
        "etc/ssh/ssh_host_ed25519_key.pub": f"{KEY} root@host\n",
        "etc/ssh/ssh_host_rsa_key.pub": "ssh-rsa {{resolve:ssm:/x}} root@host\n",
        "var/lib/cloud/data/instance-id": "i-0123456789abcdef0\n",
    }.items():
        path: Path = machine.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def test_host_keys_are_written_once_per_boot_and_again_after_a_change(machine: Machine) -> None:
    prepare(machine)
    written: list[dict[str, Any]] = machine.cloud.written
    for _ in range(2):
        done = write(machine)
        assert done.returncode == 0, done.stderr
    (request,) = written
    assert (request["Name"], request["Overwrite"]) == ("CFN-Report", True)
    report = json.loads(request["Value"])
    assert (report["schema"], report["instance_id"]) == (1, "i-0123456789abcdef0")
    assert report["host_keys"] == [KEY]
    (machine.root / "etc/ssh/ssh_host_ed25519_key.pub").write_text(KEY.replace("A0N", "B0N"))
    assert write(machine).returncode == 0
    assert len(written) == 2


def test_a_refusal_is_one_line(machine: Machine) -> None:
    prepare(machine)
    machine.cloud.faults["^/$"] = [9, 400, '{"__type": "ValidationException"}']
    done = write(machine)
    assert done.returncode == 1
    assert "report parameter CFN-Report answered 400" in done.stderr
    assert "Traceback" not in done.stderr


def test_without_host_keys_nothing_is_written(machine: Machine) -> None:
    machine.run_agent("fetch")
    assert "no SSH host keys" in write(machine).stdout
    assert machine.cloud.written == []
