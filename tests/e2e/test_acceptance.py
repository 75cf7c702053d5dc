"""An acceptance run in an account with other people's stacks: its costs, its end, its file.

The whole program runs as a process, with the CDK CLI; machines are records. What only a machine
that boots can show is in tests/boot/test_acceptance_boots.py.
"""

from __future__ import annotations

import dataclasses
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from acceptance import run_file
from acceptance.parts.table import PARTS
from localaws import LocalAws
from tests.e2e.conftest import G_QUOTA
from tests.support.assembly import IMAGE, WORKSTATION, assemble
from tests.support.bootstrap import bootstrap
from tests.support.cdk_cli import SHORT_WAITS
from tests.support.probe_stack import Stack
from tests.support.synthesis import ROOT

G_SPOT = "L-3819A6DF"
SECONDS = 900


class Program:
    """``python -m acceptance`` as a process of a person with credentials."""

    def __init__(self, aws: LocalAws, folder: Path) -> None:
        self._folder = folder
        pace = {"NODE_OPTIONS": f'--require="{SHORT_WAITS}"', "CDK_VALIDATION": "false"}
        self._environment = aws.environment | pace | {"XDG_STATE_HOME": str(folder)}
        self.output = folder / "output"

    def start(self, *words: str) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            [sys.executable, "-m", "acceptance", *words],
            cwd=ROOT,
            env=self._environment,
            stdin=subprocess.DEVNULL,
            stdout=self.output.open("wb"),
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )

    def run(self, *words: str) -> tuple[int, str]:
        with self.start(*words) as process:
            status = process.wait(SECONDS)
        print(self.text)
        return status, self.text

    @property
    def text(self) -> str:
        return self.output.read_text()

    def await_text(self, process: subprocess.Popen[bytes], text: str) -> None:
        deadline = time.monotonic() + SECONDS
        while text not in self.text:
            assert process.poll() is None, self.text
            assert time.monotonic() < deadline, self.text
            time.sleep(0.1)


@pytest.fixture
def aws(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalAws]:
    """An account of its own: its clock is moved, and `doctor` compares it with this computer's."""
    with LocalAws() as made:
        bootstrap(made, tmp_path_factory)
        made.control.set_quota(G_QUOTA, 8)
        yield made


@pytest.fixture
def bystanders(aws: LocalAws) -> Iterator[list[Stack]]:
    """Somebody else's machine, which runs, and somebody else's image."""
    aws.control.set_quota(G_QUOTA, 12)
    stacks = []
    for kind in (WORKSTATION, IMAGE):
        assembly = assemble(kind)
        assembly.publish(aws)
        stacks.append(Stack(aws, kind))
        assert stacks[-1].deploy("create_stack", assembly.template) == "CREATE_COMPLETE"
    yield stacks


def everything(aws: LocalAws) -> str:
    """All that exists in the account, in all its members, as text."""
    cloudformation, ec2 = aws.client("cloudformation"), aws.client("ec2")
    stacks = cloudformation.describe_stacks()["Stacks"]
    live = [row for row in stacks if row["StackStatus"] != "DELETE_COMPLETE"]
    found = {
        "stacks": live,
        "resources": [
            cloudformation.list_stack_resources(StackName=row["StackId"])["StackResourceSummaries"]
            for row in live
        ],
        "machines": [
            row
            for reservation in ec2.describe_instances()["Reservations"]
            for row in reservation["Instances"]
            if row["State"]["Name"] != "terminated"
        ],
        "images": ec2.describe_images(Owners=["self"])["Images"],
        "snapshots": ec2.describe_snapshots(OwnerIds=["self"])["Snapshots"],
        "volumes": ec2.describe_volumes()["Volumes"],
        "inventory": [dataclasses.asdict(row) for row in aws.inventory()],
    }
    return json.dumps(found, indent=1, default=str, sort_keys=True)


