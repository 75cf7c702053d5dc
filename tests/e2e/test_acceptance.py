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

from acceptance import clean_up, performance, program, run_file
from acceptance.estimate import Quota, estimate
from acceptance.meter import Meter
from acceptance.parts.table import LARGER, PARTS, Part
from acceptance.run import Evidence, Run
from acceptance.run_file import RunFile
from acceptance.world import World, environment
from gpustation.catalog.gpu_types import require_type
from localaws import LocalAws
from tests.e2e.conftest import G_QUOTA
from tests.support.assembly import IMAGE, WORKSTATION, assemble
from tests.support.cdk_cli import SHORT_WAITS, delete_stack
from tests.support.probe_stack import Stack
from tests.support.synthesis import ROOT

G_SPOT = "L-3819A6DF"
G4DN, G4DN2 = require_type("g4dn.xlarge"), require_type("g4dn.2xlarge")
SLICE = 240.0
"""Seconds of the clock between two observations, of which a run makes one every 15."""
SECONDS = 900


class Simulation:
    """A run whose parts launch and end machines as the table says, on a clock that is moved.

    The deploys themselves are not made: what is billed is read from EC2's answers in any case.

    Args:
        aws: The account.
        slower: How many times longer than planned everything takes.
    """

    def __init__(self, aws: LocalAws, folder: Path, slower: float) -> None:
        self.aws, self.slower = aws, slower
        self.said: list[str] = []
        world = World(aws.region, environment(aws.environment, aws.region), clock=aws.control.clock)
        rates = program.rates_of(world.session(), aws.region)
        planned = estimate(PARTS, G4DN, G4DN2, rates, Quota(8, 8))
        self.planned = dataclasses.replace(
            planned, parts=tuple(self._moved(part) for part in planned.parts)
        )
        file = RunFile("acceptance-00000001", aws.account, aws.region, 0)
        file.stacks["GpuWorkstation-acceptance-00000001"] = []
        options = performance.Options("g4dn.xlarge", "mxnet", 2.0, self.planned.parts)
        self.run = Run(
            world=world,
            file=file,
            gpu_type=G4DN,
            larger=G4DN2,
            framework="mxnet",
            meter=Meter(rates, world.clock, 2.0),
            settings={},
            logs=folder,
            lock=0,
        )
        self.performance = performance.Performance(
            options, self.run, self.planned, self.said.append, lambda _: True
        )

    def _moved(self, part: Part) -> Part:
        def work(run: Run) -> Evidence:
            machine = sum(minutes for _, minutes in part.machine)
            self._pass(run, part.minutes - machine)
            if part.name == "deploy":
                self._disk()
            for whose, minutes in part.machine:
                launched = self._launch("g4dn.2xlarge" if whose == LARGER else "g4dn.xlarge")
                run.observe()
                try:
                    self._pass(run, minutes)
                finally:
                    self.aws.client("ec2").terminate_instances(InstanceIds=[launched])
                run.observe()
            return {}

        return dataclasses.replace(part, work=work)

    def _pass(self, run: Run, minutes: float) -> None:
        left = minutes * 60 * self.slower
        while left > 0:
            self.aws.control.advance(min(left, SLICE))
            left -= SLICE
            run.look()

    def _tags(self, kind: str) -> list[dict[str, Any]]:
        (stack,) = self.run.file.stacks
        return [{"ResourceType": kind, "Tags": [{"Key": "gpustation", "Value": stack}]}]

    def _launch(self, instance_type: str) -> str:
        answer = self.aws.client("ec2").run_instances(
            ImageId="ami-0123456789abcdef0",
            InstanceType=instance_type,
            MinCount=1,
            MaxCount=1,
            TagSpecifications=self._tags("instance"),
        )
        return str(answer["Instances"][0]["InstanceId"])

    def _disk(self) -> None:
        self.aws.client("ec2").create_volume(
            Size=64,
            AvailabilityZone="us-east-1a",
            VolumeType="gp3",
            TagSpecifications=self._tags("volume"),
        )


@pytest.fixture
def account_of(
    aws: LocalAws, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[LocalAws]:
    aws.control.set_quota(G_SPOT, 8)
    aws.control.add_image("ami-0123456789abcdef0")
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    monkeypatch.setattr(clean_up, "POLL_SECONDS", 0.2)
    for name, value in aws.exports.items():
        monkeypatch.setenv(name, value)
    yield aws
    ec2 = aws.client("ec2")
    for row in ec2.describe_volumes()["Volumes"]:
        ec2.delete_volume(VolumeId=row["VolumeId"])


def test_the_sum_of_a_run_as_planned_is_the_expected_one(
    account_of: LocalAws, tmp_path: Path
) -> None:
    simulation = Simulation(account_of, tmp_path, slower=1)
    assert simulation.performance.perform() == 0, simulation.said
    spent, expected = simulation.run.meter.spent, simulation.planned.expected
    assert spent == pytest.approx(expected, rel=0.05)
    assert 0.5 < expected < 1.5, "a sum, not nothing"


def test_a_run_three_times_as_slow_stops_before_its_maximum(
    account_of: LocalAws, tmp_path: Path
) -> None:
    simulation = Simulation(account_of, tmp_path, slower=3)
    assert simulation.performance.perform() == 1
    meter = simulation.run.meter
    assert simulation.planned.expected * 3 > meter.maximum, "otherwise nothing is shown"
    assert 0.75 * meter.maximum < meter.spent < meter.maximum
    assert any("is needed to delete what runs" in line for line in simulation.said)


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
    aws.control.reset()
    for kind in (WORKSTATION, IMAGE):
        delete_stack(aws, kind)


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
