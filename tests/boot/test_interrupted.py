"""Power cut in every phase: the set-up goes on where it was, and each step has its one signal.

Only a machine that is killed leaves files half written and units half started.
"""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from localaws import LocalAws
from tests.boot.workstation import PATIENCE, PHASES, SUCCESS, Deploy
from tests.support.cdk_cli import Cdk

pytestmark = pytest.mark.usefixtures("nothing_left")


def test_power_cut_before_the_unit_was_enabled(cloud: LocalAws, cdk: Cdk) -> None:
    deploy = Deploy(cloud, cdk, notebooks=False)
    station = deploy.machine()
    root = Path(cloud.control.machine_root(station.box))
    deadline = time.monotonic() + PATIENCE
    # From here on cloud-init takes the user data for done
    while not list(root.glob("var/lib/cloud/instances/*/user-data.txt")):
        assert time.monotonic() < deadline, cloud.console(station.box)
        time.sleep(0.001)
    unit = root / "etc/systemd/system/cloud-init.target.wants/gpustation.service"
    assert not unit.is_symlink()
    cloud.control.cut_power(station.box)
    assert deploy.end().status == 0
    assert station.signals() == SUCCESS


def test_power_cut_in_each_phase(cloud: LocalAws, cdk: Cdk) -> None:
    deploy = Deploy(cloud, cdk, notebooks=False)
    station = deploy.machine()
    for phase in PHASES:
        station.await_phase(phase)
        cloud.control.cut_power(station.box)
    run = deploy.end()
    assert run.status == 0
    assert "no GPU: computed on the CPU" in run.outputs["Ready"]
    assert station.signals() == SUCCESS
    assert station.starts("environment") == 2