@pytest.mark.tier("all")
def test_the_whole_program_beside_other_peoples_stacks(
    aws: LocalAws, bystanders: list[Stack], tmp_path: Path
) -> None:
    aws.control.set_quota(G_SPOT, 8)
    before, proven = everything(aws), sorted((ROOT / "docs").rglob("*"))
    status, text = Program(aws, tmp_path).run("--yes")
    assert status == 0, text
    assert everything(aws) == before
    assert sorted((ROOT / "docs").rglob("*")) == proven, "a local run is no proof"
    (path,) = (tmp_path / "gpustation/acceptance").rglob("20*.json")
    evidence = json.loads(path.read_text())
    assert evidence["where"] == "embedded"
    verdicts = {row["part"]: row["verdict"] for row in evidence["parts"]}
    assert [name for name, verdict in verdicts.items() if verdict == "failed"] == []
    needs_an_answer = {part.name for part in PARTS if part.answers}
    assert {name for name, verdict in verdicts.items() if verdict == "not shown"} == needs_an_answer
    assert all(row["seconds"] > 0 for row in evidence["parts"] if row["verdict"] == "shown")
    account = aws.account
    assert account not in path.read_text()
    answers = {row["probe"]: row["answer"] for row in evidence["probes"]}
    assert answers["A3"] == "yes" and answers["S2"] == answers["S4"] == "no"


@pytest.mark.tier("all")
def test_killed_in_the_middle_the_net_stops_the_machine_and_the_next_run_cleans_up(
    aws: LocalAws, bystanders: list[Stack], tmp_path: Path
) -> None:
    before, program_ = everything(aws), Program(aws, tmp_path)
    with program_.start("--only", "power", "--yes") as process:
        program_.await_text(process, "\npower: ")
        process.send_signal(signal.SIGKILL)
    (file,) = (tmp_path / "gpustation/acceptance").glob("acceptance-*.json")
    made = json.loads(file.read_text())
    (stack,) = made["stacks"]
    machine = _machine(aws, stack)
    assert not made["over"] and machine["State"]["Name"] in ("running", "stopping", "stopped")

    # Its command ends by itself; a person who starts the machine again pays until stop_at
    _await_lock(made["name"], tmp_path)
    if _machine(aws, stack)["State"]["Name"] == "stopped":
        aws.client("ec2").start_instances(InstanceIds=[machine["InstanceId"]])
    aws.control.advance(6 * 3600)
    assert _machine(aws, stack)["State"]["Name"] == "stopped"

    # As if it had been killed before it noted the stack's id
    file.write_text(json.dumps({**made, "stacks": {stack: []}}))
    status, text = program_.run("--clean-up", "--yes")
    assert status == 0, text
    assert f"{stack} was begun when the run ended" in text
    for row in bystanders:
        assert row.describe()["StackStatus"] == "CREATE_COMPLETE"
    assert _without_times(everything(aws)) == _without_times(before)
    assert json.loads(file.read_text())["over"]
    assert program_.run("--clean-up", "--yes") == (0, "")


@pytest.mark.tier("all")
def test_ctrl_c_deletes_everything_and_says_so(aws: LocalAws, tmp_path: Path) -> None:
    program_ = Program(aws, tmp_path)
    with program_.start("--only", "power", "--yes") as process:
        program_.await_text(process, "\npower: ")
        process.send_signal(signal.SIGINT)
        assert process.wait(SECONDS) == 130, program_.text
    assert "FAILED  power: interrupted" in program_.text
    assert "Everything that the run made is deleted" in program_.text
    assert aws.inventory() == []


def _machine(aws: LocalAws, stack: str) -> dict[str, Any]:
    owned: list[Any] = [{"Name": "tag:gpustation", "Values": [stack]}]
    reservations = aws.client("ec2").describe_instances(Filters=owned)["Reservations"]
    (machine,) = (row for one in reservations for row in one["Instances"])
    return dict(machine)


def _await_lock(name: str, state: Path) -> None:
    os.environ["XDG_STATE_HOME"] = str(state)
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        with run_file.held(name) as lock:
            if lock is not None:
                return
        time.sleep(0.2)
    raise AssertionError("a command of the killed run is still at work")


def _without_times(text: str) -> str:
    return "\n".join(line for line in text.splitlines() if "Time" not in line)
