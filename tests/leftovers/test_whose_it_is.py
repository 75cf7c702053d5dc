"""What is another's, what a living stack owns, what it has let go of, and what stays.

Only stacks that live, change and die have AWS's own lists and tags.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from planting import GONE, TAGS, TRUST, Garden, parameter, specified

from gpustation.catalog.spend_limit import NEXT_CALL
from gpustation.leftovers import Result
from gpustation.leftovers.ownership import NOT_PROVEN
from gpustation.leftovers.report import LEFT, exit_status
from localaws import LocalAws
from tests.support.probe_stack import UBUNTU, Stack, role

Look = Callable[..., Result]
Paste = Callable[[str], None]
OURS = [{"Key": "gpustation", "Value": "GpuWorkstation"}]
REFUSED = {
    "Type": "AWS::ImageBuilder::InfrastructureConfiguration",
    "Properties": {"Name": "!", "InstanceProfileName": "none"},
}
GROUP = {"Type": "AWS::Logs::LogGroup", "Properties": {"LogGroupName": "/probe/kept"}}


@pytest.fixture
def stack(aws: LocalAws) -> Iterator[Stack]:
    """One of ours, by its name."""
    made = Stack(aws, "GpuWorkstation")
    yield made
    if made.stack_id:
        made.delete()


def create(stack: Stack, resources: dict[str, Any], **more: Any) -> str:
    """As the CDK CLI creates a stack of ours: with its tags."""
    return stack.deploy("create_stack", {"Resources": resources}, Tags=OURS, **more)


def launch(aws: LocalAws, **more: Any) -> dict[str, Any]:
    image = aws.client("ssm").get_parameter(Name=UBUNTU)["Parameter"]["Value"]
    (made,) = aws.client("ec2").run_instances(
        ImageId=image, InstanceType="g4dn.xlarge", MinCount=1, MaxCount=1, **more
    )["Instances"]
    found: dict[str, Any] = made
    return found


def test_things_of_others_are_not_listed(aws: LocalAws, look: Look) -> None:
    ec2, iam, logs = aws.client("ec2"), aws.client("iam"), aws.client("logs")
    ssm, cloudformation = aws.client("ssm"), aws.client("cloudformation")
    other = [{"Key": "gpustations", "Value": "another project's"}]
    vpc = ec2.create_vpc(CidrBlock="10.7.0.0/16")["Vpc"]["VpcId"]
    ec2.create_tags(Resources=[vpc], Tags=other)
    subnet = ec2.create_subnet(VpcId=vpc, CidrBlock="10.7.1.0/24")["Subnet"]["SubnetId"]
    group = ec2.create_security_group(GroupName="gpu", Description="gpu", VpcId=vpc)["GroupId"]
    machine = launch(aws, SubnetId=subnet)["InstanceId"]
    image = ec2.create_image(InstanceId=machine, Name="GpuWorkstation")["ImageId"]
    ec2.get_waiter("image_available").wait(ImageIds=[image], WaiterConfig={"Delay": 1})
    address = ec2.allocate_address()["AllocationId"]
    iam.create_role(RoleName="Gpu", AssumeRolePolicyDocument=TRUST, Tags=other)
    for name in ("/aws/lambda/Gpu", "/aws/imagebuilder/another-mxnet"):
        logs.create_log_group(logGroupName=name, tags={"owner": "another"})
    ssm.put_parameter(Name="/gpu/image", Value="x", Type="String")
    living, failed = Stack(aws, "another"), Stack(aws, "another-failed")
    assert living.create({"P": parameter()}) == "CREATE_COMPLETE"
    assert failed.create({"P": REFUSED}) == "ROLLBACK_COMPLETE"

    found = look()

    ec2.terminate_instances(InstanceIds=[machine])
    ec2.deregister_image(ImageId=image, DeleteAssociatedSnapshots=True)
    ec2.release_address(AllocationId=address)
    ec2.delete_security_group(GroupId=group)
    ec2.delete_subnet(SubnetId=subnet)
    ec2.delete_vpc(VpcId=vpc)
    iam.delete_role(RoleName="Gpu")
    for name in ("/aws/lambda/Gpu", "/aws/imagebuilder/another-mxnet"):
        logs.delete_log_group(logGroupName=name)
    ssm.delete_parameter(Name="/gpu/image")
    for one in (living, failed):
        cloudformation.delete_stack(StackName=one.name)
    assert (found.rows, found.not_checked) == ((), ())


def test_what_an_update_could_not_remove_is_left_though_its_stack_lives(
    stack: Stack, look: Look, paste: Paste
) -> None:
    kept = {**GROUP, "DeletionPolicy": "Retain"}
    assert create(stack, {"P": parameter(), "Kept": kept}) == "CREATE_COMPLETE"
    assert look().rows == ()
    assert stack.update({"P": parameter()}) == "UPDATE_COMPLETE"
    (row,) = look().rows
    assert (row.kind, row.id) == ("log group", "/probe/kept")
    assert "the stack GpuWorkstation is live and does not own it" in row.ours
    assert not row.doubt
    paste(row.removal)
    assert look().rows == ()


def test_a_schedule_of_an_earlier_machine_is_left_but_not_the_limits_own(
    aws: LocalAws, stack: Stack, look: Look, paste: Paste
) -> None:
    """Both lie in the group of a living stack, which lists neither."""
    group = {"Type": "AWS::Scheduler::ScheduleGroup", "Properties": {"Tags": OURS}}
    caller = role("scheduler")
    assert create(stack, {"Group": group, "Caller": caller}) == "CREATE_COMPLETE"
    scheduler, name = aws.client("scheduler"), stack.physical_id("Group")
    for one in (NEXT_CALL, "of-generation-1"):
        scheduler.create_schedule(
            Name=one,
            GroupName=name,
            ScheduleExpression="rate(1 day)",
            FlexibleTimeWindow={"Mode": "OFF"},
            Target={
                "Arn": f"arn:aws:lambda:us-east-1:{aws.account}:function:one",
                "RoleArn": f"arn:aws:iam::{aws.account}:role/{stack.physical_id('Caller')}",
            },
        )
    (row,) = look().rows
    assert (row.kind, row.id) == ("schedule", f"{name}/of-generation-1")
    assert "is live and does not own it" in row.ours
    paste(row.removal)
    assert look().rows == ()


def test_what_a_dead_stack_holds_is_left_and_goes_with_it(
    stack: Stack, look: Look, paste: Paste
) -> None:
    refused = {**REFUSED, "DependsOn": ["Group"]}
    resources = {"Group": GROUP, "Refused": refused}
    assert create(stack, resources, DisableRollback=True) == "CREATE_FAILED"
    dead, group = look().left
    assert (dead.kind, group.kind, group.id) == ("stack", "log group", "/probe/kept")
    assert "deploy it again or delete it" in dead.ours
    assert "its stack GpuWorkstation is CREATE_FAILED" in group.ours
    assert dead.removal.count(stack.stack_id) == 2, "another stack may have the name by then"
    paste(dead.removal)
    assert look().rows == ()


def test_things_without_tags_are_not_called_left_when_no_stack_tells_what_it_owns(
    aws: LocalAws, stack: Stack, look: Look
) -> None:
    profile = {"Type": "AWS::IAM::InstanceProfile", "Properties": {"Roles": [{"Ref": "Role"}]}}
    assert stack.create({"Role": role("ec2"), "Profile": profile}) == "CREATE_COMPLETE"
    aws.control.fault("cloudformation:ListStackResources", "deny")
    found = look()
    assert found.rows == ()
    assert [one.action for one in found.not_checked] == ["cloudformation:ListStackResources"]


def test_stack_at_work_is_not_settled(aws: LocalAws, look: Look) -> None:
    """What it makes on the way bears its name and is in no list of its resources."""
    handle = {"Type": "AWS::CloudFormation::WaitConditionHandle", "Properties": {}}
    waits = {
        "Type": "AWS::CloudFormation::WaitCondition",
        "Properties": {"Handle": {"Ref": "Handle"}, "Timeout": "600"},
    }
    cloudformation = aws.client("cloudformation")
    cloudformation.create_stack(
        StackName=GONE,
        TemplateBody=json.dumps({"Resources": {"Handle": handle, "Waits": waits}}),
        Tags=TAGS,
    )
    machine = launch(aws, TagSpecifications=specified("instance"))
    found = look()
    assert found.rows == ()
    (one,) = found.not_checked
    assert one.action == f"stack {GONE}"
    assert "CREATE_IN_PROGRESS: run this again" in one.reason
    cloudformation.delete_stack(StackName=GONE)
    cloudformation.get_waiter("stack_delete_complete").wait(
        StackName=GONE, WaiterConfig={"Delay": 1}
    )
    assert [row.id for row in look().left if row.kind == "instance"] == [machine["InstanceId"]]
    aws.client("ec2").terminate_instances(InstanceIds=[machine["InstanceId"]])


def test_role_of_a_stack_in_another_region_is_owned(aws: LocalAws, look: Look) -> None:
    west = aws.client("cloudformation", "us-west-2")
    profile = {"Type": "AWS::IAM::InstanceProfile", "Properties": {"Roles": [{"Ref": "Role"}]}}
    body = json.dumps({"Resources": {"Role": role("ec2"), "Profile": profile}})
    west.create_stack(
        StackName="GpuWorkstation", TemplateBody=body, Capabilities=["CAPABILITY_IAM"]
    )
    west.get_waiter("stack_create_complete").wait(
        StackName="GpuWorkstation", WaiterConfig={"Delay": 1}
    )
    here, there = look(), look(region="us-west-2")
    aws.control.fault("ec2:DescribeRegions", "deny")
    unknown = look()
    west.delete_stack(StackName="GpuWorkstation")
    assert (here.rows, there.rows) == ((), ())
    assert here.complete and there.complete
    assert unknown.rows == ()
    assert [one.action for one in unknown.not_checked] == ["ec2:DescribeRegions"]


@pytest.mark.parametrize("goes_with_it", [True, False])
def test_machine_and_disk_are_two_rows_whose_commands_follow_one_another(
    aws: LocalAws, look: Look, paste: Paste, goes_with_it: bool
) -> None:
    ebs = {"VolumeSize": 100, "VolumeType": "gp3", "DeleteOnTermination": goes_with_it}
    disk = {"DeviceName": "/dev/sda1", "Ebs": ebs}
    tags = [*specified("instance"), *([] if goes_with_it else specified("volume"))]
    made = launch(aws, BlockDeviceMappings=[disk], TagSpecifications=tags)
    aws.client("ec2").stop_instances(InstanceIds=[made["InstanceId"]])
    machine, volume = look().left
    assert (machine.kind, volume.kind) == ("instance", "volume")
    assert (machine.usd_per_month, volume.usd_per_month) == (0.0, pytest.approx(8.0))
    assert "stopped: only its disks cost" in machine.cost
    assert volume.ours.startswith(f"disk of {made['InstanceId']}") == goes_with_it
    paste(f"{machine.removal}\n{volume.removal}")
    assert look().rows == ()


@pytest.mark.tier("all")
def test_disk_that_a_person_attached_is_not_offered(
    aws: LocalAws, look: Look, paste: Paste
) -> None:
    ec2 = aws.client("ec2")
    machine = launch(aws, TagSpecifications=specified("instance"))["InstanceId"]
    data = ec2.create_volume(AvailabilityZone="us-east-1a", Size=10)["VolumeId"]
    ec2.attach_volume(VolumeId=data, InstanceId=machine, Device="/dev/sdf")
    rows = {row.id: row for row in look().left}
    assert (rows[data].doubt, rows[data].removal[:2]) == (NOT_PROVEN, "# ")
    paste("\n".join(row.removal for row in rows.values()))
    assert look().rows == ()
    ec2.detach_volume(VolumeId=data)
    ec2.delete_volume(VolumeId=data)


@pytest.mark.tier("all")
def test_disk_in_the_machine_of_another_is_told_and_not_taken(
    aws: LocalAws, look: Look, paste: Paste
) -> None:
    other = launch(aws)["InstanceId"]
    ec2 = aws.client("ec2")
    volume = ec2.create_volume(
        AvailabilityZone="us-east-1a", Size=10, TagSpecifications=specified("volume")
    )["VolumeId"]
    ec2.attach_volume(VolumeId=volume, InstanceId=other, Device="/dev/sdf")
    found = look()
    (row,) = found.rows
    assert row.doubt == f"attached to {other}, which is not left"
    assert row.removal.startswith(f"# attached to {other}, which is not left: aws ec2 detach")
    assert found.usd_per_month == 0
    assert exit_status(found) == LEFT
    ec2.detach_volume(VolumeId=volume)
    ec2.terminate_instances(InstanceIds=[other])
    (row,) = look().rows
    paste(row.removal)
    assert look().rows == ()


@pytest.mark.tier("all")
def test_address_of_a_left_machine_is_counted_once(aws: LocalAws, look: Look, paste: Paste) -> None:
    ec2 = aws.client("ec2")
    machine = launch(aws, TagSpecifications=specified("instance"))["InstanceId"]
    address = ec2.allocate_address(TagSpecifications=specified("elastic-ip"))["AllocationId"]
    ec2.associate_address(AllocationId=address, InstanceId=machine)
    costs = {row.kind: row.usd_per_month for row in look().left}
    assert costs["instance"] + costs["address"] == pytest.approx((0.526 + 0.005) * 730)
    for row in look().left:
        paste(row.removal)
    assert look().rows == ()


@pytest.mark.tier("all")
def test_whatever_lies_in_a_left_network_goes_before_it(
    aws: LocalAws, look: Look, paste: Paste
) -> None:
    ec2 = aws.client("ec2")
    vpc = Garden(aws).plant("vpc")[0].id
    ec2.create_subnet(VpcId=vpc, CidrBlock="10.9.1.0/24")
    ec2.create_security_group(GroupName="by hand", Description="by hand", VpcId=vpc)
    ec2.create_route_table(VpcId=vpc)
    gateway = ec2.create_internet_gateway()["InternetGateway"]["InternetGatewayId"]
    ec2.attach_internet_gateway(InternetGatewayId=gateway, VpcId=vpc)
    rows = look().left
    kinds = ["internet gateway", "route table", "subnet", "security group", "vpc"]
    assert [row.kind for row in rows] == kinds
    assert all(f"in {vpc}, which is left" in row.ours for row in rows[:-1])
    assert [row.doubt for row in rows] == [NOT_PROVEN] * 4 + [""], "made by whom?"
    paste("\n".join(row.removal.removeprefix(f"# {NOT_PROVEN}: ") for row in rows))
    assert look().rows == ()


@pytest.mark.tier("all")
def test_gateway_and_routes_that_another_network_uses_are_not_offered(
    aws: LocalAws, look: Look, paste: Paste
) -> None:
    ec2 = aws.client("ec2")
    vpc = ec2.create_vpc(CidrBlock="10.7.0.0/16")["Vpc"]["VpcId"]
    subnet = ec2.create_subnet(VpcId=vpc, CidrBlock="10.7.1.0/24")["Subnet"]["SubnetId"]
    table = ec2.create_route_table(VpcId=vpc, TagSpecifications=specified("route-table"))
    ec2.associate_route_table(RouteTableId=table["RouteTable"]["RouteTableId"], SubnetId=subnet)
    gateway = ec2.create_internet_gateway(TagSpecifications=specified("internet-gateway"))
    ec2.attach_internet_gateway(
        InternetGatewayId=gateway["InternetGateway"]["InternetGatewayId"], VpcId=vpc
    )
    rows = look().left
    assert [row.doubt for row in rows] == [
        f"in use by {vpc}, which is not left",
        f"in use by {subnet}, which is not left",
    ]
    assert all(row.removal.startswith("# in use by ") for row in rows)
    ec2.create_tags(Resources=[vpc], Tags=TAGS)
    rows = look().left
    assert [(row.kind, row.doubt) for row in rows] == [
        ("internet gateway", ""),
        ("route table", ""),
        ("subnet", NOT_PROVEN),
        ("vpc", ""),
    ]
    paste("\n".join(row.removal.removeprefix(f"# {NOT_PROVEN}: ") for row in rows))
    assert look().rows == ()


@pytest.mark.tier("all")
def test_network_with_a_machine_of_another_in_it_is_not_offered(aws: LocalAws, look: Look) -> None:
    ec2 = aws.client("ec2")
    vpc = ec2.create_vpc(CidrBlock="10.7.0.0/16", TagSpecifications=specified("vpc"))["Vpc"]
    names = {"VpcId": vpc["VpcId"]}
    subnet = ec2.create_subnet(
        **names, CidrBlock="10.7.1.0/24", TagSpecifications=specified("subnet")
    )["Subnet"]["SubnetId"]
    table = ec2.create_route_table(**names, TagSpecifications=specified("route-table"))
    table = table["RouteTable"]["RouteTableId"]
    associated = ec2.associate_route_table(RouteTableId=table, SubnetId=subnet)["AssociationId"]
    machine = launch(aws, SubnetId=subnet)["InstanceId"]
    assert {(row.kind, row.doubt) for row in look().left} == {
        (kind, f"in use by {machine}, which is not left")
        for kind in ("route table", "subnet", "vpc")
    }
    ec2.terminate_instances(InstanceIds=[machine])
    assert {row.doubt for row in look().left} == {""}
    ec2.disassociate_route_table(AssociationId=associated)
    ec2.delete_route_table(RouteTableId=table)
    ec2.delete_subnet(SubnetId=subnet)
    ec2.delete_vpc(**names)


@pytest.mark.tier("all")
def test_role_policy_and_provider_that_others_use_are_not_offered(
    aws: LocalAws, look: Look
) -> None:
    iam = aws.client("iam")
    garden = Garden(aws)
    (ours,), (policy,) = garden.plant("role"), garden.plant("policy")
    (provider,) = garden.plant("OIDC provider")
    iam.create_instance_profile(InstanceProfileName="another")
    iam.add_role_to_instance_profile(InstanceProfileName="another", RoleName=ours.id)
    statement = {"Effect": "Allow", "Action": "sts:AssumeRoleWithWebIdentity"}
    statement["Principal"] = {"Federated": provider.id}  # type: ignore[assignment]
    trust = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    iam.create_role(RoleName="deploys", AssumeRolePolicyDocument=trust)
    iam.attach_role_policy(RoleName="deploys", PolicyArn=policy.id)
    doubts = {row.kind: row.doubt for row in look().left}
    iam.remove_role_from_instance_profile(InstanceProfileName="another", RoleName=ours.id)
    iam.delete_instance_profile(InstanceProfileName="another")
    iam.detach_role_policy(RoleName="deploys", PolicyArn=policy.id)
    iam.delete_role(RoleName="deploys")
    assert doubts == {
        "role": "in the instance profile another, which is not left",
        "policy": "attached to the role deploys, which is not left",
        "OIDC provider": "trusted by the role deploys, which is not left",
    }
    rows = look().left
    assert {row.doubt for row in rows} == {""}
    iam.delete_open_id_connect_provider(OpenIDConnectProviderArn=provider.id)
    iam.delete_policy(PolicyArn=policy.id)
    iam.delete_role_policy(RoleName=ours.id, PolicyName="inline")
    managed = iam.list_attached_role_policies(RoleName=ours.id)["AttachedPolicies"]
    iam.detach_role_policy(RoleName=ours.id, PolicyArn=managed[0]["PolicyArn"])
    iam.delete_role(RoleName=ours.id)


def test_stacks_of_other_names_are_found_by_tag_or_when_named(aws: LocalAws, look: Look) -> None:
    stack = Stack(aws, "alice")
    assert stack.create({"P": REFUSED}) == "ROLLBACK_COMPLETE"
    assert look().rows == ()
    (row,) = look(stacks=["alice"]).rows
    assert (row.kind, row.id) == ("stack", "alice")
    stack.delete()
    made = aws.client("cloudformation").create_stack(
        StackName="bob", TemplateBody=json.dumps({"Resources": {"P": REFUSED}}), Tags=TAGS
    )
    bob = Stack(aws, "bob", made["StackId"])
    assert bob.settled() == "ROLLBACK_COMPLETE"
    (row,) = look().rows
    assert (row.kind, row.id) == ("stack", "bob")
    bob.delete()
