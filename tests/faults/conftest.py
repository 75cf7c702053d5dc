"""One embedded AWS for all tests of this folder, with what they need of `cdk bootstrap`."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from localaws import LocalAws
from tests.faults.holds import Holds
from tests.faults.outcome import remove
from tests.support.assembly import WORKSTATION, minimal_bootstrap
from tests.support.probe_stack import G_QUOTA, Stack

MakeStack = Callable[..., Stack]


@pytest.fixture(scope="session")
def server() -> Iterator[LocalAws]:
    with LocalAws() as aws:
        minimal_bootstrap(aws)
        yield aws


@pytest.fixture
def aws(server: LocalAws) -> LocalAws:
    """The account with every setting as in a new one, and quota for two machines."""
    server.control.reset()
    server.control.set_quota(G_QUOTA, 8)
    return server


@pytest.fixture
def stack(aws: LocalAws) -> Iterator[MakeStack]:
    """Makes a stack with a name; at the end of the test nothing of it may be left."""
    made: list[Stack] = []

    def make(name: str = WORKSTATION) -> Stack:
        made.append(Stack(aws, name))
        return made[-1]

    yield make
    aws.control.reset()
    for created in reversed(made):
        remove(created)


@pytest.fixture
def holds(aws: LocalAws) -> Iterator[Holds]:
    """The test's reservations; at its end none may be left."""
    holds = Holds(aws)
    yield holds
    holds.assert_over()
