"""The CPU may stand for a GPU on a machine of the embedded AWS, and nowhere else."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from machine_bench import USERDATA, Machine

TOOL = USERDATA / "gpu/compute_device.py"
AWS = "https://cloudformation-waitcondition-us-east-1.s3.amazonaws.com/arn?X-Amz-Signature=a"
LOOPBACK = "http://localhost:4566/_ministack/cfn-signal/a"


def device(root: Path, *addresses: str, marked: bool = True) -> subprocess.CompletedProcess[str]:
    if marked:
        (root / "etc/gpustation/no-gpu").mkdir(parents=True)
    if addresses:
        known = root / "etc/gpustation/bootstrap.json"
        known.parent.mkdir(parents=True, exist_ok=True)
        known.write_text(json.dumps({"signals": dict(enumerate(addresses))}))
    return subprocess.run(
        [sys.executable, TOOL],
        env={"GPUSTATION_ROOT": str(root)},
        capture_output=True,
        text=True,
        check=False,
    )


def test_gpu_unless_told_otherwise(tmp_path: Path) -> None:
    assert device(tmp_path, AWS, marked=False).stdout == "gpu\n"


def test_cpu_where_the_reports_stay_on_this_computer(tmp_path: Path) -> None:
    assert device(tmp_path, LOOPBACK, LOOPBACK).stdout == "cpu\n"


@pytest.mark.parametrize("addresses", [(AWS,), (LOOPBACK, AWS), ("https://localhost.evil/a",)])
def test_never_where_the_reports_leave_it(tmp_path: Path, addresses: tuple[str, ...]) -> None:
    done = device(tmp_path, *addresses)
    assert done.returncode == 1
    assert done.stdout == ""
    assert "remove the folder, a GPU must compute" in done.stderr


def test_a_deploy_on_aws_fails_instead_of_computing_on_the_cpu(machine: Machine) -> None:
    (machine.root / "etc/gpustation/no-gpu").mkdir(parents=True)
    machine.boot()
    known = machine.root / "etc/gpustation/bootstrap.json"
    script = machine.root / "opt/gpustation/scripts/phases/60-verify-gpu/phase.sh"
    addresses = json.loads(known.read_text())
    addresses["signals"]["gpu"] = AWS
    known.write_text(json.dumps(addresses))
    done = subprocess.run(
        ["bash", script],
        env=machine._environment({}),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 78
    assert "but this one reports to cloudformation-waitcondition-us-east-1" in done.stderr


def mark(machine: Machine) -> None:
    folder = machine.root / "etc/gpustation/no-gpu"
    folder.mkdir(parents=True)
    (folder / "mxnet.lock").write_text("# installed: 900 MiB\n")
    # Nothing leaves this computer: there is no such proxy.
    machine.environment["https_proxy"] = "http://127.0.0.1:1"


def assert_refused(machine: Machine, step: str, phase: str) -> None:
    sent_to, sent = machine.cloud.signals[-1]
    assert (sent_to, sent["UniqueId"], sent["Status"]) == (step, phase, "FAILURE")
    assert f"phase {phase} failed: {machine.root}/etc/gpustation/no-gpu is for" in sent["Reason"]
    assert "remove the folder, a GPU must compute" in sent["Reason"]


def test_refusal_is_reported_before_an_environment_is_made(machine: Machine) -> None:
    mark(machine)
    machine.addresses["gpu"] = AWS
    machine.boot()
    assert_refused(machine, "environment", "environment")


@pytest.mark.tier("all")
def test_refusal_is_reported_when_the_folder_comes_later(machine: Machine) -> None:
    machine.boot()
    mark(machine)
    machine.addresses["driver"] = AWS
    machine.boot()
    assert_refused(machine, "gpu", "verify")


def test_environment_for_the_cpu_comes_from_the_folders_lock(machine: Machine) -> None:
    mark(machine)
    machine.boot()
    (install,) = [call for call in machine.calls("uv") if call.startswith("uv pip install")]
    assert f"{machine.root}/etc/gpustation/no-gpu/mxnet.lock" in install
    assert [call for call in machine.calls("python") if call.endswith("verify.py cpu")]
