"""AWS::EC2::Instance: what replaces, what stops and starts, what stays, and what is refused."""

from __future__ import annotations

import urllib.error
import urllib.request
from typing import Any

import pytest

from localaws import LocalAws
from tests.support.probe_stack import G_QUOTA, Stack, instance, network

DISK = {
    "DeviceName": "/dev/sda1",
    "Ebs": {"VolumeSize": 64, "VolumeType": "gp3", "Encrypted": True},
}


def described(aws: LocalAws, instance_id: str) -> dict[str, Any]:
    found = aws.client("ec2").describe_instances(InstanceIds=[instance_id])
    row: dict[str, Any] = found["Reservations"][0]["Instances"][0]
    return row


def life(aws: LocalAws, *ids: str) -> list[tuple[str, str]]:
    return [(e.instance_id, e.event) for e in aws.control.history() if e.instance_id in ids]


def test_instance_is_as_asked(stack: Stack, aws: LocalAws) -> None:
    tag = {"Key": "gpustation", "Value": "x"}
    device = dict(BlockDeviceMappings=[DISK], PropagateTagsToVolumeOnCreation=True, Tags=[tag])
    names = ("AvailabilityZone", "PrivateIp", "PublicIp", "InstanceId")
    outputs = {name: {"Value": {"Fn::GetAtt": ["Box", name]}} for name in names}
    assert stack.create({**network(), "Box": instance(**device)}, outputs) == "CREATE_COMPLETE"
    box = described(aws, stack.physical_id("Box"))
    assert stack.outputs() == {
        "AvailabilityZone": "us-east-1b",
        "PrivateIp": box["PrivateIpAddress"],
        "PublicIp": box["PublicIpAddress"],
        "InstanceId": box["InstanceId"],
    }
    assert box["PrivateIpAddress"].startswith("10.0.0.")
    tags = {t["Key"]: t["Value"] for t in box["Tags"]}
    assert tags == {
        "gpustation": "x",
        "aws:cloudformation:stack-name": stack.name,
        "aws:cloudformation:stack-id": stack.stack_id,
        "aws:cloudformation:logical-id": "Box",
    }
    volume_id = box["BlockDeviceMappings"][0]["Ebs"]["VolumeId"]
    (volume,) = aws.client("ec2").describe_volumes(VolumeIds=[volume_id])["Volumes"]
    shape = [volume[k] for k in ("Size", "VolumeType", "Encrypted", "AvailabilityZone")]
    assert shape == [64, "gp3", True, "us-east-1b"]
    assert volume["Tags"] == [tag]
    assert volume["Attachments"][0]["DeleteOnTermination"] is True


CREATE_ONLY = [
    {"ImageId": "ami-0bbbbbbbbbbbbbbbb"},
    {"KeyName": "another"},
    {"PrivateIpAddress": "10.0.0.77"},
    {"BlockDeviceMappings": [{**DISK, "Ebs": {**DISK["Ebs"], "VolumeSize": 65}}]},  # type: ignore[dict-item]
]


@pytest.mark.parametrize("change", CREATE_ONLY, ids=lambda change: next(iter(change)))
def test_create_only_property_replaces_and_deletes_the_old_one_last(
    stack: Stack, aws: LocalAws, change: dict[str, Any]
) -> None:
    aws.control.add_image("ami-0bbbbbbbbbbbbbbbb")
    note = {
        "Type": "AWS::SSM::Parameter",
        "Properties": {"Type": "String", "Value": {"Ref": "Box"}},
    }
    resources = {**network(), "Box": instance(BlockDeviceMappings=[DISK]), "Note": note}
    stack.create(resources)
    old = stack.physical_id("Box")
    box = {"BlockDeviceMappings": [DISK], **change}
    assert stack.update({**resources, "Box": instance(**box)}) == "UPDATE_COMPLETE"
    new = stack.physical_id("Box")
    assert life(aws, old, new) == [(old, "launched"), (new, "launched"), (old, "terminated")]
    told = [(i, s) for i, s, _ in stack.events()]
    gone = told.index(("Box", "DELETE_COMPLETE"))
    assert told.index(("Note", "UPDATE_COMPLETE")) < gone, "dependents follow before the old goes"
    assert told.index((stack.name, "UPDATE_COMPLETE_CLEANUP_IN_PROGRESS")) < gone
    value = aws.client("ssm").get_parameter(Name=stack.physical_id("Note"))["Parameter"]["Value"]
    assert value == new


