"""One operation of a stack at a time, planned faults of resources, and what a failed one leaves."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest
from botocore.exceptions import ClientError

from localaws import LocalAws
from tests.support.probe_stack import Stack, instance, network

REASON = "no more of these today"


def waiting(**more: Any) -> dict[str, Any]:
    """A machine and the wait for its word, which never comes."""
    properties = {"Handle": {"Ref": "Handle"}, "Timeout": "3600"}
    wait = {"Type": "AWS::CloudFormation::WaitCondition", "Properties": properties}
    handle = {"Type": "AWS::CloudFormation::WaitConditionHandle"}
    return {**network(), "Box": instance(), "Handle": handle, "Wait": {**wait, "DependsOn": "Box"}}


def note(value: str = "1", **more: Any) -> dict[str, Any]:
    properties = {"Type": "String", "Value": value}
    return {"Type": "AWS::SSM::Parameter", "Properties": properties, **more}


def begin(stack: Stack, call: str, resources: dict[str, Any]) -> None:
    """Start an operation and let it run."""
    body = json.dumps({"Resources": resources})
    answer = getattr(stack.aws.client("cloudformation"), call)(
        StackName=stack.name, TemplateBody=body
    )
    stack.stack_id = answer["StackId"]


def until(stack: Stack, logical_id: str, status: str) -> None:
    """Wait for an event."""
    deadline = time.monotonic() + 300
    while (logical_id, status) not in [event[:2] for event in stack.events()]:
        assert time.monotonic() < deadline, stack.events()
        time.sleep(0.02)


def test_deletion_cancels_a_creation_that_waits(stack: Stack, aws: LocalAws) -> None:
    begin(stack, "create_stack", waiting())
    until(stack, "Wait", "CREATE_IN_PROGRESS")
    assert stack.delete() == "DELETE_COMPLETE"
    assert stack.reason("Wait") == "Resource creation cancelled"
    assert not [event for event in stack.events() if "ROLLBACK" in event[1]]
    assert not [row for row in aws.inventory() if row.kind in ("instance", "vpc", "subnet")]


def test_metadata_alone_is_no_change(aws: LocalAws, stack: Stack) -> None:
    """The user guide says so of a template's Metadata; with a resource it changes too."""
    cloudformation = aws.client("cloudformation")
    templates = [
        {"Resources": {"Note": note(value)}, "Metadata": {"gpustation": told}}
        for value, told in (("1", "a"), ("1", "b"), ("2", "b"))
    ]
    assert stack.deploy("create_stack", templates[0]) == "CREATE_COMPLETE"
    with pytest.raises(ClientError, match="No updates are to be performed"):
        stack.deploy("update_stack", templates[1])
    asked = {"StackName": stack.name, "ChangeSetName": "metadata"}
    cloudformation.create_change_set(**asked, TemplateBody=json.dumps(templates[1]))
    told = cloudformation.describe_change_set(**asked)
    assert told["Status"] == "FAILED"
    assert "didn't contain changes" in told["StatusReason"]
    cloudformation.delete_change_set(**asked)
    assert cloudformation.get_template(StackName=stack.name)["TemplateBody"] == templates[0]
    assert stack.deploy("update_stack", templates[2]) == "UPDATE_COMPLETE"
    assert cloudformation.get_template(StackName=stack.name)["TemplateBody"] == templates[2]


def test_deletion_takes_every_change_set_along(aws: LocalAws, stack: Stack) -> None:
    """Also those of a stack that only waits for its review, which takes more than one."""
    cloudformation = aws.client("cloudformation")
    body = json.dumps({"Resources": {"Note": note()}})
    for name in ("theirs", "ours"):
        cloudformation.create_change_set(
            StackName=stack.name, ChangeSetName=name, ChangeSetType="CREATE", TemplateBody=body
        )
    cloudformation.delete_stack(StackName=stack.name)
    assert stack.create({"Note": note()}) == "CREATE_COMPLETE"
    assert cloudformation.list_change_sets(StackName=stack.name)["Summaries"] == []


def test_second_deletion_changes_nothing(stack: Stack, aws: LocalAws) -> None:
    begin(stack, "create_stack", waiting())
    until(stack, "Wait", "CREATE_IN_PROGRESS")
    aws.client("cloudformation").delete_stack(StackName=stack.stack_id)
    assert stack.delete() == "DELETE_COMPLETE"
    ends = [event for event in stack.events() if event[:2] == (stack.name, "DELETE_COMPLETE")]
    assert len(ends) == 1


