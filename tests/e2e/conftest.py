"""One embedded AWS, bootstrapped once; every test gets an account with an enough quota."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from gpustation.saved_image import remove
from localaws import LocalAws
from tests.e2e.moving import Scene, deployed, make_scene
from tests.support.app_folder import AppFolder
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
def aws(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[LocalAws]:
    """The account with room for two of the default machines, and empty again afterwards."""
    if request.node.get_closest_marker("moves_the_clock"):
        with LocalAws() as own:
            bootstrap(own, tmp_path_factory)
            own.control.set_quota(G_QUOTA, 8)
            yield own
        return
    bootstrapped: LocalAws = request.getfixturevalue("bootstrapped")
    bootstrapped.control.reset()
    bootstrapped.control.set_quota(G_QUOTA, 8)
    moved = abs(bootstrapped.control.clock() - time.time())
    assert moved < 60, "mark the test that moves AWS's clock: commands have this computer's"
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


@pytest.fixture
def no_copies(aws: LocalAws) -> Iterator[None]:
    yield
    aws.control.reset()
    delete_stack(aws, STACK)
    ec2 = aws.client("ec2")
    for row in ec2.describe_images(Owners=["self"])["Images"]:
        remove.remove(ec2, row["ImageId"])
    for row in aws.control.reservations():
        if row.state == "active":
            ec2.cancel_capacity_reservation(CapacityReservationId=row.reservation_id)


@pytest.fixture
def scene(aws: LocalAws, account: Account, tmp_path: Path, no_copies: None) -> Scene:
    return make_scene(aws, account, AppFolder(aws, tmp_path), deployed(aws))
