"""The CDK CLI dies in the middle, a stack stops half-way, a hand was faster: what ends it well.

What a person does is in docs/interrupted-deploys.md, which was written from these.

Only a CLI that dies shows what it leaves, and what the next one makes of that.
"""

from __future__ import annotations

import signal
import time
from collections.abc import Callable

import pytest

from localaws import LocalAws
from tests.support.cdk_cli import STACK, Account, Cdk

DEPLOY = ("--require-approval", "never", "--progress", "events")
INSTANCE = "Generation1MachineInstance6A2E7483"
FIRST_WAIT = "Generation1DriverReadyF7E6A7B3"


def settled(account: Account) -> str:
    deadline = time.monotonic() + 300
    while account.stack_status().endswith("_IN_PROGRESS"):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    return account.stack_status()


def begun(account: Account, logical_id: str) -> Callable[[], bool]:
    """Whether the creation of a resource has begun."""

    def has_begun() -> bool:
        if account.stack_status() != "CREATE_IN_PROGRESS":
            return False
        pages = account.aws.client("cloudformation").get_paginator("describe_stack_events")
        found = pages.paginate(StackName=STACK).build_full_result()["StackEvents"]
        return any(event["LogicalResourceId"] == logical_id for event in found)

    return has_begun


@pytest.mark.parametrize(
    "how",
    [signal.SIGKILL, signal.SIGINT],
    ids=lambda one: one.name,
)
@pytest.mark.tier("all")
def test_creation_goes_on_without_the_cli_and_the_next_deploy_tells_the_outputs(
    aws: LocalAws, cdk: Cdk, account: Account, how: signal.Signals
) -> None:
    assembly = cdk.assembly()
    cdk.interrupt(how, begun(account, INSTANCE), "deploy", "--app", assembly, *DEPLOY)
    assert settled(account) == "CREATE_COMPLETE"
    again = cdk.deploy_app("--app", assembly)
    assert again.status == 0
    assert "no changes" in again.output
    assert again.outputs["InstanceId"] == account.instance()["InstanceId"]
    assert account.events(again.outputs["InstanceId"]) == ["launched"]


@pytest.mark.tier("all")
def test_a_creation_that_nobody_watches_is_destroyed(
    aws: LocalAws, cdk: Cdk, account: Account
) -> None:
    aws.control.machine_silent(True)
    assembly = cdk.assembly()
    waits = begun(account, FIRST_WAIT)
    cdk.interrupt(signal.SIGKILL, waits, "deploy", "--app", assembly, *DEPLOY)
    too_early = cdk.deploy_app("--app", assembly)
    assert "no changes" in too_early.output
    assert too_early.outputs == {}, "the CLI does not wait for the creation"
    other = cdk.deploy(ssh_cidr="203.0.113.7/32")
    assert other.status != 0
    assert "is in CREATE_IN_PROGRESS state and can not be updated" in other.output
    assert cdk.destroy().status == 0
    assert account.instances() == []
    assert aws.inventory() == []


@pytest.mark.tier("all")
def test_an_update_goes_on_without_the_cli(aws: LocalAws, cdk: Cdk, account: Account) -> None:
    instance = cdk.deploy().outputs["InstanceId"]
    assembly = cdk.assembly(instance_type="g4dn.2xlarge")
    cdk.interrupt(
        signal.SIGKILL,
        lambda: account.stack_status() == "UPDATE_IN_PROGRESS",
        *("deploy", "--app", assembly, *DEPLOY),
    )
    assert settled(account) == "UPDATE_COMPLETE"
    assert cdk.deploy_app("--app", assembly).outputs["InstanceId"] == instance
    assert account.instance()["InstanceType"] == "g4dn.2xlarge"


@pytest.mark.tier("all")
def test_a_deletion_goes_on_without_the_cli(aws: LocalAws, cdk: Cdk, account: Account) -> None:
    assert cdk.deploy().status == 0
    assembly = cdk.assembly()
    cdk.interrupt(
        signal.SIGKILL,
        lambda: account.stack_status() == "DELETE_IN_PROGRESS",
        *("destroy", "--force", "--app", assembly),
    )
    assert cdk.destroy().status == 0
    assert aws.inventory() == []


@pytest.mark.tier("all")
def test_without_rollback_the_machine_stays_until_it_is_rolled_back(
    aws: LocalAws, cdk: Cdk, account: Account
) -> None:
    aws.control.machine_fault({"modprobe": {"exit": 1, "stderr": "no such module"}})
    assembly = cdk.assembly()
    assert cdk.deploy_app("--app", assembly, "--no-rollback").status != 0
    assert account.stack_status() == "CREATE_FAILED"
    assert account.instance()["State"]["Name"] == "running"
    refused = cdk.deploy_app("--app", assembly)
    assert "Stack is in a paused fail state (CREATE_FAILED)" in refused.output
    assert cdk.run("rollback", "--app", assembly).status == 0
    assert account.stack_status() == "ROLLBACK_COMPLETE"
    assert account.instances() == []
    aws.control.machine_fault(None)
    assert cdk.deploy_app("--app", assembly).status == 0


@pytest.mark.tier("all")
def test_without_rollback_the_next_deploy_makes_what_is_missing(
    aws: LocalAws, cdk: Cdk, account: Account
) -> None:
    aws.control.set_capacity("g4dn.xlarge", False)
    assembly = cdk.assembly()
    assert cdk.deploy_app("--app", assembly, "--no-rollback").status != 0
    assert account.stack_status() == "CREATE_FAILED"
    aws.control.set_capacity("g4dn.xlarge", True)
    assert cdk.deploy_app("--app", assembly, "--no-rollback").status == 0
    assert account.instance()["State"]["Name"] == "running"


@pytest.mark.tier("all")
def test_a_deletion_that_fails_is_repeated_when_the_reason_is_gone(
    aws: LocalAws, cdk: Cdk, account: Account
) -> None:
    assert cdk.deploy().status == 0
    ours, ec2 = account.instance(), aws.client("ec2")
    (foreign,) = ec2.run_instances(
        ImageId=ours["ImageId"],
        InstanceType="g4dn.xlarge",
        SubnetId=ours["SubnetId"],
        SecurityGroupIds=[ours["SecurityGroups"][0]["GroupId"]],
        MinCount=1,
        MaxCount=1,
    )["Instances"]
    failed = cdk.destroy()
    assert failed.status != 0
    assert "has a dependent object" in failed.output
    assert account.stack_status() == "DELETE_FAILED"
    assert account.instance()["InstanceId"] == foreign["InstanceId"], "our machine went first"
    ec2.terminate_instances(InstanceIds=[foreign["InstanceId"]])
    assert cdk.destroy().status == 0
    assert aws.inventory() == []


@pytest.mark.tier("all")
def test_a_machine_terminated_by_hand_is_replaced_by_a_new_generation(
    aws: LocalAws, cdk: Cdk, account: Account
) -> None:
    old = cdk.deploy().outputs["InstanceId"]
    aws.client("ec2").terminate_instances(InstanceIds=[old])
    assert "no changes" in cdk.deploy().output
    stuck = cdk.assembly(instance_type="g4dn.2xlarge")
    assert cdk.deploy_app("--app", stuck).status != 0
    assert account.stack_status() == "UPDATE_ROLLBACK_FAILED"
    assert "can not be updated" in cdk.deploy(generation=2).output
    assert cdk.run("rollback", "--app", stuck, "--orphan", INSTANCE).status == 0
    new = cdk.deploy(generation=2)
    assert new.status == 0
    assert account.instance()["InstanceId"] == new.outputs["InstanceId"] != old
