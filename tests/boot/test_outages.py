"""Faults on the way: what passes is waited for, what does not is said.

Only real apt, uv and curl show how long they wait and what they take for a success.
"""

from __future__ import annotations

import contextlib
import os
import time
from pathlib import Path
from typing import Any

import pytest

from localaws import LocalAws
from tests.boot.workstation import PATIENCE, SUCCESS, Deploy, Workstation
from tests.support.cdk_cli import Cdk

pytestmark = pytest.mark.usefixtures("nothing_left")

# Unattended upgrades hold this lock; it is an fcntl lock, which flock(1) does not take.
HOLD_APT = (
    "import fcntl, os, time; lock = open('/var/lib/dpkg/lock-frontend', 'w'); "
    "fcntl.lockf(lock, fcntl.LOCK_EX); "
    "[time.sleep(0.1) for _ in iter(lambda: os.path.exists('/run/release-apt'), True)]"
)
WAITS_FOR_APT = "Waiting for cache lock"


def bytes_in(folder: Path) -> int:
    """Size of the files, some of which vanish meanwhile."""
    found = 0
    for path, _, names in os.walk(folder):
        for name in names:
            with contextlib.suppress(FileNotFoundError):
                found += Path(path, name).lstat().st_size
    return found


def test_apt_lock_held_for_twenty_seconds(cloud: LocalAws, cdk: Cdk) -> None:
    deploy = Deploy(cloud, cdk, notebooks=False)
    station = deploy.machine()
    station.sh(f'setsid python3 -c "{HOLD_APT}" </dev/null >/dev/null 2>&1 &')
    deadline = time.monotonic() + PATIENCE
    while WAITS_FOR_APT not in cloud.console(station.box):
        assert time.monotonic() < deadline, cloud.console(station.box)
        time.sleep(0.2)
    time.sleep(20)
    station.sh("touch /run/release-apt")
    assert deploy.end().status == 0
    assert station.signals() == SUCCESS


def test_network_silent_from_the_start_for_thirty_seconds(cloud: LocalAws, cdk: Cdk) -> None:
    deploy = Deploy(cloud, cdk, notebooks=False)
    station = deploy.machine()
    deadline = time.monotonic() + PATIENCE
    while True:
        # The instance is there a moment before its network card
        with contextlib.suppress(ValueError):
            cloud.control.silence_network(station.box, True)
            break
        assert time.monotonic() < deadline
    time.sleep(30)
    assert station.starts("system") == 0 or station.starts("driver") == 0
    cloud.control.silence_network(station.box, False)
    assert deploy.end().status == 0
    assert station.signals() == SUCCESS
    assert station.starts("environment") == 1


def test_network_silent_in_the_middle_of_the_environment(cloud: LocalAws, cdk: Cdk) -> None:
    deploy = Deploy(cloud, cdk, notebooks=False)
    station = deploy.machine()
    cache = Path(cloud.control.machine_root(station.box), "opt/gpustation/cache")
    station.await_phase("environment")
    deadline = time.monotonic() + PATIENCE
    # uv writes each wheel there as it comes
    while bytes_in(cache) < 2**20:
        assert time.monotonic() < deadline, cloud.console(station.box)
    cloud.control.silence_network(station.box, True)
    assert not (cache.parent / "env/bin/jupyter").exists()
    time.sleep(40)
    cloud.control.silence_network(station.box, False)
    assert deploy.end().status == 0
    assert station.signals() == SUCCESS
    assert station.starts("environment") == 1


def test_changed_settings_are_applied_by_a_reboot_without_installing(
    cloud: LocalAws, cdk: Cdk, installed: dict[str, Any]
) -> None:
    assert cdk.deploy(**installed).status == 0
    station = Workstation(cloud, cloud.control.history()[-1].instance_id)
    key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIA0NDQ0NDQ0NDQ0NDQ0NDQ0NDQ0NDQ0NDQ0NDQ0NDQ0N me"
    before, signaled = station.boot_id(), len(station.signals())
    assert cdk.deploy(**installed, public_key=key).status == 0
    assert station.boot_id() == before
    station.reboot()
    assert key in station.sh("cat /home/ubuntu/.ssh/authorized_keys")
    for phase in ("driver", "jupyter", "verify"):
        assert station.starts(phase) == 1
    assert station.starts("environment") == 0
    assert len(station.signals()) == signaled
