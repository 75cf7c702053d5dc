"""Reboots in the driver phase: the one that it asks for, and one that comes in its middle.

Only a machine that reboots has another kernel, boot id and set of loaded modules after it.
"""

from __future__ import annotations

import pytest

from localaws import LocalAws
from tests.boot.workstation import SUCCESS, Deploy
from tests.support.cdk_cli import Cdk

pytestmark = pytest.mark.usefixtures("nothing_left")

DISTRIBUTION = "debian-12"
"""``make test`` boots it here, and the other one elsewhere."""


def test_kernel_without_a_module_is_replaced_by_one_reboot(cloud: LocalAws, cdk: Cdk) -> None:
    cloud.control.machine_module(False)
    deploy = Deploy(cloud, cdk, notebooks=False)
    station = deploy.machine()
    assert deploy.end().status == 0
    assert station.signals() == SUCCESS
    console = cloud.console(station.box)
    assert console.count("gpustation: phase driver continues after a reboot") == 1
    assert "taking the newest kernel and its module" in console
    assert station.starts("driver") == 2
    assert station.starts("system") == 1


def test_reboot_in_the_middle_of_the_phase(cloud: LocalAws, cdk: Cdk) -> None:
    deploy = Deploy(cloud, cdk, notebooks=False)
    station = deploy.machine()
    station.await_phase("driver")
    cloud.client("ec2").reboot_instances(InstanceIds=[station.box])
    assert deploy.end().status == 0
    assert station.signals() == SUCCESS
    assert station.starts("driver") == 2
    assert station.starts("system") == 1
