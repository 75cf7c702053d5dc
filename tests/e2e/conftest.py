"""One embedded AWS, bootstrapped once; every test gets an account with an enough quota."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from localaws import LocalAws
from tests.e2e.cdk_cli import CDK, Account, Cdk, assert_nothing_left

G_QUOTA = "L-DB2E81BA"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if "e2e" in Path(str(item.path)).parts:
            item.add_marker(pytest.mark.e2e)


@pytest.fixture(scope="session")
def bootstrapped(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalAws]:
    if not CDK.exists():
        pytest.fail("the CDK CLI is not installed: run `make setup` first")
    with LocalAws() as aws:
        cdk = Cdk(aws, tmp_path_factory.mktemp("bootstrap"))
        assert cdk.run("bootstrap", f"aws://{aws.account}/{aws.region}").status == 0
        yield aws


@pytest.fixture
def aws(bootstrapped: LocalAws, cdk: Cdk) -> Iterator[LocalAws]:
    """The account with room for two of the default machines, and empty again afterwards."""
    bootstrapped.control.reset()
    bootstrapped.control.set_quota(G_QUOTA, 8)
    yield bootstrapped
    bootstrapped.control.reset()
    assert cdk.destroy().status == 0
    assert_nothing_left(bootstrapped)


@pytest.fixture
def cdk(bootstrapped: LocalAws, tmp_path: Path) -> Cdk:
    return Cdk(bootstrapped, tmp_path)


@pytest.fixture
def account(aws: LocalAws) -> Account:
    return Account(aws)
