"""Deploys that fail, as the CDK CLI shows them; all others: faults/test_refused_creations.py."""

import pytest

from localaws import LocalAws
from tests.e2e.conftest import G_QUOTA
from tests.support.cdk_cli import Account, Cdk, Run


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


@pytest.mark.tier("all")
def test_fails_when_the_machine_reports_a_failure(
    aws: LocalAws, cdk: Cdk, account: Account
) -> None:
    fault = {"exit": 9, "stderr": "this and no other line tells why", "when": "verify.py"}
    aws.control.machine_fault({"python": fault})
    refused = cdk.deploy()
    assert_refused(
        refused,
        account,
        "WaitCondition received failed message:",
        "phase verify failed",
        "exited 9",
        "this and no other line tells why",
        "Generation1/GpuReady",
    )


@pytest.mark.tier("all")
def test_fails_when_aws_refuses_what_a_handler_asks(
    aws: LocalAws, cdk: Cdk, account: Account
) -> None:
    aws.control.fault("DescribeImages", "missing")
    refused = cdk.deploy()
    assert_refused(refused, account, "cannot choose image and zone: DescribeImages: ")
