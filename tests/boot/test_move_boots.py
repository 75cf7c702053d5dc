"""``gpustation start --move`` of a machine that boots: what a person had is on the moved machine.

Only disks that ran show that the copy of a stopped one starts as another machine.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from localaws import LocalAws
from tests.boot.conftest import launched_from
from tests.boot.installed import installed_disk
from tests.boot.test_saved_image import Identity
from tests.boot.workstation import SUCCESS, Workstation
from tests.support.app_folder import AppFolder
from tests.support.cdk_cli import Account, Cdk

NOTEBOOK = '{"cells": [], "metadata": {}, "nbformat": 4, "nbformat_minor": 5}'
OWN = "/home/ubuntu/.local/share/gpustation/env"


def test_the_machine_is_there_again_in_another_zone(
    cloud: LocalAws,
    cdk: Cdk,
    distribution: str,
    tmp_path: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    settings = launched_from(cloud, installed_disk(tmp_path_factory, distribution))
    run = cdk.deploy(**settings)
    assert run.status == 0
    old = Workstation(cloud, run.outputs["InstanceId"])
    old.put("/home/ubuntu/work.txt", "mine")
    old.put("/home/ubuntu/work.ipynb", NOTEBOOK)
    old.sh(f"sudo -u ubuntu touch {OWN}/installed-by-me")
    identity, zone = Identity.of(old), run.outputs["AvailabilityZone"]
    signals = len(old.signals())
    cloud.client("ec2").stop_instances(InstanceIds=[old.box])
    cloud.control.set_capacity(None, False, zone=zone)

    folder = AppFolder(cloud, tmp_path, **settings)
    status, _, _ = folder.runs("start", "--yes", "--move")
    assert status == 0
    row = Account(cloud).instance()
    new = Workstation(cloud, row["InstanceId"])
    assert new.box != old.box
    assert row["Placement"]["AvailabilityZone"] != zone
    assert new.sh("cat /home/ubuntu/work.txt") == "mine"
    assert new.sh("stat -c %U:%G /home/ubuntu/work.txt") == "ubuntu:ubuntu"
    assert new.sh("cat /home/ubuntu/work.ipynb") == NOTEBOOK
    new.sh(f"test -e {OWN}/installed-by-me")
    assert Identity.of(new).shares_nothing_with(identity)
    new.await_jupyter()
    assert new.jupyter(new.token()) == 200
    assert new.jupyter(identity.token) == 403
    assert new.signals()[signals:] == SUCCESS
    assert new.starts("environment") == 0, "nothing is installed again"
    assert new.sh("systemctl --failed --no-legend") == ""

    # The moved machine is one like any other: it stops and starts where it is now
    cloud.control.set_capacity(None, True)
    assert folder.runs("stop", "--yes")[0] == 0
    assert folder.runs("start", "--yes")[0] == 0
    assert new.sh("cat /home/ubuntu/work.txt") == "mine"
    assert folder.runs("image", "undo", row["ImageId"], "--yes")[0] == 0
