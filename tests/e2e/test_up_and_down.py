"""``gpustation up`` and ``down``: the real CDK CLI underneath, with its steps and its failures."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from gpustation.console.statuses import FINDING, NO_CAPACITY
from localaws import LocalAws
from tests.support.cdk_cli import CDK, SHORT_WAITS, STACK, Account, Cdk, stack_status
from tests.support.probe_stack import G_QUOTA
from tests.support.synthesis import ROOT


class Person:
    """Runs ``gpustation`` in the project's folder, with a state folder of their own."""

    def __init__(self, aws: LocalAws, folder: Path) -> None:
        path = f"{ROOT / 'node_modules/.bin'}{os.pathsep}{Path(sys.executable).parent}"
        self._environment = aws.environment | {
            "PATH": f"{path}{os.pathsep}{os.environ['PATH']}",
            "CDK_VALIDATION": "false",
            "NODE_OPTIONS": f'--require="{SHORT_WAITS}"',
            "XDG_STATE_HOME": str(folder / "state"),
            # Of this test alone; the CDK CLI reads it as its option --output
            "CDK_OUTPUT": str(folder / "cdk.out"),
        }

    def begins(self, *words: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-m", "gpustation", *words],
            cwd=ROOT,
            env=self._environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def runs(self, *words: str) -> tuple[int, str, str]:
        with self.begins(*words) as command:
            out, err = command.communicate(timeout=300)
        print(f"$ gpustation {' '.join(words)}\n{out}{err}exit status {command.returncode}")
        return command.returncode, out, err

    @contextlib.contextmanager
    def busy_cdk_out(self) -> Iterator[None]:
        """The CDK CLI refuses another command, as while ``cdk deploy`` runs in the same folder."""
        folder = Path(self._environment["CDK_OUTPUT"])
        folder.mkdir(exist_ok=True)
        lock = folder / f"read.{os.getpid()}.1.lock"
        lock.write_text(str(os.getpid()))
        refused = subprocess.run(
            [CDK, "list"], cwd=ROOT, env=self._environment, capture_output=True, text=True
        )
        assert refused.returncode != 0 and "Other CLIs" in refused.stderr
        yield
        lock.unlink()


def validated(verb: str, text: str) -> Any:
    document = json.loads(text)
    schema = ROOT / f"constructs/gpustation/cli/schemas/{verb}.json"
    jsonschema.validate(document, json.loads(schema.read_text()))
    return document


@pytest.fixture
def person(aws: LocalAws, tmp_path: Path) -> Person:
    return Person(aws, tmp_path)


@pytest.fixture
def assembly(cdk: Cdk) -> str:
    return cdk.assembly(with_stages=False)


def test_from_nothing_to_a_machine_and_back(
    aws: LocalAws, person: Person, account: Account, tmp_path: Path
) -> None:
    status, out, err = person.runs("up", "-c", "disk_gib=70")
    assert status == FINDING
    assert "a new stack with a new machine" in out
    assert "0.539 USD per hour, 12.93 per day" in out
    assert "5.60 USD per month (70 GiB disk)" in out
    assert "needs 4 vCPUs, 8 free (limit 8, L-DB2E81BA)" in out
    assert "the bill decides" in out
    assert "--yes" in err
    assert aws.inventory() == []

    status, out, _ = person.runs("up", "-c", "disk_gib=70", "--yes")
    assert status == 0
    assert [line for line in out.splitlines() if line.startswith("GPU computes: done after")]
    assert "MXNet 1.9.1" in out and "gpustation jupyter" in out
    machine = account.instance()["InstanceId"]

    status, out, err = person.runs("down")
    assert (status, machine in out, "70 GiB" in out, "--yes" in err) == (FINDING, True, True, True)
    assert stack_status(aws, STACK) == "CREATE_COMPLETE"
    with person.busy_cdk_out():
        status, out, _ = person.runs("down", "--yes", "--json")
    assert status == 0
    assert validated("down", out)["leftovers"]["left"] == []
    assert aws.inventory() == []
    logs = sorted(path.name.split("-", 2)[2] for path in (tmp_path / "state").rglob("*.log"))
    assert logs == ["deploy-GpuWorkstation.log", "destroy-GpuWorkstation.log"]


@pytest.mark.tier("all")
def test_a_refused_quota_has_its_own_status(aws: LocalAws, person: Person, assembly: str) -> None:
    aws.control.set_quota(G_QUOTA, 0)
    status, out, err = person.runs("up", "--app", assembly, "--yes")
    assert status == NO_CAPACITY
    assert "quota: failed" in out
    assert err.count("\n") == 1 and "limit 0" in err and ".log" in err
    status, out, _ = person.runs("log", "--json")
    assert status == FINDING
    assert "quota too small" in validated("log", out)["failure"]


@pytest.mark.tier("all")
def test_a_deploy_that_goes_on_is_seen_after_ctrl_c(
    aws: LocalAws, person: Person, assembly: str
) -> None:
    with person.begins("up", "--app", assembly, "--yes") as command:
        deadline = time.monotonic() + 120
        while stack_status(aws, STACK) != "CREATE_IN_PROGRESS":
            assert command.poll() is None and time.monotonic() < deadline
            time.sleep(0.1)
        os.kill(command.pid, signal.SIGINT)
        _, err = command.communicate(timeout=60)
    assert command.returncode == 128 + signal.SIGINT
    assert "CloudFormation goes on with the deploy" in err
    assert person.runs("wait", "--for", "ready", "--timeout", "120")[0] == 0


@pytest.mark.tier("all")
def test_down_says_so_if_the_app_has_another_stack(
    aws: LocalAws, person: Person, cdk: Cdk, assembly: str
) -> None:
    assert person.runs("up", "--app", assembly, "--yes", "--json")[0] == 0
    other = cdk.assembly(with_stages=False, name="anna")
    status, _, err = person.runs("down", "--app", other, "--yes")
    assert status == FINDING
    assert STACK in err
    assert stack_status(aws, STACK) == "CREATE_COMPLETE"
