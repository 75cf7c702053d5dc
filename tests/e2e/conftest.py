"""One embedded AWS, bootstrapped once; every test gets an account with an enough quota."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from localaws import LocalAws
from tests.support.bootstrap import bootstrap
from tests.support.cdk_cli import CDK, STACK, Account, Cdk, assert_nothing_left, delete_stack
from tests.support.probe_stack import G_QUOTA


@pytest.fixture(scope="session")
def bootstrapped(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalAws]:
    if not CDK.exists():
        pytest.fail("the CDK CLI is not installed: run `make setup` first")
    with LocalAws() as aws:
        bootstrap(aws, tmp_path_factory)
        yield aws


@pytest.fixture
def aws(bootstrapped: LocalAws) -> Iterator[LocalAws]:
    """The account with room for two of the default machines, and empty again afterwards."""
    bootstrapped.control.reset()
    bootstrapped.control.set_quota(G_QUOTA, 8)
    yield bootstrapped
    bootstrapped.control.reset()
    delete_stack(bootstrapped, STACK)
    assert_nothing_left(bootstrapped)


@pytest.fixture
def cdk(bootstrapped: LocalAws, tmp_path: Path) -> Cdk:
    return Cdk(bootstrapped, tmp_path)


@pytest.fixture
def account(aws: LocalAws) -> Account:
    return Account(aws)
