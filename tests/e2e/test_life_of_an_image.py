"""`cdk deploy Image/GpuImage`: built, found unchanged, built anew, given up half-way, destroyed.

Only the CLI waits for a build, and is cut off in it; what is built is shown in tests/boot.
"""

from __future__ import annotations

import signal

import pytest
from botocore.exceptions import ClientError

from localaws import LocalAws
from tests.support.cdk_cli import Cdk, Run

IMAGE = "Image/GpuImage"
DEPLOY = ("--require-approval", "never", "--progress", "events")


def deploy(cdk: Cdk, assembly: str) -> Run:
    return cdk.run("deploy", IMAGE, "--app", assembly, *DEPLOY)


def destroy(cdk: Cdk, assembly: str) -> Run:
    return cdk.run("destroy", IMAGE, "--force", "--app", assembly)


def own_images(aws: LocalAws) -> list[str]:
    return [row["ImageId"] for row in aws.client("ec2").describe_images(Owners=["self"])["Images"]]


def named(aws: LocalAws) -> str:
    answer = aws.client("ssm").get_parameter(Name="/gpustation/image/mxnet")
    return str(answer["Parameter"]["Value"])


def test_an_image_from_first_to_last(aws: LocalAws, cdk: Cdk) -> None:
    assembly = cdk.assembly()
    assert deploy(cdk, assembly).status == 0
    (first,) = own_images(aws)
    assert named(aws) == first
    assert "no changes" in deploy(cdk, assembly).output
    assert deploy(cdk, cdk.assembly(notebooks=False)).status == 0
    (second,) = own_images(aws)
    assert named(aws) == second != first
    assert destroy(cdk, assembly).status == 0
    assert aws.inventory() == []


@pytest.mark.tier("all")
def test_a_build_that_nobody_watches_is_destroyed(aws: LocalAws, cdk: Cdk) -> None:
    assembly = cdk.assembly()

    def builds() -> bool:
        try:
            aws.client("cloudformation").describe_stacks(StackName="GpuImage")
        except ClientError:
            return False
        return bool(aws.client("ec2").describe_instances()["Reservations"])

    cdk.interrupt(signal.SIGKILL, builds, "deploy", IMAGE, "--app", assembly, *DEPLOY)
    assert destroy(cdk, assembly).status == 0
    assert own_images(aws) == []
    assert aws.inventory() == []


@pytest.mark.tier("all")
def test_a_build_that_fails_says_where_and_leaves_nothing(aws: LocalAws, cdk: Cdk) -> None:
    aws.control.machine_fault({"bash": {"exit": 1, "stderr": "no space left on device"}})
    assembly = cdk.assembly()
    refused = deploy(cdk, assembly)
    assert refused.status != 0
    text = " ".join(refused.output.split())
    assert "phase build, step" in text
    assert "no space left on device" in text
    assert [row.kind for row in aws.inventory()] == ["stack"]
    assert destroy(cdk, assembly).status == 0
