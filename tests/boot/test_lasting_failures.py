"""What cannot succeed: one failure, at the step that failed, and none again at the next boot.

Only systemd counts the tries, and starts or does not start the unit again.
"""

from __future__ import annotations

import re

import pytest

from localaws import LocalAws
from tests.boot.workstation import Deploy, Workstation
from tests.support.cdk_cli import Cdk

pytestmark = pytest.mark.usefixtures("nothing_left")

# A tool that the jupyter phase installs cannot be written where a folder is.
IN_THE_WAY = "/usr/local/bin/gpustation-jupyter-url"
# The agent and scripts go along, so that only the room is missing. It suffices for the driver.
SMALL_DISK = """
mkdir /run/small
mount -t tmpfs -o size=1200M small /run/small
cp -a /opt/gpustation/. /run/small
mount --make-private /run
mount --move /run/small /opt/gpustation
"""
LEAVE_100_MIB = (
    "fallocate -l $(($(df --output=avail -B1 /opt/gpustation | tail -n 1) - 100 * 2**20)) "
    "/opt/gpustation/filler"
)


def failures(station: Workstation) -> list[str]:
    return [unique for unique, status in station.signals() if status == "FAILURE"]


def test_failing_phase_then_reboot_then_cured(cloud: LocalAws, cdk: Cdk) -> None:
    deploy = Deploy(cloud, cdk, rollback=False, notebooks=False)
    station = deploy.machine()
    station.await_phase("system")
    station.sh(f"mkdir -p {IN_THE_WAY}")
    run = deploy.end()
    assert run.status != 0
    said = " ".join(run.output.split())
    assert "phase jupyter failed" in said
    assert "Is a directory" in said
    assert station.signals() == [("driver", "SUCCESS"), ("jupyter", "FAILURE")]
    assert station.starts("jupyter") == 3
    station.reboot()
    assert failures(station) == ["jupyter"]
    assert station.starts("environment") == 1
    station.sh(f"rmdir {IN_THE_WAY}")
    station.reboot()
    assert station.starts("verify") == 1
    assert station.jupyter(station.token()) == 200
    assert failures(station) == ["jupyter"]


def test_disk_that_is_too_small_is_told_before_the_download(cloud: LocalAws, cdk: Cdk) -> None:
    cloud.control.machine_gpu(True)
    deploy = Deploy(cloud, cdk, rollback=False, notebooks=False)
    station = deploy.machine()
    station.await_phase("system")
    station.sh(SMALL_DISK)
    run = deploy.end()
    assert run.status != 0
    said = " ".join(run.output.split())
    assert re.search(r"the environment of mxnet needs \d+ MiB free .*, there are \d+: ", said)
    assert "raise disk_gib (new generation) or make room" in said
    assert station.signals() == [("driver", "SUCCESS"), ("environment", "FAILURE")]
    assert station.starts("environment") == 1


def test_disk_that_fills_up_in_the_middle_is_told_once(cloud: LocalAws, cdk: Cdk) -> None:
    deploy = Deploy(cloud, cdk, rollback=False, notebooks=False)
    station = deploy.machine()
    station.await_phase("system")
    station.sh(SMALL_DISK)
    # The phase has seen enough room by then
    station.await_text("uv venv --quiet")
    station.sh(LEAVE_100_MIB)
    run = deploy.end()
    assert run.status != 0
    said = " ".join(run.output.split())
    assert "phase environment failed" in said
    assert "No space left on device" in said
    assert station.signals() == [("driver", "SUCCESS"), ("environment", "FAILURE")]
    assert station.starts("environment") == 1
