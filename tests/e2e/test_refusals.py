"""Deploys that fail: what the person reads, and that nothing is left half made."""

import pytest

from localaws import LocalAws
from tests.e2e.cdk_cli import Account, Cdk, Run
from tests.e2e.conftest import G_QUOTA


def assert_refused(run: Run, account: Account, *words: str) -> None:
    """The deploy failed with these words, and the stack went back to nothing."""
    assert run.status != 0
    text = " ".join(run.output.split())  # the CLI wraps its summary
    for word in words:
        assert word in text
    assert "Traceback" not in run.output
    assert account.stack_status() == "ROLLBACK_COMPLETE"
    assert account.instances() == []


def launches(aws: LocalAws) -> int:
    return sum(event.event == "launched" for event in aws.control.history())


def test_fails_when_the_quota_is_too_small(aws: LocalAws, cdk: Cdk, account: Account) -> None:
    aws.control.set_quota(G_QUOTA, 3)
    before = launches(aws)
    refused = cdk.deploy()
    assert_refused(
        refused,
        account,
        "quota too small: g4dn.xlarge needs 4 vCPUs, 3 free in us-east-1 (limit 3, in use 0)",
        "request-service-quota-increase --region us-east-1 --service-code ec2 "
        "--quota-code L-DB2E81BA --desired-value 4",
    )
    assert launches(aws) == before


def test_fails_when_others_use_the_quota_up(aws: LocalAws, cdk: Cdk, account: Account) -> None:
    ec2 = aws.client("ec2")
    image = next(i["ImageId"] for i in ec2.describe_images()["Images"])
    (other,) = ec2.run_instances(ImageId=image, InstanceType="g5.xlarge", MinCount=1, MaxCount=1)[
        "Instances"
    ]
    try:
        aws.control.set_quota(G_QUOTA, 7)
        run = cdk.deploy()
        assert run.status != 0
        assert "(limit 7, in use 4)" in run.output
    finally:
        ec2.terminate_instances(InstanceIds=[other["InstanceId"]])


def test_request_files_the_increase_once(aws: LocalAws, cdk: Cdk, account: Account) -> None:
    aws.control.set_quota(G_QUOTA, None)  # no applied value: AWS's default of 0 counts
    refused = cdk.deploy(quota="request")
    assert_refused(refused, account, "quota=request: filed for 4 vCPUs: request")
    assert cdk.destroy().status == 0
    again = cdk.deploy(quota="request")
    assert_refused(again, account, "Open: request", "nothing more was filed")
    history = aws.client("service-quotas").list_requested_service_quota_change_history_by_quota(
        ServiceCode="ec2", QuotaCode=G_QUOTA
    )
    assert len(history["RequestedQuotas"]) == 1


def test_an_unknown_quota_lets_the_deploy_go_on(aws: LocalAws, cdk: Cdk, account: Account) -> None:
    aws.control.set_default_quota(G_QUOTA, None)
    aws.control.set_quota(G_QUOTA, None)
    aws.control.enforce_quota(False)
    deployed = cdk.deploy()
    assert deployed.status == 0
    assert deployed.outputs["Quota"].startswith("UNKNOWN whether the quota suffices")


def test_throttling_is_waited_out(aws: LocalAws, cdk: Cdk, account: Account) -> None:
    aws.control.fault("GetServiceQuota", "throttle", times=3)
    deployed = cdk.deploy()
    assert deployed.status == 0
    assert deployed.outputs["Quota"].startswith("g4dn.xlarge needs 4 vCPUs, 8 free")


def test_warn_only_says_so(aws: LocalAws, cdk: Cdk, account: Account) -> None:
    aws.control.set_quota(G_QUOTA, 0)
    aws.control.enforce_quota(False)
    deployed = cdk.deploy(quota="warn")
    assert deployed.status == 0
    assert deployed.outputs["Quota"].startswith("TOO SMALL, only warned of")


def test_fails_when_no_zone_offers_the_type(aws: LocalAws, cdk: Cdk, account: Account) -> None:
    aws.control.set_offerings("g6.xlarge", [])
    refused = cdk.deploy(instance_type="g6.xlarge")
    assert_refused(refused, account, "instance_type=g6.xlarge: no zone of us-east-1 offers it")


def test_fails_when_the_zone_does_not_offer_the_type(
    aws: LocalAws, cdk: Cdk, account: Account
) -> None:
    aws.control.set_offerings("g6.xlarge", ["us-east-1b", "us-east-1d"])
    refused = cdk.deploy(instance_type="g6.xlarge", availability_zone="us-east-1a")
    assert_refused(refused, account, "offered in us-east-1b, us-east-1d only")


def test_fails_when_the_image_needs_a_larger_disk(
    aws: LocalAws, cdk: Cdk, account: Account
) -> None:
    assert_refused(cdk.deploy(image="dlami"), account, "disk_gib=64", "set disk_gib=75")


def test_fails_when_nothing_was_baked(aws: LocalAws, cdk: Cdk, account: Account) -> None:
    refused = cdk.deploy(image="baked")
    assert_refused(refused, account, "/gpustation/image/mxnet does not exist in us-east-1")


@pytest.mark.parametrize(
    ("stub", "step", "phase"),
    [
        ("modprobe", "DriverReady", "driver"),
        ("uv", "EnvironmentReady", "environment"),
        ("python", "GpuReady", "verify"),
    ],
)
def test_fails_when_the_machine_reports_a_failure(
    aws: LocalAws, cdk: Cdk, account: Account, stub: str, step: str, phase: str
) -> None:
    fault = {"exit": 9, "stderr": f"{stub}: this and no other line tells why"}
    if stub == "python":
        fault["when"] = "verify.py"
    aws.control.machine_fault({stub: fault})
    refused = cdk.deploy()
    assert_refused(
        refused,
        account,
        "WaitCondition received failed message:",
        f"phase {phase} failed",
        "exited 9",
        "this and no other line tells why",
        f"Generation1/{step}",
    )


def test_fails_when_the_machine_never_reports(aws: LocalAws, cdk: Cdk, account: Account) -> None:
    aws.control.machine_silent(True)
    aws.control.wait_scale(0.01)  # 5 minutes pass in 3 seconds
    refused = cdk.deploy(ready_timeout_minutes=5)
    assert_refused(refused, account, "WaitCondition timed out. Received 0 conditions")


def test_fails_when_a_handler_raises(aws: LocalAws, cdk: Cdk, account: Account) -> None:
    aws.control.fault("DescribeImages", "missing")
    refused = cdk.deploy()
    assert_refused(refused, account, "unexpected fault, see", "ClientError")
