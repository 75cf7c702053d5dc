"""What an acceptance run costs: the sum of what ran, and the limit that ends it.

EC2 of the embedded AWS has the machines, and its clock is moved. The account is one of its own: in
one whose clock was moved no later test could compare it with this computer's.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from acceptance import clean_up, performance, program
from acceptance.estimate import Quota, estimate
from acceptance.meter import Meter
from acceptance.parts.table import LARGER, PARTS, Part
from acceptance.run import Evidence, Run
from acceptance.run_file import RunFile
from acceptance.world import World, environment
from gpustation.catalog.gpu_types import require_type
from localaws import LocalAws
from tests.support.probe_stack import G_QUOTA

G4DN, G4DN2 = require_type("g4dn.xlarge"), require_type("g4dn.2xlarge")
SLICE = 240.0
"""Seconds of the clock between two observations, of which a run makes one every 15."""


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


@pytest.fixture(scope="module")
def account() -> Iterator[LocalAws]:
    with LocalAws() as aws:
        yield aws


@pytest.fixture
def account_of(
    account: LocalAws, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[LocalAws]:
    aws = account
    aws.control.set_quota(G_QUOTA, 8)
    aws.control.add_image("ami-0123456789abcdef0")
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    monkeypatch.setattr(clean_up, "POLL_SECONDS", 0.2)
    for name, value in aws.exports.items():
        monkeypatch.setenv(name, value)
    yield aws
    ec2 = aws.client("ec2")
    for row in ec2.describe_volumes()["Volumes"]:
        ec2.delete_volume(VolumeId=row["VolumeId"])


@pytest.mark.tier("all")
def test_the_sum_of_a_run_as_planned_is_the_expected_one(
    account_of: LocalAws, tmp_path: Path
) -> None:
    simulation = Simulation(account_of, tmp_path, slower=1)
    assert simulation.performance.perform() == 0, simulation.said
    spent, expected = simulation.run.meter.spent, simulation.planned.expected
    assert spent == pytest.approx(expected, rel=0.05)
    assert 0.5 < expected < 1.5, "a sum, not nothing"


@pytest.mark.tier("all")
def test_a_run_three_times_as_slow_stops_before_its_maximum(
    account_of: LocalAws, tmp_path: Path
) -> None:
    simulation = Simulation(account_of, tmp_path, slower=3)
    assert simulation.performance.perform() == 1
    meter = simulation.run.meter
    assert simulation.planned.expected * 3 > meter.maximum, "otherwise nothing is shown"
    assert 0.75 * meter.maximum < meter.spent < meter.maximum
    assert any("is needed to delete what runs" in line for line in simulation.said)
