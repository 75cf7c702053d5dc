from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cloud_bench import Cloud, archive_of, running_cloud
from idle_bench import box, idle, watch
from interruption_bench import machine_code, service, spot
from machine_bench import SETTINGS, USERDATA, Machine

__all__ = ["box", "idle", "machine_code", "service", "spot", "watch"]


@pytest.fixture(scope="session")
def scripts() -> bytes:
    return archive_of(USERDATA)


@pytest.fixture
def cloud(scripts: bytes) -> Iterator[Cloud]:
    with running_cloud() as running:
        running.settings = dict(SETTINGS)
        running.serve_scripts(scripts)
        yield running


@pytest.fixture
def machine(tmp_path: Path, cloud: Cloud) -> Machine:
    return Machine(tmp_path, cloud)


def _set_up(root: Path, running: Cloud, scripts: bytes) -> Machine:
    running.settings = dict(SETTINGS)
    running.serve_scripts(scripts)
    machine = Machine(root, running)
    authorized = machine.root / "home/ubuntu/.ssh/authorized_keys"
    authorized.parent.mkdir(parents=True)
    authorized.write_text("ssh-rsa AAAA of-the-person\n")
    machine.boot()
    return machine


@pytest.fixture(scope="session")
def first_boot(tmp_path_factory: pytest.TempPathFactory, scripts: bytes) -> Iterator[Machine]:
    """A machine after its first boot, for tests that only look at it."""
    with running_cloud() as running:
        yield _set_up(tmp_path_factory.mktemp("first"), running, scripts)


def _copy(disk: Path, target: Path) -> None:
    """Copy with owners, modes and times."""
    subprocess.run(["cp", "-a", disk, target], check=True)


@pytest.fixture(scope="session")
def _booted_once(
    tmp_path_factory: pytest.TempPathFactory, scripts: bytes
) -> Iterator[tuple[Machine, Path, dict[str, Any]]]:
    """A machine after its first boot, a copy of its disk, and what its cloud knew then."""
    with running_cloud() as running:
        folder = tmp_path_factory.mktemp("finished")
        machine = _set_up(folder / "disk", running, scripts)
        _copy(machine.root, folder / "copy")
        yield machine, folder / "copy", running.remember()


@pytest.fixture
def finished(_booted_once: tuple[Machine, Path, dict[str, Any]]) -> Machine:
    """A machine after its first boot, which a test boots again.

    Its disk is put back where it was, for paths of it stand in its files: a first boot costs two
    seconds of a processor, and forty tests begin with it.
    """
    machine, disk, known = _booted_once
    shutil.rmtree(machine.root)
    _copy(disk, machine.root)
    machine.cloud.recall(known)
    return Machine(machine.root, machine.cloud, output=machine.output)
