"""Another version of the image fails: only the old image and its parameter are left.

Only an update that is rolled back shows which image the parameter names afterwards.
"""

from __future__ import annotations

from typing import Any

import pytest

from localaws import LocalAws
from tests.faults.conftest import MakeStack
from tests.faults.outcome import assert_no_machine_runs
from tests.support.assembly import IMAGE, assemble

NAME = "ImageParameter561C41F9"
REASON = "not today"


def images(aws: LocalAws) -> tuple[list[str], list[str], str]:
    """Own images, their snapshots, and the image that the parameter names."""
    ec2 = aws.client("ec2")
    named = aws.client("ssm").get_parameter(Name="/gpustation/image/mxnet")["Parameter"]["Value"]
    return (
        [row["ImageId"] for row in ec2.describe_images(Owners=["self"])["Images"]],
        [row["SnapshotId"] for row in ec2.describe_snapshots(OwnerIds=["self"])["Snapshots"]],
        named,
    )


def fail_at_build(aws: LocalAws) -> None:
    aws.control.machine_fault({"bash": {"exit": 1, "stderr": REASON}})


def fail_at_image(aws: LocalAws) -> None:
    aws.control.resource_fault("update", assemble(IMAGE).machine, REASON, times=1)


def fail_at_name(aws: LocalAws) -> None:
    """After the new image is built and tested."""
    aws.control.resource_fault("update", NAME, REASON, times=1)


@pytest.mark.parametrize(
    "fail",
    [
        fail_at_image,
        pytest.param(fail_at_build, marks=pytest.mark.tier("all")),
        pytest.param(fail_at_name, marks=pytest.mark.tier("all")),
    ],
)
def test_old_image_stays_and_the_next_deploy_succeeds(
    aws: LocalAws, stack: MakeStack, fail: Any
) -> None:
    old, new = assemble(IMAGE), assemble(IMAGE, notebooks=False)
    for assembly in (old, new):
        assembly.publish(aws)
    made = stack(IMAGE)
    assert made.deploy("create_stack", old.template) == "CREATE_COMPLETE"
    before = images(aws)
    fail(aws)
    assert made.deploy("update_stack", new.template) == "UPDATE_ROLLBACK_COMPLETE"
    assert any(REASON in reason for _, _, reason in made.events())
    assert images(aws) == before
    assert_no_machine_runs(aws)

    aws.control.machine_fault(None)
    assert made.deploy("update_stack", new.template) == "UPDATE_COMPLETE"
    own, snapshots, named = images(aws)
    assert [named] == own != before[0]
    assert len(snapshots) == 1
