"""Machines that boot, on one embedded AWS for each worker."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from localaws import LocalAws
from localaws.machines.booted.root import DISTRIBUTIONS, STAND_INS
from localaws.machines.booted.support import why_not
from tests.boot.installed import INSTALLED, installed_disk
from tests.boot.phase_machine import Machine, phase_machine
from tests.support.bootstrap import bootstrap
from tests.support.cdk_cli import CDK, STACK, Cdk, delete_stack
from tests.support.probe_stack import G_QUOTA


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    reason = why_not()
    for item in items:
        if reason and "boot" in Path(str(item.path)).parts:
            item.add_marker(pytest.mark.skip(reason=f"NO MACHINE WAS BOOTED: {reason}"))


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Boot both roots in each test: that of its module in its own tier, the other one in all.

    `DISTRIBUTION` names the module's; without it, Debian 13. So ``make test`` boots both.
    """
    named = [str(mark.args[0]) for mark in metafunc.definition.iter_markers("parametrize")]
    if "distribution" not in metafunc.fixturenames or "distribution" in named:
        return
    own = getattr(metafunc.module, "DISTRIBUTION", next(iter(DISTRIBUTIONS)))
    others = (name for name in STAND_INS if name != own)
    roots = [own, *(pytest.param(name, marks=pytest.mark.tier("all")) for name in others)]
    metafunc.parametrize("distribution", roots, indirect=True, scope="session")


@pytest.fixture(scope="session")
def distribution(request: pytest.FixtureRequest) -> str:
    """Name of what machines boot."""
    return str(request.param)


@pytest.fixture(scope="session")
def booted_account(
    distribution: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[LocalAws]:
    """An account whose instances boot."""
    if not CDK.exists():
        pytest.fail("the CDK CLI is not installed: run `make setup` first")
    with LocalAws(booted=True, root=distribution) as aws:
        bootstrap(aws, tmp_path_factory)
        yield aws


@pytest.fixture(scope="module")
def cloud(booted_account: LocalAws) -> Iterator[LocalAws]:
    """The account, untouched at first, with room for two of the default type; nothing stays."""
    _as_new(booted_account)
    yield booted_account
    _leave_nothing(booted_account)


@pytest.fixture
def machine(distribution: str, tmp_path: Path) -> Iterator[Machine]:
    """A machine on which phases are run one by one."""
    with phase_machine(distribution, tmp_path) as made:
        yield made


@pytest.fixture(scope="module")
def cdk(cloud: LocalAws, tmp_path_factory: pytest.TempPathFactory) -> Cdk:
    return Cdk(cloud, tmp_path_factory.mktemp("cdk"))


@pytest.fixture
def nothing_left(cloud: LocalAws) -> Iterator[None]:
    """A test that begins with an untouched account, and leaves nothing in it."""
    _as_new(cloud)
    cloud.control.machine_environment({"GPUSTATION_RETRY_SECONDS": "120"})
    yield
    _leave_nothing(cloud)


@pytest.fixture
def installed(
    cloud: LocalAws,
    nothing_left: None,
    distribution: str,
    tmp_path_factory: pytest.TempPathFactory,
) -> dict[str, Any]:
    """Settings of a machine whose disk another one has set up: for what comes after that."""
    return launched_from(cloud, installed_disk(tmp_path_factory, distribution))


def launched_from(aws: LocalAws, disk: Path) -> dict[str, Any]:
    """Settings of a machine that starts from a disk."""
    aws.control.add_image(INSTALLED)
    aws.control.image_disk(INSTALLED, str(disk))
    return {"image": INSTALLED, "notebooks": False}


def _as_new(aws: LocalAws) -> None:
    aws.control.reset()
    aws.control.set_quota(G_QUOTA, 8)


def _leave_nothing(aws: LocalAws) -> None:
    aws.control.fault("Signal", None)
    delete_stack(aws, STACK)
    assert aws.inventory() == []
