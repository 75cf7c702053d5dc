"""A machine that release 0.1.0 set up, at its first boot with the scripts of today.

Only a disk of that release shows what its marks and files mean to today's scripts. In `make test`
e2e/test_next_version.py and userdata/test_revisions.py stand for it.
"""

from __future__ import annotations

import base64
from pathlib import Path

import pytest

from localaws import LocalAws
from tests.boot.conftest import launched_from
from tests.boot.installed import installed_disk
from tests.boot.workstation import PHASES, SUCCESS, Workstation
from tests.support.cdk_cli import Cdk

FIXTURE = Path(__file__).resolve().parents[1] / "fixtures/release-0.1.0/scripts.tar.gz"
"""userdata/ of that release, without locks and notebooks, which only a first set-up needs."""
SET_UP_AGAIN = """
rm -f /var/lib/gpustation/jupyter-token /var/lib/gpustation/token-of
systemctl disable --now gpustation-metadata.service
rm -f /etc/systemd/system/gpustation-metadata.service
systemctl disable --now gpustation-idle.timer gpustation-idle-guard.timer
rm -f /etc/systemd/system/gpustation-idle*
nft delete table inet gpustation
base64 -d /root/scripts | tar -xz -C /
ln -sfn scripts-0.1.0 /opt/gpustation/scripts
bash /opt/gpustation/scripts/run.sh
"""
IDENTITY_UNIT = "/etc/systemd/system/gpustation-identity.service"
OLD_TOKEN = "/home/ubuntu/.config/gpustation/jupyter-token"


@pytest.fixture(scope="module")
def station(
    cloud: LocalAws, cdk: Cdk, distribution: str, tmp_path_factory: pytest.TempPathFactory
) -> Workstation:
    """Its disk as that release's own scripts leave it."""
    run = cdk.deploy(**launched_from(cloud, installed_disk(tmp_path_factory, distribution)))
    assert run.status == 0
    station = Workstation(cloud, run.outputs["InstanceId"])
    encoded = base64.b64encode(FIXTURE.read_bytes()).decode()
    for start in range(0, len(encoded), 50_000):
        station.sh(f"printf %s '{encoded[start : start + 50_000]}' >>/root/scripts")
    said = station.sh(SET_UP_AGAIN)
    assert "phase jupyter finished" in said
    assert "phase environment started" not in said
    assert OLD_TOKEN in station.sh("cat /etc/systemd/system/gpustation-jupyter.service")
    assert "scripts/lib/become-new-machine.sh" in station.sh(f"cat {IDENTITY_UNIT}")
    return station


def test_cures_arrive_and_nothing_large_is_repeated(station: Workstation) -> None:
    asked = "curl -s -m 5 -o /dev/null -w '%{http_code}' http://169.254.169.254/latest/"
    assert station.sh(f"sudo -u ubuntu {asked}") == "401"
    before = {phase: station.starts(phase) for phase in PHASES}
    station.reboot()
    repeated = {phase for phase in PHASES if station.starts(phase) > before[phase]}
    assert repeated == {"access", "system", "jupyter", "jupyter-check"}
    said = station.sh("journalctl --boot --unit=gpustation.service --output=cat")
    assert "apt-get" not in said, "something was downloaded"
    assert "warning" not in said
    # The cures: rights, token, sandbox, metadata
    assert station.sh(f"sudo -u ubuntu {asked} || true") == "000"
    station.sh(f"! ls {OLD_TOKEN}")
    assert station.jupyter(station.token()) == 200
    assert station.sh("systemctl --failed --no-legend") == ""
    assert station.signals() == SUCCESS
    # The unit names a script of the new layout, which exists
    script = station.sh(f"sed -n 's/^ExecStart=.* bash //p' {IDENTITY_UNIT}")
    assert "/lib/" not in script
    station.sh(f"test -f {script}")
