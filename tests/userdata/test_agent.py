from __future__ import annotations

import datetime
import io
import json
import re
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


CREDENTIALS = "/security-credentials/GpuInstanceRole$"


@pytest.mark.parametrize(
    ("where", "body"),
    [
        ("/security-credentials/$", ""),
        (CREDENTIALS, '{"Code": "AssumeRoleUnauthorizedAccess", "Message": "not yet"}'),
        (CREDENTIALS, '{"Code": "Success"}'),
        (CREDENTIALS, "[]"),
        (CREDENTIALS, "<html>"),
        ("/api/token$", ""),
        ("/api/token$", "\udcff"),
        ("^/$", "<html>a proxy</html>"),
        ("^/$", '{"Parameter": {"Val'),
        ("^/$", '{"Parameter": {"Value": "not JSON"}}'),
        ("^/$", "[]"),
    ],
)
def test_answer_that_cannot_be_used_yet_is_asked_for_again(
    machine: Machine, where: str, body: str
) -> None:
    machine.environment["GPUSTATION_RETRY_SECONDS"] = "5"
    machine.cloud.faults[where] = [1, 200, body.encode("utf-8", "surrogateescape")]
    done = machine.run_agent("fetch")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "gave no usable answer: " in done.stdout
    assert "trying again in 0.5 s" in done.stdout


@pytest.mark.parametrize(
    ("where", "body", "words"),
    [
        (CREDENTIALS, '{"Code": "InstanceProfileNotFound"}', "no credentials yet, InstanceProfile"),
        ("/security-credentials/$", "", "the metadata service gave no usable answer"),
        ("^/$", "\udcff\udcfe", f"settings parameter {PARAMETER} gave no usable answer"),
        ("^/$", '{"Parameter": {"Value": "{}"}}', "KeyError('scripts')"),
        ("^/$", '{"Parameter": {"Value": "{\\"scripts\\": 1}"}}', "argument after ** must be"),
        (BUCKET, "\udcffcut", "have sha256"),
    ],
)
def test_surprise_is_a_failure_in_words(
    machine: Machine, where: str, body: str, words: str
) -> None:
    machine.cloud.faults[where] = [99, 200, body.encode("utf-8", "surrogateescape")]
    done = machine.run_agent("fetch")
    assert done.returncode == 1
    assert words in json.loads(machine.read("var/lib/gpustation/failure.json"))["reason"]
    assert "Traceback" not in done.stdout + done.stderr


def test_folder_that_cannot_be_written_is_a_failure_in_words(machine: Machine) -> None:
    (machine.root / "opt/gpustation/scripts.new").mkdir(parents=True)
    done = machine.run_agent("fetch")
    assert done.returncode == 1
    assert "Is a directory" in json.loads(machine.read("var/lib/gpustation/failure.json"))["reason"]
    assert "Traceback" not in done.stdout + done.stderr


@pytest.mark.parametrize("where", ["/latest/api/token", "^/$", BUCKET, "/signal/"])
@pytest.mark.parametrize(
    "status", [302, *(pytest.param(n, marks=pytest.mark.tier("all")) for n in (301, 307))]
)
def test_redirect_is_refused(machine: Machine, where: str, status: int) -> None:
    """What is sent holds secrets: a token, a signature, a session's key."""
    machine.cloud.faults[where] = [99, status, ""]
    machine.cloud.redirects_to = "/elsewhere"
    if where == "/signal/":
        assert send(machine) == 1
    else:
        done = machine.run_agent("fetch")
        assert done.returncode == 1
        assert f"answered {status}: redirects are not followed" in done.stdout
    assert not [request for request in machine.cloud.requests if "elsewhere" in request]


SKEWED = (
    '{"__type": "InvalidSignatureException", "message": "Signature expired: 2026 is now earlier"}'
)


@pytest.mark.parametrize(
    ("where", "body"), [("^/$", SKEWED), (BUCKET, "<Code>RequestTimeTooSkewed</Code>")]
)
def test_clock_that_aws_refuses_is_named_and_its_time_is_taken(
    machine: Machine, where: str, body: str
) -> None:
    machine.environment["GPUSTATION_RETRY_SECONDS"] = "5"
    machine.cloud.seconds_ahead = 3600
    machine.cloud.faults[where] = [1, 403, body]
    done = machine.run_agent("fetch")
    assert done.returncode == 0, done.stdout
    assert re.search(r"finds the clock here -3(599|600) s ahead and answered 403", done.stdout)
    stamps = [stamp for path, stamp in machine.cloud.stamps if re.search(where, path)]
    first, last = (
        datetime.datetime.strptime(stamp, "%Y%m%dT%H%M%SZ") for stamp in (stamps[0], stamps[-1])
    )
    assert 3590 < (last - first).total_seconds() < 3700


@pytest.mark.parametrize("date", ["nonsense", "", "Wed, 99 Foo 2026 99:99:99 GMT"])
def test_date_that_is_unsound_is_not_taken(machine: Machine, date: str) -> None:
    machine.cloud.date = date
    machine.cloud.faults["^/$"] = [99, 400, SKEWED]
    done = machine.run_agent("fetch")
    assert done.returncode == 1
    assert "answered 400: " in done.stdout and "clock" not in done.stdout
    assert "Traceback" not in done.stdout + done.stderr


@pytest.mark.parametrize("failure", ["", "{", "[]", '{"phase": "driver"}', "\udcff"])
def test_report_that_was_cut_off_is_replaced_by_the_journals_end(
    machine: Machine, failure: str
) -> None:
    machine.state.mkdir(parents=True)
    (machine.state / "failure.json").write_bytes(failure.encode("utf-8", "surrogateescape"))
    assert machine.run_agent("report-failure").returncode == 0
    step, sent = machine.cloud.signals[-1]
    assert (step, sent["UniqueId"]) == ("driver", "setup")
