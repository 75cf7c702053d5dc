"""The machine's report: its public host keys, signed and written once per boot, never a failure."""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from machine_bench import USERDATA, Machine

from gpustation.access.report import parse_report

SCRIPT = USERDATA / "phases/08-write-report/write_report.py"
BLOB = base64.b64encode(bytes([0, 0, 0, 19]) + b"ecdsa-sha2-nistp256" * 4).decode()
ECDSA = f"ecdsa-sha2-nistp256 {BLOB}"
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
        "etc/ssh/ssh_host_ecdsa_key.pub": f"{ECDSA} root@host\n",
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
    assert report["host_keys"] == [KEY, ECDSA]
    (machine.root / "etc/ssh/ssh_host_ed25519_key.pub").write_text(KEY.replace("A0N", "B0N"))
    assert write(machine).returncode == 0
    assert len(written) == 2


def test_the_set_up_is_part_of_the_report_and_yields_to_the_host_keys(machine: Machine) -> None:
    prepare(machine)
    state = machine.state
    for kind, phase, text in (
        ("seconds", "system", "9\n"),
        ("warnings", "metadata", "no rule\nfor it\n"),
    ):
        (state / kind).mkdir(parents=True)
        (state / kind / phase).write_text(text)
    (state / "progress").touch()
    assert write(machine).returncode == 0
    assert json.loads(machine.cloud.written[-1]["Value"])["set_up"] is None
    (state / "progress").write_text("running driver 1795816000\n")
    written: list[dict[str, Any]] = machine.cloud.written
    assert write(machine).returncode == 0
    report = parse_report(written[-1]["Value"])
    assert report is not None and report.set_up is not None
    assert (report.set_up.state, report.set_up.phase) == ("running", "driver")
    assert report.set_up.seconds == {"system": 9}
    assert report.set_up.warnings == {"metadata": "no rule for it"}
    for number in range(30):
        (state / "warnings" / f"phase-{'x' * number}").write_text("long " * 200)
    assert write(machine).returncode == 0
    report = parse_report(written[-1]["Value"])
    assert report is not None and report.set_up is not None
    assert 5 < len(report.set_up.warnings) < 31
    assert len(report.host_keys) == 2


def test_what_the_idle_stop_decided_is_part_of_the_report(machine: Machine) -> None:
    prepare(machine)
    verdict = {"state": "warned", "reason": "quiet", "decided_at": 5, "stops_at": 305}
    told = {**verdict, "keep_awake_until": 900, "moved": {"gpu": 0}}
    folder = machine.root / "run/gpustation/idle"
    folder.mkdir(parents=True)
    (folder / "verdict.json").write_text(json.dumps(told))
    (folder / "last-stop.json").write_text('{"at": 4, "reason": "long ago"}')
    assert write(machine).returncode == 0
    report = json.loads(machine.cloud.written[-1]["Value"])
    assert report["verdict"] == verdict
    assert (report["last_stop"]["at"], report["keep_awake_until"]) == (4, 900)
    # A stop that is under way comes before the last one
    (machine.state / "last-stop.json").write_text('{"at": 400, "reason": "now"}')
    (folder / "failing").write_text("9")
    assert write(machine).returncode == 0
    read = parse_report(machine.cloud.written[-1]["Value"])
    assert read is not None and read.verdict is not None and read.last_stop is not None
    assert (read.verdict.state, read.last_stop.reason) == ("failing", "now")
    for name in ("verdict.json", "last-stop.json"):
        (folder / name).write_text('{"state": ')
    (machine.state / "last-stop.json").write_text("[]")
    (folder / "failing").unlink()
    assert write(machine).returncode == 0
    report = json.loads(machine.cloud.written[-1]["Value"])
    assert report["verdict"] is report["last_stop"] is report["keep_awake_until"] is None


def test_the_size_of_scratch_is_part_of_the_report(machine: Machine) -> None:
    prepare(machine)
    (machine.root / "scratch").mkdir()
    assert write(machine).returncode == 0
    assert json.loads(machine.cloud.written[-1]["Value"])["scratch_gib"] is None, "a plain folder"
    (machine.root / "run/gpustation/scratch").touch()
    assert write(machine).returncode == 0
    report = parse_report(machine.cloud.written[-1]["Value"])
    known = os.statvfs(machine.root)
    assert report is not None
    assert report.scratch_gib == round(known.f_blocks * known.f_frsize / (1 << 30))


def test_every_phase_of_a_boot_is_told_and_its_end(machine: Machine) -> None:
    prepare(machine)
    machine.cloud.settings["report"] = "/gpustation/report/GpuWorkstation/X"
    machine.boot()
    reports = [json.loads(request["Value"])["set_up"] for request in machine.cloud.written]
    told = [(one["state"], one["phase"]) for one in reports]
    assert told[-1] == ("complete", "jupyter-check")
    assert {"environment", "verify"} <= {phase for _, phase in told}
    assert set(reports[-1]["seconds"]) >= {"system", "driver", "environment", "verify"}
    before = len(told)
    machine.boot()
    assert len(machine.cloud.written) - before <= 2  # the next boot has nothing to do


def test_a_failed_set_up_is_told_with_its_phase(machine: Machine) -> None:
    prepare(machine)
    machine.cloud.settings["report"] = "/gpustation/report/GpuWorkstation/X"
    machine.boot({"apt-get": {"status": 100}})
    last = json.loads(machine.cloud.written[-1]["Value"])["set_up"]
    assert last["state"] == "failed"
    assert last["phase"] == "system"


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
