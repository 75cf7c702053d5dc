from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from cloud_bench import Cloud, archive_of, running_cloud
from machine_bench import SETTINGS, USERDATA, Machine


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


@pytest.fixture(scope="module")
def first_boot(tmp_path_factory: pytest.TempPathFactory, scripts: bytes) -> Iterator[Machine]:
    """A machine after its first boot, for tests that only look at it."""
    with running_cloud() as running:
        yield _set_up(tmp_path_factory.mktemp("first"), running, scripts)


@pytest.fixture
def finished(tmp_path: Path, scripts: bytes) -> Iterator[Machine]:
    """A machine after its first boot, which a test boots again."""
    with running_cloud() as running:
        yield _set_up(tmp_path, running, scripts)
