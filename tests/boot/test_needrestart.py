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
# The second is as any service that is not ours.
START = "systemd-run --quiet sleep 600; systemd-run --quiet --unit=others sleep 600"
OURS = ("gpustation", "run-", "user@")
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
    station.sh(START)
    station.sh(UPGRADE_LIBC)
    named = station.sh(WOULD_RESTART).split()
    assert "others.service" in named, "needrestart saw the upgrade"
    assert not [name for name in named if name.startswith(OURS)]
    station.sh("rm /etc/needrestart/conf.d/gpustation.conf")
    named = station.sh(WOULD_RESTART).split()
    assert "gpustation-jupyter.service" in named, "without the file it would"
