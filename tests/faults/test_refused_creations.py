"""Refused deploys and deploys with a warning: what the person reads, and what is left.

Through the plain API, which shows the same reasons as the CDK CLI in a fraction of the time; the
CLI's own rendering is tested in tests/e2e/test_refusals.py.
"""

from __future__ import annotations

from typing import Any

import pytest

from localaws import LocalAws
from tests.faults.conftest import MakeStack
from tests.faults.outcome import assert_no_machine_runs, launches
from tests.support.assembly import WORKSTATION, assemble
from tests.support.probe_stack import G_QUOTA, Stack

QUOTA_CHECK = "QuotaCheckB2735ED9"


def create(aws: LocalAws, stack: MakeStack, **settings: Any) -> tuple[Stack, str]:
    """A stack with these settings, and its final status."""
    assembly = assemble(**settings)
    assembly.publish(aws)
    made = stack()
    return made, made.deploy("create_stack", assembly.template)


def refusal(aws: LocalAws, stack: MakeStack, **settings: Any) -> str:
    """Why the stack was refused; nothing of it is left."""
    made, status = create(aws, stack, **settings)
    assert status == "ROLLBACK_COMPLETE"
    assert_no_machine_runs(aws)
    assert [row.id for row in aws.inventory()] == [WORKSTATION], "the stack's record alone is left"
    return next(reason for _, status, reason in made.events() if status == "CREATE_FAILED")


def test_others_use_the_quota_up(aws: LocalAws, stack: MakeStack) -> None:
    ec2 = aws.client("ec2")
    image = next(i["ImageId"] for i in ec2.describe_images()["Images"])
    request = {"ImageId": image, "InstanceType": "g5.xlarge", "MinCount": 1, "MaxCount": 1}
    (other,) = ec2.run_instances(**request)["Instances"]
    aws.control.set_quota(G_QUOTA, 7)
    made, status = create(aws, stack)
    ec2.terminate_instances(InstanceIds=[other["InstanceId"]])
    assert status == "ROLLBACK_COMPLETE"
    assert "(limit 7, in use 4)" in made.reason(QUOTA_CHECK)


@pytest.mark.tier("all")
def test_reserved_capacity_uses_the_quota_up(aws: LocalAws, stack: MakeStack) -> None:
    aws.control.reserve_capacity("cr-1", "g5.xlarge", "us-east-1a", match="targeted")
    aws.control.set_quota(G_QUOTA, 7)
    made, status = create(aws, stack)
    assert status == "ROLLBACK_COMPLETE"
    assert "(limit 7, in use 4 with 4 of unused capacity" in made.reason(QUOTA_CHECK)


def test_an_increase_is_requested_once(aws: LocalAws, stack: MakeStack) -> None:
    aws.control.set_quota(G_QUOTA, None)  # no applied value: AWS's default of 0 counts
    made, status = create(aws, stack, quota="request")
    assert status == "ROLLBACK_COMPLETE"
    assert "quota=request: requested 4 vCPUs: request" in made.reason(QUOTA_CHECK)
    assert made.delete() == "DELETE_COMPLETE"
    template = assemble(quota="request").template
    assert made.deploy("create_stack", template) == "ROLLBACK_COMPLETE"
    assert "Open: request" in made.reason(QUOTA_CHECK)
    assert "no new request: one is open" in made.reason(QUOTA_CHECK)
    history = aws.client("service-quotas").list_requested_service_quota_change_history_by_quota(
        ServiceCode="ec2", QuotaCode=G_QUOTA
    )
    assert len(history["RequestedQuotas"]) == 1


def test_an_unknown_quota_lets_the_deploy_go_on(aws: LocalAws, stack: MakeStack) -> None:
    aws.control.set_default_quota(G_QUOTA, None)
    aws.control.set_quota(G_QUOTA, None)
    aws.control.enforce_quota(False)
    made, status = create(aws, stack)
    assert status == "CREATE_COMPLETE"
    assert made.outputs()["Quota"].startswith("UNKNOWN whether the quota suffices")


@pytest.mark.tier("all")
def test_throttling_is_waited_out(aws: LocalAws, stack: MakeStack) -> None:
    aws.control.fault("GetServiceQuota", "throttle", times=3)
    made, status = create(aws, stack)
    assert status == "CREATE_COMPLETE"
    assert made.outputs()["Quota"].startswith("g4dn.xlarge needs 4 vCPUs, 8 free")


@pytest.mark.tier("all")
def test_warn_only_says_so(aws: LocalAws, stack: MakeStack) -> None:
    aws.control.set_quota(G_QUOTA, 0)
    aws.control.enforce_quota(False)
    made, status = create(aws, stack, quota="warn")
    assert status == "CREATE_COMPLETE"
    assert made.outputs()["Quota"].startswith("TOO SMALL, warning only")


@pytest.mark.tier("all")
def test_no_zone_offers_the_type(aws: LocalAws, stack: MakeStack) -> None:
    aws.control.set_offerings("g6.xlarge", [])
    reason = refusal(aws, stack, instance_type="g6.xlarge")
    assert "instance_type=g6.xlarge: no zone of us-east-1 offers it" in reason


@pytest.mark.tier("all")
def test_the_zone_does_not_offer_the_type(aws: LocalAws, stack: MakeStack) -> None:
    aws.control.set_offerings("g6.xlarge", ["us-east-1b", "us-east-1d"])
    reason = refusal(aws, stack, instance_type="g6.xlarge", availability_zone="us-east-1a")
    assert "offered in us-east-1b, us-east-1d only" in reason


@pytest.mark.tier("all")
def test_the_image_needs_a_larger_disk_by_a_single_gib(aws: LocalAws, stack: MakeStack) -> None:
    reason = refusal(aws, stack, image="dlami", disk_gib=74)
    assert "disk_gib=74" in reason
    assert "set disk_gib=75" in reason


@pytest.mark.tier("all")
def test_nothing_was_baked(aws: LocalAws, stack: MakeStack) -> None:
    reason = refusal(aws, stack, image="baked")
    assert "/gpustation/image/mxnet does not exist in us-east-1" in reason


@pytest.mark.tier("all")
def test_the_environment_cannot_be_built(aws: LocalAws, stack: MakeStack) -> None:
    """Driver: test_variants.py. Verification, as the CDK CLI shows it: tests/e2e."""
    fault = {"exit": 9, "stderr": "uv: this line tells why", "when": "pip install"}
    aws.control.machine_fault({"uv": fault})
    before = launches(aws)
    reason = refusal(aws, stack)
    assert launches(aws) == before + 1
    assert "WaitCondition received failed message:" in reason
    assert "phase environment failed" in reason
    assert "exited 9" in reason
    assert "uv: this line tells why" in reason


def test_the_machine_never_reports(aws: LocalAws, stack: MakeStack) -> None:
    aws.control.machine_silent(True)
    aws.control.wait_scale(0.01)  # 5 minutes pass in 3 seconds
    reason = refusal(aws, stack, ready_timeout_minutes=5)
    assert "WaitCondition timed out. Received 0 conditions" in reason
