"""Power cut in every phase: the set-up goes on where it was, and each step has its one signal."""

from __future__ import annotations

import time

from localaws import LocalAws
from tests.boot.workstation import PATIENCE, PHASES, Deploy, Workstation
from tests.e2e.cdk_cli import Cdk


def await_start(station: Workstation, phase: str) -> None:
    deadline = time.monotonic() + PATIENCE
    while not station.starts(phase):
        assert time.monotonic() < deadline, station.aws.console(station.box)[-4000:]
        time.sleep(0.02)


def test_power_cut_in_each_phase(cloud: LocalAws, cdk: Cdk) -> None:
    deploy = Deploy(cloud, cdk, notebooks=False)
    station = deploy.machine()
    for phase in PHASES:
        await_start(station, phase)
        cloud.control.cut_power(station.box)
    run = deploy.end()
    assert run.status == 0
    assert "no GPU: computed on the CPU" in run.outputs["Ready"]
    unique = [unique for unique, status in station.signals() if status == "SUCCESS"]
    assert unique == ["driver", "jupyter", "verify"]
    assert len(station.signals()) == len(unique)
    assert station.starts("environment") == 2
    assert cdk.destroy().status == 0
    assert cloud.leftovers() == []
