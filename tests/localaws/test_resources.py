"""The other resource types of our stacks: created, changed in place or replaced, deleted."""

from __future__ import annotations

import json
from typing import Any

import pytest

from localaws import LocalAws
from localaws.account.cloudformation import schemas
from tests.support.probe_stack import Stack, network, role, zipped

ACTIONS = ["ec2:DescribeInstances", "logs:CreateLogStream", "logs:PutLogEvents"]
TAGS = [{"Key": "gpustation", "Value": "one"}]
CHANGED = [{"Key": "gpustation", "Value": "two"}]


def everything(code: dict[str, str], tags: list[dict[str, str]], mark: str) -> dict[str, Any]:
    tag = {"Tags": tags}
    resources = network()
    resources["Vpc"]["Properties"] |= tag
    resources["Subnet"]["Properties"] |= tag
    resources["Role"] = role()
    resources["Role"]["Properties"] |= tag
    statement = {"Effect": "Allow", "Action": ACTIONS, "Resource": "*"}
    vpc = {"VpcId": {"Ref": "Vpc"}}
    rule = {"IpProtocol": "tcp", "FromPort": 22, "ToPort": 22, "CidrIp": f"{mark}/32"}
    made: dict[str, tuple[str, dict[str, Any]]] = {
        "Gateway": ("EC2::InternetGateway", tag),
        "Attachment": (
            "EC2::VPCGatewayAttachment",
            {**vpc, "InternetGatewayId": {"Ref": "Gateway"}},
        ),
        "Table": ("EC2::RouteTable", {**vpc, **tag}),
        "Route": (
            "EC2::Route",
            {
                "RouteTableId": {"Ref": "Table"},
                "DestinationCidrBlock": "0.0.0.0/0",
                "GatewayId": {"Ref": "Gateway"},
            },
        ),
        "Association": (
            "EC2::SubnetRouteTableAssociation",
            {"RouteTableId": {"Ref": "Table"}, "SubnetId": {"Ref": "Subnet"}},
        ),
        "Group": (
            "EC2::SecurityGroup",
            {"GroupDescription": "probe", **vpc, **tag, "SecurityGroupIngress": [rule]},
        ),
        "Policy": (
            "IAM::Policy",
            {
                "PolicyName": "probe",
                "PolicyDocument": {"Statement": [{**statement, "Sid": f"S{mark[-1]}"}]},
                "Roles": [{"Ref": "Role"}],
            },
        ),
        "Profile": ("IAM::InstanceProfile", {"Roles": [{"Ref": "Role"}]}),
        "Log": ("Logs::LogGroup", {"RetentionInDays": 1 if tags is TAGS else 3, **tag}),
        "Function": (
            "Lambda::Function",
            {
                "Code": code,
                "Handler": "handlers.quota.on_event",
                "Runtime": "python3.13",
                "Role": {"Fn::GetAtt": ["Role", "Arn"]},
                "LoggingConfig": {"LogGroup": {"Ref": "Log"}},
                "Description": mark,
                **tag,
            },
        ),
        "Setting": (
            "SSM::Parameter",
            {"Type": "String", "Value": mark, "Tags": {t["Key"]: t["Value"] for t in tags}},
        ),
    }
    for name, (kind, properties) in made.items():
        resources[name] = {"Type": f"AWS::{kind}", "Properties": properties}
    return resources


@pytest.fixture(scope="session")
def code(server: LocalAws, code_bucket: str) -> dict[str, str]:
    handler = "def on_event(event, context):\n    print('line one')\n    return event['x']\n"
    body = zipped(handlers____init__="", handlers__quota=handler)
    server.client("s3").put_object(Bucket=code_bucket, Key="code.zip", Body=body)
    return {"S3Bucket": code_bucket, "S3Key": "code.zip"}


def test_all_change_in_place_keep_their_tags_and_go(
    stack: Stack, aws: LocalAws, code: dict[str, str]
) -> None:
    before = everything(code, TAGS, "192.0.2.1")
    assert stack.create(before) == "CREATE_COMPLETE"
    ids = {name: stack.physical_id(name) for name in before}
    assert stack.update(everything(code, CHANGED, "192.0.2.2")) == "UPDATE_COMPLETE"
    assert {name: stack.physical_id(name) for name in before} == ids
    ec2 = aws.client("ec2")
    for name in ("Vpc", "Subnet", "Gateway", "Table", "Group"):
        rows = ec2.describe_tags(Filters=[{"Name": "resource-id", "Values": [ids[name]]}])["Tags"]
        assert {r["Key"]: r["Value"] for r in rows}["gpustation"] == "two", name
    (group,) = ec2.describe_security_groups(GroupIds=[ids["Group"]])["SecurityGroups"]
    ranges = [r["CidrIp"] for p in group["IpPermissions"] for r in p["IpRanges"]]
    assert ranges == ["192.0.2.2/32"]
    check_services(aws, ids)
    assert stack.delete() == "DELETE_COMPLETE"
    left = [row for row in aws.inventory() if row.id in ids.values()]
    assert left == []


