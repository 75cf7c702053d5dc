"""A new generation is built and proven beside the old machine, which goes only then.

Only CloudFormation's own order shows that the old machine outlives a new one that fails.
"""

import pytest

from localaws import LocalAws
from tests.e2e.conftest import G_QUOTA
from tests.e2e.test_changed_later import settings_of
from tests.support.cdk_cli import Account, Cdk


def test_takes_the_place_of_the_old_one_once_it_is_ready(
    aws: LocalAws, cdk: Cdk, account: Account
) -> None:
    old = cdk.deploy().outputs["InstanceId"]
    deployed = cdk.deploy(generation=2, framework="pytorch", disk_gib=100)
    assert deployed.status == 0
    new = deployed.outputs["InstanceId"]
    assert new != old
    assert account.instance()["InstanceId"] == new
    assert "PyTorch" in deployed.outputs["Ready"]
    launched = next(e.time for e in aws.control.history(new) if e.event == "launched")
    terminated = next(e.time for e in aws.control.history(old) if e.event == "terminated")
    assert launched < terminated


@pytest.mark.tier("all")
def test_fails_and_leaves_the_old_machine_as_it_was(
    aws: LocalAws, cdk: Cdk, account: Account
) -> None:
    created = cdk.deploy()
    before, volume, settings = account.instance(), account.root_volume(), settings_of(account)
    aws.control.machine_fault({"modprobe": {"exit": 1, "stderr": "no such module"}})
    refused = cdk.deploy(generation=2, framework="pytorch")
    assert refused.status != 0
    assert "phase driver failed" in refused.output
    assert account.stack_status() == "UPDATE_ROLLBACK_COMPLETE"
    assert account.instance()["InstanceId"] == before["InstanceId"]
    assert account.instance()["State"]["Name"] == "running"
    assert account.root_volume() == volume
    assert settings_of(account) == settings
    assert account.events(before["InstanceId"]) == ["launched"]

    aws.control.machine_fault(None)
    again = cdk.deploy()
    assert again.status == 0
    assert again.outputs["InstanceId"] == created.outputs["InstanceId"]


@pytest.mark.tier("all")
def test_fails_when_the_quota_has_no_room_for_two_until_the_old_one_is_stopped(
    aws: LocalAws, cdk: Cdk, account: Account
) -> None:
    aws.control.set_quota(G_QUOTA, 4)
    old = cdk.deploy().outputs["InstanceId"]
    refused = cdk.deploy(generation=2)
    assert refused.status != 0
    text = " ".join(refused.output.split())
    assert f"aws ec2 stop-instances --region us-east-1 --instance-ids {old}" in text
    assert account.events(old) == ["launched"]

    aws.client("ec2").stop_instances(InstanceIds=[old])
    deployed = cdk.deploy(generation=2)
    assert deployed.status == 0
    assert account.instance()["InstanceId"] == deployed.outputs["InstanceId"] != old


@pytest.mark.tier("all")
@pytest.mark.parametrize("instance_type", ["g4dn.2xlarge", "g5.2xlarge"])
def test_a_type_too_large_for_the_quota_leaves_the_machine_alone(
    aws: LocalAws, cdk: Cdk, account: Account, instance_type: str
) -> None:
    aws.control.set_quota(G_QUOTA, 7)
    old = cdk.deploy().outputs["InstanceId"]
    refused = cdk.deploy(instance_type=instance_type)
    assert refused.status != 0
    assert f"{instance_type} needs 8 vCPUs, 7 free" in refused.output
    assert account.stack_status() == "UPDATE_ROLLBACK_COMPLETE"
    assert account.events(old) == ["launched"]
    assert account.instance()["InstanceType"] == "g4dn.xlarge"


@pytest.mark.tier("all")
def test_fails_when_the_machines_zone_does_not_offer_the_new_type(
    aws: LocalAws, cdk: Cdk, account: Account
) -> None:
    old = cdk.deploy(availability_zone="us-east-1a").outputs["InstanceId"]
    aws.control.set_offerings("g6.xlarge", ["us-east-1b"])
    refused = cdk.deploy(availability_zone="us-east-1a", instance_type="g6.xlarge")
    assert refused.status != 0
    assert "the machine is in us-east-1a, and only us-east-1b" in " ".join(refused.output.split())
    assert account.events(old) == ["launched"]
