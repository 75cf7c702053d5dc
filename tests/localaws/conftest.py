"""One embedded AWS for all tests of this folder."""

from __future__ import annotations

from collections.abc import Iterator
from uuid import uuid4

import pytest

from localaws import LocalAws
from tests.support.probe_stack import G_QUOTA, Stack


@pytest.fixture(scope="session")
def server() -> Iterator[LocalAws]:
    with LocalAws() as aws:
        yield aws


@pytest.fixture
def aws(server: LocalAws) -> LocalAws:
    """The shared account with every knob as in a new one, but with room for machines."""
    server.control.reset()
    server.control.set_quota(G_QUOTA, 64)
    return server


@pytest.fixture
def stack(aws: LocalAws) -> Iterator[Stack]:
    made = Stack(aws, f"probe-{uuid4().hex[:8]}")
    yield made
    if made.stack_id and made.describe()["StackStatus"] != "DELETE_COMPLETE":
        assert made.delete() == "DELETE_COMPLETE"


@pytest.fixture(scope="session")
def code_bucket(server: LocalAws) -> str:
    server.client("s3").create_bucket(Bucket="probe-code")
    return "probe-code"


@pytest.fixture(scope="session")
def clock_server() -> Iterator[LocalAws]:
    with LocalAws() as aws:
        yield aws


@pytest.fixture
def moved(clock_server: LocalAws) -> LocalAws:
    """An account of its own, whose clock tests move, with every knob as in a new one but room."""
    clock_server.control.reset()
    clock_server.control.set_quota(G_QUOTA, 640)
    return clock_server
