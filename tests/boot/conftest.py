"""Machines that boot, each file with an embedded AWS of its own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from localaws import LocalAws
from localaws.boots.support import why_not
from tests.e2e.cdk_cli import CDK, Cdk

G_QUOTA = "L-DB2E81BA"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    reason = why_not()
    for item in items:
        if reason and "boot" in Path(str(item.path)).parts:
            item.add_marker(pytest.mark.skip(reason=f"NO MACHINE WAS BOOTED: {reason}"))


@pytest.fixture(scope="module")
def cloud() -> Iterator[LocalAws]:
    """An account whose instances boot, with room for two of the default type."""
    if not CDK.exists():
        pytest.fail("the CDK CLI is not installed: run `make setup` first")
    with LocalAws(booted=True) as aws:
        aws.control.set_quota(G_QUOTA, 8)
        yield aws


@pytest.fixture(scope="module")
def cdk(cloud: LocalAws, tmp_path_factory: pytest.TempPathFactory) -> Cdk:
    made = Cdk(cloud, tmp_path_factory.mktemp("cdk"))
    assert made.run("bootstrap", f"aws://{cloud.account}/{cloud.region}").status == 0
    return made


@pytest.fixture
def nothing_left(cloud: LocalAws, cdk: Cdk) -> Iterator[None]:
    """A test that begins with an untouched account, and leaves nothing in it."""
    cloud.control.reset()
    cloud.control.set_quota(G_QUOTA, 8)
    cloud.control.machine_environment({"GPUSTATION_RETRY_SECONDS": "120"})
    cloud.control.machine_gpu(False)
    cloud.control.machine_module(True)
    cloud.control.machine_reaches(None)
    yield
    cloud.control.fault("Signal", None)
    assert cdk.destroy().status == 0
    assert cloud.leftovers() == []