def test_update_in_progress_takes_neither_deletion_nor_update(stack: Stack, aws: LocalAws) -> None:
    assert stack.create(network()) == "CREATE_COMPLETE"
    aws.control.wait_scale(0.001)
    begin(stack, "update_stack", waiting())
    cloudformation = aws.client("cloudformation")
    with pytest.raises(ClientError, match="cannot be deleted while in status UPDATE_IN_PROGRESS"):
        cloudformation.delete_stack(StackName=stack.stack_id)
    with pytest.raises(ClientError, match="is in UPDATE_IN_PROGRESS state and can not be updated"):
        cloudformation.create_change_set(
            StackName=stack.name, ChangeSetName="second", TemplateBody=json.dumps({"Resources": {}})
        )
    assert stack.settled() == "UPDATE_ROLLBACK_COMPLETE"


def test_cancelled_update_ends_its_wait(stack: Stack, aws: LocalAws) -> None:
    assert stack.create(network()) == "CREATE_COMPLETE"
    begin(stack, "update_stack", waiting())
    until(stack, "Wait", "CREATE_IN_PROGRESS")
    aws.client("cloudformation").cancel_update_stack(StackName=stack.name)
    assert stack.settled() == "UPDATE_ROLLBACK_COMPLETE"


def test_planned_fault_meets_a_creation(stack: Stack, aws: LocalAws) -> None:
    aws.control.resource_fault("create", "Subnet", REASON)
    assert stack.create(network()) == "ROLLBACK_COMPLETE"
    assert f'Resource handler returned message: "{REASON}"' in stack.reason("Subnet")
    aws.control.resource_fault("create", "Subnet", None)
    assert stack.delete() == "DELETE_COMPLETE"
    assert stack.create(network()) == "CREATE_COMPLETE"


def test_planned_fault_meets_only_what_an_update_changes(stack: Stack, aws: LocalAws) -> None:
    stack.create({"One": note(), "Two": note()})
    aws.control.resource_fault("update", "One", REASON)
    assert stack.update({"One": note(), "Two": note("2")}) == "UPDATE_COMPLETE"
    aws.control.resource_fault("update", "Two", REASON, times=1)
    assert stack.update({"One": note(), "Two": note("3")}) == "UPDATE_ROLLBACK_COMPLETE"
    assert REASON in stack.reason("Two")
    value = aws.client("ssm").get_parameter(Name=stack.physical_id("Two"))["Parameter"]["Value"]
    assert value == "2"


def test_rollback_that_failed_goes_on_when_it_is_told_to(stack: Stack, aws: LocalAws) -> None:
    stack.create({"One": note()})
    aws.control.wait_scale(0.0005)
    changed = {**waiting(), "One": note("2")}
    changed["Vpc"]["DependsOn"] = "One"
    begin(stack, "update_stack", changed)
    until(stack, "One", "UPDATE_COMPLETE")
    aws.control.resource_fault("update", "One", REASON)
    assert stack.settled() == "UPDATE_ROLLBACK_FAILED"
    cloudformation = aws.client("cloudformation")
    with pytest.raises(ClientError, match="is in UPDATE_ROLLBACK_FAILED state"):
        stack.update({"One": note("3")})
    aws.control.resource_fault("update", "One", None)
    # As the CDK CLI calls it
    cloudformation.continue_update_rollback(StackName=stack.name, ResourcesToSkip=[])
    assert stack.settled() == "UPDATE_ROLLBACK_COMPLETE"
    value = aws.client("ssm").get_parameter(Name=stack.physical_id("One"))["Parameter"]["Value"]
    assert value == "1"


def test_what_a_rollback_could_not_delete_stays_in_the_stack(stack: Stack, aws: LocalAws) -> None:
    aws.control.resource_fault("create", "Subnet", REASON)
    aws.control.resource_fault("delete", "Vpc", "it has dependencies", times=1)
    assert stack.create(network()) == "ROLLBACK_FAILED"
    assert stack.describe()["StackStatusReason"].endswith("failed to delete: [Vpc]. ")
    assert [row.kind for row in aws.inventory() if row.id == stack.physical_id("Vpc")] == ["vpc"]
    assert stack.delete() == "DELETE_COMPLETE"
    assert not [row for row in aws.inventory() if row.kind == "vpc"]


def test_a_deletion_goes_on_after_a_resource_that_failed(stack: Stack, aws: LocalAws) -> None:
    resources = {**network(), "Other": note()}
    stack.create(resources)
    aws.control.resource_fault("delete", "Subnet", "it has dependencies", times=1)
    assert stack.delete() == "DELETE_FAILED"
    said = "The following resource(s) failed to delete: [Subnet, Vpc]. "
    assert stack.describe()["StackStatusReason"] == said
    shown = aws.client("cloudformation").describe_stack_resources(StackName=stack.name)
    states = {one["LogicalResourceId"]: one["ResourceStatus"] for one in shown["StackResources"]}
    assert states == {"Vpc": "DELETE_FAILED", "Subnet": "DELETE_FAILED"}
    with pytest.raises(ClientError, match="is in DELETE_FAILED state and can not be updated"):
        stack.update(network())
    assert stack.delete() == "DELETE_COMPLETE"


