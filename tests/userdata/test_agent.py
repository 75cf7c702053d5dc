from __future__ import annotations

import io
import json
import tarfile
import time

import pytest
from cloud_bench import BUCKET, PARAMETER
from machine_bench import Machine


def archive_with(member: tarfile.TarInfo, content: bytes = b"") -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        member.size = len(content)
        archive.addfile(member, io.BytesIO(content))
    return buffer.getvalue()


def send(machine: Machine, step: str = "driver") -> int:
    return machine.run_agent(
        "signal", step, "--status", "SUCCESS", "--unique-id", "driver", "--reason", "done"
    ).returncode


def test_fetch_puts_settings_and_scripts_in_place(machine: Machine) -> None:
    assert machine.run_agent("fetch").returncode == 0
    assert json.loads(machine.read("var/lib/gpustation/settings.json"))["framework"] == "mxnet"
    assert machine.read("opt/gpustation/scripts/run.sh").startswith("#!/usr/bin/env bash")
    machine.cloud.requests.clear()
    assert machine.run_agent("fetch").returncode == 0
    assert not [request for request in machine.cloud.requests if BUCKET in request]


def test_unit_imports_nothing_from_pythonpath(machine: Machine) -> None:
    (machine.root / "hmac.py").write_text("raise SystemExit('imported from PYTHONPATH')\n")
    machine.environment["PYTHONPATH"] = str(machine.root)
    machine.boot()
    assert (machine.state / "settings.json").exists(), machine.output


def test_fails_when_the_scripts_are_not_those_of_the_settings(machine: Machine) -> None:
    machine.cloud.settings["scripts"]["sha256"] = "0" * 64
    machine.boot()
    ((step, sent),) = machine.cloud.signals
    assert (step, sent["UniqueId"], sent["Status"]) == ("driver", "fetch", "FAILURE")
    assert "but the settings say " + "0" * 64 in sent["Reason"]
    assert not (machine.root / "opt/gpustation/scripts").exists()


def test_fails_when_the_settings_may_not_be_read(machine: Machine) -> None:
    machine.cloud.faults["^/$"] = [99, 400, '{"__type": "AccessDeniedException"}']
    machine.boot()
    ((step, sent),) = machine.cloud.signals
    assert step == "driver"
    assert f"settings parameter {PARAMETER} answered 400" in sent["Reason"]
    assert "AccessDeniedException" in sent["Reason"]


@pytest.mark.parametrize(
    ("where", "status", "body"),
    [
        ("^/$", 400, '{"__type": "AccessDeniedException"}'),
        ("^/$", 400, '{"__type": "ThrottlingException"}'),
        ("/latest/meta-data/iam/", 404, ""),
        (BUCKET, 503, ""),
        (BUCKET, 0, "connection cut"),
    ],
)
def test_passing_faults_are_tried_again(
    machine: Machine, where: str, status: int, body: str
) -> None:
    machine.environment["GPUSTATION_RETRY_SECONDS"] = "5"
    machine.cloud.faults[where] = [1, status, body]
    done = machine.run_agent("fetch")
    assert done.returncode == 0, done.stdout
    assert "trying again in 0.5 s" in done.stdout


def test_waits_before_it_tries_again(machine: Machine) -> None:
    """Only a lower bound of time: a sleep cannot be shorter."""
    machine.environment["GPUSTATION_RETRY_SECONDS"] = "2"
    machine.cloud.faults["^/$"] = [99, 503, ""]
    begun = time.monotonic()
    assert machine.run_agent("fetch").returncode == 1
    assert time.monotonic() - begun >= 0.5 + 1


def test_fails_at_once_when_the_parameter_does_not_exist(machine: Machine) -> None:
    machine.environment["GPUSTATION_RETRY_SECONDS"] = "20"
    machine.cloud.faults["^/$"] = [99, 400, '{"__type": "ParameterNotFound"}']
    done = machine.run_agent("fetch")
    assert done.returncode == 1
    assert "trying again" not in done.stdout


def link(name: str) -> tarfile.TarInfo:
    made = tarfile.TarInfo(name)
    made.type, made.linkname = tarfile.SYMTYPE, "/etc"
    return made


@pytest.mark.parametrize(
    "member", [tarfile.TarInfo("../run.sh"), tarfile.TarInfo("/run.sh"), link("etc")]
)
def test_fails_when_the_archive_reaches_outside(machine: Machine, member: tarfile.TarInfo) -> None:
    machine.cloud.serve_scripts(archive_with(member))
    done = machine.run_agent("fetch")
    assert done.returncode == 1
    assert f"scripts archive holds {member.name!r}, which is refused" in done.stdout
    assert [path.name for path in (machine.root / "opt/gpustation").iterdir()] == ["agent.py"]


def test_signal_is_sent_once_per_step(machine: Machine) -> None:
    assert send(machine) == 0
    assert send(machine) == 0
    assert len(machine.cloud.signals) == 1


def test_signal_outlasts_two_refusals(machine: Machine) -> None:
    machine.environment["GPUSTATION_RETRY_SECONDS"] = "10"
    machine.cloud.faults["/signal/"] = [2, 503, ""]
    assert send(machine) == 0
    assert len(machine.cloud.signals) == 1


def test_fails_when_the_signal_cannot_be_delivered(machine: Machine) -> None:
    machine.cloud.faults["/signal/"] = [99, 403, "expired"]
    assert send(machine) == 1
    assert not (machine.state / "signaled/driver").exists()


def test_data_is_readable_as_printed(machine: Machine) -> None:
    data = 'a "b" \\ \N{SNOWMAN}\n c'
    command = ("signal", "gpu", "--status", "SUCCESS", "--unique-id", "verify", "--reason", "r")
    assert machine.run_agent(*command, "--data", data).returncode == 0
    assert machine.cloud.signals[0][1]["Data"] == "a 'b' / ? | c"


def test_silent_end_is_reported_to_the_first_open_step(machine: Machine) -> None:
    assert send(machine) == 0
    assert machine.run_agent("report-failure").returncode == 0
    step, sent = machine.cloud.signals[-1]
    assert (step, sent["UniqueId"]) == ("environment", "setup")
    assert sent["Reason"].startswith("the set-up stopped without a word; its journal ends: ")