def test_failed_replacement_keeps_the_old_machine(stack: Stack, aws: LocalAws) -> None:
    aws.control.set_quota(G_QUOTA, 4)
    resources = {**network(), "Box": instance()}
    stack.create(resources)
    old = stack.physical_id("Box")
    assert stack.update({**resources, "Box": instance(KeyName="x")}) == "UPDATE_ROLLBACK_COMPLETE"
    assert "vCPU limit of 4" in stack.reason("Box")
    assert stack.physical_id("Box") == old
    assert life(aws, old) == [(old, "launched")]


def test_replacement_is_undone_when_a_later_resource_fails(stack: Stack, aws: LocalAws) -> None:
    resources = {**network(), "Box": instance()}
    stack.create(resources)
    old = stack.physical_id("Box")
    late = {**instance(ImageId="ami-0dddddddddddddddd"), "DependsOn": "Box"}
    status = stack.update({**resources, "Box": instance(KeyName="x"), "Late": late})
    assert status == "UPDATE_ROLLBACK_COMPLETE"
    assert stack.physical_id("Box") == old
    assert described(aws, old)["State"]["Name"] == "running"
    others = [e for e in aws.control.history() if e.instance_id != old][-2:]
    assert [e.event for e in others] == ["launched", "terminated"]


@pytest.mark.parametrize(
    "change", [{"InstanceType": "g5.xlarge"}, {"UserData": "ZWNobw=="}], ids=lambda c: next(iter(c))
)
def test_conditional_property_stops_and_starts_with_the_same_disk(
    stack: Stack, aws: LocalAws, change: dict[str, Any]
) -> None:
    outputs = {"Ip": {"Value": {"Fn::GetAtt": ["Box", "PublicIp"]}}}
    resources = {**network(), "Box": instance()}
    stack.create(resources, outputs)
    old, address = stack.physical_id("Box"), stack.outputs()["Ip"]
    disk = described(aws, old)["BlockDeviceMappings"]
    assert stack.update({**resources, "Box": instance(**change)}, outputs) == "UPDATE_COMPLETE"
    assert stack.physical_id("Box") == old
    assert life(aws, old) == [(old, "launched"), (old, "stopped"), (old, "started")]
    box = described(aws, old)
    assert box["BlockDeviceMappings"] == disk
    assert box["InstanceType"] == change.get("InstanceType", "g4dn.xlarge")
    assert stack.outputs()["Ip"] != address


def test_a_start_without_quota_rolls_back_to_the_old_type(stack: Stack, aws: LocalAws) -> None:
    aws.control.set_quota(G_QUOTA, 4)
    resources = {**network(), "Box": instance()}
    stack.create(resources)
    update = {**resources, "Box": instance(InstanceType="g4dn.2xlarge")}
    assert stack.update(update) == "UPDATE_ROLLBACK_COMPLETE"
    box = described(aws, stack.physical_id("Box"))
    assert (box["InstanceType"], box["State"]["Name"]) == ("g4dn.xlarge", "running")


def test_other_properties_change_in_place(stack: Stack, aws: LocalAws) -> None:
    group = {
        "Type": "AWS::EC2::SecurityGroup",
        "Properties": {"GroupDescription": "probe", "VpcId": {"Ref": "Vpc"}},
    }
    resources = {**network(), "Group": group, "Box": instance(Tags=[{"Key": "a", "Value": "1"}])}
    stack.create(resources)
    changed = instance(
        Tags=[{"Key": "a", "Value": "2"}],
        SecurityGroupIds=[{"Fn::GetAtt": ["Group", "GroupId"]}],
        MetadataOptions={"HttpTokens": "required"},
    )
    assert stack.update({**resources, "Box": changed}) == "UPDATE_COMPLETE"
    box = described(aws, stack.physical_id("Box"))
    assert {"Key": "a", "Value": "2"} in box["Tags"]
    assert [g["GroupId"] for g in box["SecurityGroups"]] == [stack.physical_id("Group")]
    assert box["MetadataOptions"]["HttpTokens"] == "required"
    assert life(aws, box["InstanceId"]) == [(box["InstanceId"], "launched")]
    about = f"{aws.control.metadata_url(box['InstanceId'])}/latest/meta-data/instance-id"
    with pytest.raises(urllib.error.HTTPError, match="401"):
        urllib.request.urlopen(about)