def check_services(aws: LocalAws, ids: dict[str, str]) -> None:
    iam, functions, ssm = (aws.client(name) for name in ("iam", "lambda", "ssm"))
    policy = iam.get_role_policy(RoleName=ids["Role"], PolicyName="probe")["PolicyDocument"]
    assert policy["Statement"][0]["Sid"] == "S2"
    assert {"Key": "gpustation", "Value": "two"} in iam.list_role_tags(RoleName=ids["Role"])["Tags"]
    function = functions.get_function(FunctionName=ids["Function"])
    assert function["Configuration"]["Description"] == "192.0.2.2"
    assert function["Tags"]["gpustation"] == "two"
    assert ssm.get_parameter(Name=ids["Setting"])["Parameter"]["Value"] == "192.0.2.2"
    tags = ssm.list_tags_for_resource(ResourceType="Parameter", ResourceId=ids["Setting"])
    assert {"Key": "gpustation", "Value": "two"} in tags["TagList"]
    logs = aws.client("logs")
    (log,) = logs.describe_log_groups(logGroupNamePrefix=ids["Log"])["logGroups"]
    assert log["retentionInDays"] == 3
    assert (
        logs.list_tags_for_resource(resourceArn=log["logGroupArn"])["tags"]["gpustation"] == "two"
    )


def test_a_lambda_runs_and_its_lines_can_be_read(
    stack: Stack, aws: LocalAws, code: dict[str, str]
) -> None:
    stack.create(everything(code, TAGS, "192.0.2.1"))
    answer = aws.client("lambda").invoke(
        FunctionName=stack.physical_id("Function"), Payload=json.dumps({"x": "echo"})
    )
    assert json.load(answer["Payload"]) == "echo"
    assert "line one" in aws.log_lines(stack.physical_id("Log"))


def test_create_only_properties_of_other_types_replace(stack: Stack) -> None:
    resources = network()
    stack.create(resources)
    old = stack.physical_id("Subnet")
    moved = network("us-east-1c")
    moved["Subnet"]["Properties"]["CidrBlock"] = "10.0.1.0/24"
    assert stack.update(moved) == "UPDATE_COMPLETE"
    assert stack.physical_id("Subnet") != old
    ends = [(i, s) for i, s, _ in stack.events() if s.startswith(("DELETE", "UPDATE_COMPLETE"))]
    assert ends == [
        ("Subnet", "UPDATE_COMPLETE"),
        (stack.name, "UPDATE_COMPLETE_CLEANUP_IN_PROGRESS"),
        ("Subnet", "DELETE_IN_PROGRESS"),
        ("Subnet", "DELETE_COMPLETE"),
        (stack.name, "UPDATE_COMPLETE"),
    ]


def test_unnamed_parameter_has_a_name_without_a_slash(stack: Stack) -> None:
    stack.create(
        {"Note": {"Type": "AWS::SSM::Parameter", "Properties": {"Type": "String", "Value": "1"}}}
    )
    assert stack.physical_id("Note").startswith("CFN-Note-")


def test_change_set_announces_what_will_be_replaced(stack: Stack, aws: LocalAws) -> None:
    stack.create(network())
    moved = network("us-east-1c")
    cloudformation = aws.client("cloudformation")
    made = cloudformation.create_change_set(
        StackName=stack.name, ChangeSetName="probe", TemplateBody=json.dumps({"Resources": moved})
    )
    cloudformation.get_waiter("change_set_create_complete").wait(
        ChangeSetName=made["Id"], WaiterConfig={"Delay": 1}
    )
    (change,) = cloudformation.describe_change_set(ChangeSetName=made["Id"])["Changes"]
    assert change["ResourceChange"]["LogicalResourceId"] == "Subnet"
    assert change["ResourceChange"]["Replacement"] == "True"


@pytest.mark.parametrize(
    ("kind", "name", "expected"),
    [
        ("AWS::EC2::Instance", "ImageId", "Always"),
        ("AWS::EC2::Instance", "BlockDeviceMappings", "Conditionally"),
        ("AWS::EC2::Instance", "InstanceType", "Conditionally"),
        ("AWS::EC2::Instance", "Tags", "Never"),
        ("AWS::EC2::KeyPair", "Tags", "Always"),
        ("AWS::SSM::Parameter", "Value", "Never"),
    ],
)
def test_recreation_is_what_the_schemas_say(kind: str, name: str, expected: str) -> None:
    assert schemas.recreation(kind, name) == expected


def test_only_delete_on_termination_of_a_disk_changes_in_place() -> None:
    def disks(**ebs: Any) -> dict[str, Any]:
        return {"BlockDeviceMappings": [{"DeviceName": "/dev/sda1", "Ebs": ebs}]}

    kind = "AWS::EC2::Instance"
    assert not schemas.replaces(
        kind, disks(VolumeSize=8), disks(VolumeSize=8, DeleteOnTermination=1)
    )
    assert schemas.replaces(kind, disks(VolumeSize=8), disks(VolumeSize=9))
    assert schemas.replaces(kind, {}, disks(VolumeSize=9))
