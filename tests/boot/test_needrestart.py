"""needrestart, which Ubuntu 24.04 runs after every unattended upgrade, leaves alone what runs."""

from __future__ import annotations

from typing import Any

import pytest

from localaws import LocalAws
from tests.boot.workstation import Workstation
from tests.e2e.cdk_cli import Cdk

# A library that Jupyter, a training and a user's service all have loaded, as another file.
UPGRADE_LIBC = """
for library in $(ldconfig -p | sed -n 's/.*libc\\.so\\.6 .*=> //p'); do
  library=$(readlink -f "$library")
  cp -a "$library" "$library.new"
  mv "$library.new" "$library"
done
"""
TRAIN = "systemd-run --quiet --unit=run-training sleep 600"
SERVICE = "sleep 600"
WOULD_RESTART = "needrestart -b -r a 2>/dev/null | sed -n 's/^NEEDRESTART-SVC: //p'"


@pytest.mark.tier("all")
def test_upgrade_restarts_neither_jupyter_nor_a_training(
    cloud: LocalAws, cdk: Cdk, installed: dict[str, Any]
) -> None:
    assert cdk.deploy(**installed).status == 0
    station = Workstation(cloud, cloud.control.history()[-1].instance_id)
    station.await_jupyter()
    station.sh(
        "apt-get -q update && DEBIAN_FRONTEND=noninteractive apt-get -qy install needrestart"
    )
    station.sh(f"{TRAIN} && systemd-run --quiet --unit=others sleep 600")
    station.sh(UPGRADE_LIBC)
    print(station.sh("needrestart -b -r a -v 2>&1 | tail -60"))
    named = station.sh(WOULD_RESTART).split()
    assert "others.service" in named, "needrestart saw the upgrade"
    assert not [name for name in named if name.startswith(("gpustation", "run-", "user@"))]