def test_kept_volume_outlives_its_instance(stack: Stack, aws: LocalAws) -> None:
    def disk(keep: bool) -> list[dict[str, Any]]:
        ebs = {"VolumeSize": 64, "DeleteOnTermination": not keep}
        return [{"DeviceName": "/dev/sda1", "Ebs": ebs}]

    resources = {**network(), "Box": instance(BlockDeviceMappings=disk(keep=False))}
    stack.create(resources)
    stack.update({**resources, "Box": instance(BlockDeviceMappings=disk(keep=True))})
    box = described(aws, stack.physical_id("Box"))
    assert life(aws, box["InstanceId"]) == [(box["InstanceId"], "launched")]
    volume = box["BlockDeviceMappings"][0]["Ebs"]["VolumeId"]
    stack.delete()
    (left,) = aws.client("ec2").describe_volumes(VolumeIds=[volume])["Volumes"]
    assert left["State"] == "available"
    aws.client("ec2").delete_volume(VolumeId=volume)


REFUSED = [
    ({"ImageId": "ami-0dddddddddddddddd"}, "does not exist"),
    ({"InstanceType": "g4dn.xlrge"}, "Invalid value 'g4dn.xlrge' for InstanceType"),
    ({"SubnetId": "subnet-0123456789abcdef0"}, "The subnet ID"),
    ({"BlockDeviceMappings": [{**DISK, "Ebs": {"VolumeSize": 4}}]}, "smaller than snapshot"),
    ({"IamInstanceProfile": "nobody"}, "Invalid IAM Instance Profile name"),
]


@pytest.mark.parametrize(("properties", "said"), REFUSED, ids=lambda one: next(iter(one), ""))
def test_fails_when_ec2_would_refuse(stack: Stack, properties: dict[str, Any], said: str) -> None:
    assert stack.create({**network(), "Box": instance(**properties)}) == "ROLLBACK_COMPLETE"
    assert said in stack.reason("Box")


def test_fails_when_the_zone_does_not_offer_the_type(stack: Stack, aws: LocalAws) -> None:
    aws.control.set_offerings("g4dn.xlarge", ["us-east-1c"])
    assert stack.create({**network(), "Box": instance()}) == "ROLLBACK_COMPLETE"
    assert "not supported in your requested Availability Zone (us-east-1b)" in stack.reason("Box")


def test_fails_when_there_is_no_capacity(stack: Stack, aws: LocalAws) -> None:
    aws.control.set_capacity("g4dn.xlarge", False)
    assert stack.create({**network(), "Box": instance()}) == "ROLLBACK_COMPLETE"
    assert "do not have sufficient g4dn.xlarge capacity" in stack.reason("Box")


def test_fails_when_a_property_has_no_known_way_to_change(stack: Stack) -> None:
    resources = {**network(), "Box": instance()}
    stack.create(resources)
    assert stack.update({**resources, "Box": instance(Affinity="host")}).startswith("UPDATE_ROLL")
    assert "does not know how this changes" in stack.reason("Box")


def test_protected_instance_is_not_deleted(stack: Stack, aws: LocalAws) -> None:
    resources = {**network(), "Box": instance(DisableApiTermination=True)}
    stack.create(resources)
    assert stack.delete() == "DELETE_FAILED"
    assert "may not be terminated" in stack.reason("Box")
    aws.client("ec2").modify_instance_attribute(
        InstanceId=stack.physical_id("Box"), DisableApiTermination={"Value": False}
    )


def test_subnet_range_cannot_be_taken_twice(stack: Stack) -> None:
    second = {**network("us-east-1c")["Subnet"], "DependsOn": "Subnet"}
    assert stack.create({**network(), "Second": second}) == "ROLLBACK_COMPLETE"
    assert "conflicts with another subnet" in stack.reason("Second")


def test_subnet_needs_a_zone_of_the_region(stack: Stack) -> None:
    assert stack.create(network("us-east-1z")) == "ROLLBACK_COMPLETE"
    assert "Value (us-east-1z) for parameter availabilityZone is invalid" in stack.reason("Subnet")