def test_resource_names_its_stack_and_a_deleted_stack_its_resources(
    stack: Stack, aws: LocalAws
) -> None:
    stack.create({"One": note()})
    one, cloudformation = stack.physical_id("One"), aws.client("cloudformation")
    (row,) = cloudformation.describe_stack_resources(PhysicalResourceId=one)["StackResources"]
    assert (row["StackId"], row["PhysicalResourceId"]) == (stack.stack_id, one)
    assert stack.delete() == "DELETE_COMPLETE"
    with pytest.raises(ClientError, match=f"Stack for {one} does not exist"):
        cloudformation.describe_stack_resources(PhysicalResourceId=one)
    shown = cloudformation.list_stack_resources(StackName=stack.stack_id)
    (row,) = shown["StackResourceSummaries"]
    assert (row["PhysicalResourceId"], row["ResourceStatus"]) == (one, "DELETE_COMPLETE")


def test_forced_deletion_leaves_what_it_could_not_delete(stack: Stack, aws: LocalAws) -> None:
    stack.create(network())
    subnet, vpc = stack.physical_id("Subnet"), stack.physical_id("Vpc")
    aws.control.resource_fault("delete", "Subnet", "it has dependencies")
    assert stack.delete() == "DELETE_FAILED"
    aws.client("cloudformation").delete_stack(
        StackName=stack.stack_id, DeletionMode="FORCE_DELETE_STACK"
    )
    assert stack.settled() == "DELETE_COMPLETE"
    assert {subnet, vpc} <= {row.id for row in aws.inventory()}
    ec2 = aws.client("ec2")
    ec2.delete_subnet(SubnetId=subnet)
    ec2.delete_vpc(VpcId=vpc)


def test_creation_that_stopped_goes_on_with_what_is_missing(stack: Stack, aws: LocalAws) -> None:
    aws.control.resource_fault("create", "Subnet", REASON, times=1)
    body = {"Resources": {**network(), "Other": note(DependsOn="Vpc")}}
    assert stack.deploy("create_stack", body, DisableRollback=True) == "CREATE_FAILED"
    vpc = stack.physical_id("Vpc")
    cloudformation = aws.client("cloudformation")
    made = cloudformation.create_change_set(
        StackName=stack.name, ChangeSetName="rest", TemplateBody=json.dumps(body)
    )
    changes = cloudformation.describe_change_set(ChangeSetName=made["Id"])["Changes"]
    added = [one["ResourceChange"]["LogicalResourceId"] for one in changes]
    assert "Subnet" in added
    assert "Vpc" not in added
    cloudformation.execute_change_set(ChangeSetName=made["Id"])
    assert stack.settled() == "UPDATE_COMPLETE"
    assert stack.physical_id("Vpc") == vpc


def test_group_in_use_is_not_deleted(stack: Stack, aws: LocalAws) -> None:
    properties = {"GroupDescription": "probe", "VpcId": {"Ref": "Vpc"}}
    stack.create(
        {**network(), "Group": {"Type": "AWS::EC2::SecurityGroup", "Properties": properties}}
    )
    ec2, group = aws.client("ec2"), stack.physical_id("Group")
    image = ec2.describe_images(Owners=["amazon"])["Images"][0]["ImageId"]
    (made,) = ec2.run_instances(
        ImageId=image,
        InstanceType="g4dn.xlarge",
        SubnetId=stack.physical_id("Subnet"),
        SecurityGroupIds=[group],
        MinCount=1,
        MaxCount=1,
    )["Instances"]
    with pytest.raises(ClientError, match=f"DependencyViolation.*{group} has a dependent object"):
        ec2.delete_security_group(GroupId=group)
    assert stack.delete() == "DELETE_FAILED"
    assert f"resource {group} has a dependent object" in stack.reason("Group")
    ec2.terminate_instances(InstanceIds=[made["InstanceId"]])
    assert stack.delete() == "DELETE_COMPLETE"


def test_what_was_removed_by_hand_cannot_be_updated(stack: Stack, aws: LocalAws) -> None:
    stack.create({**network(), "Box": instance(), "Note": note()})
    box, name = stack.physical_id("Box"), stack.physical_id("Note")
    aws.client("ec2").terminate_instances(InstanceIds=[box])
    aws.client("ssm").delete_parameter(Name=name)
    assert stack.update({**network(), "Box": instance(), "Note": note("2")}).startswith("UPDATE_R")
    assert f"'{name}' was not found" in stack.reason("Note")
    changed = {**network(), "Box": instance(InstanceType="g5.xlarge"), "Note": note()}
    assert stack.update(changed) == "UPDATE_ROLLBACK_FAILED"
    assert f"The instance ID '{box}' does not exist" in stack.reason("Box")
    assert stack.delete() == "DELETE_COMPLETE"
