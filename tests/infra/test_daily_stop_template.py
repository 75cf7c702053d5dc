"""The daily stop in the template: when it acts, on what, and that it touches nothing else."""

from __future__ import annotations

import json
from typing import Any

import pytest
from aws_cdk import App, Stack
from aws_cdk.assertions import Template

from gpustation import GpuWorkstation
from tests.support.synthesis import actions_of, resource, synthesize
from tests.support.template_graph import statements

SCHEDULE, GROUP, ROLE = (
    "AWS::Scheduler::Schedule",
    "AWS::Scheduler::ScheduleGroup",
    "AWS::IAM::Role",
)
BERLIN = {"stop_at": "22:00 Europe/Berlin"}


def schedules(**settings: Any) -> list[dict[str, Any]]:
    found = synthesize(**settings).find_resources(SCHEDULE)
    return [row["Properties"] for row in found.values()]


def test_nothing_of_it_exists_without_the_setting() -> None:
    for kind in (SCHEDULE, GROUP):
        synthesize().resource_count_is(kind, 0)
    assert "DailyStop" not in json.dumps(synthesize().to_json()["Resources"])


@pytest.mark.parametrize(
    ("stop_at", "patience", "expected"),
    [
        ("22:00 Europe/Berlin", 0, ["cron(0 22 * * ? *)"]),
        ("22:00 Europe/Berlin", 150, ["cron(30 0 * * ? *)"]),
        ("01:45 Europe/Berlin", 30, ["cron(15 2 * * ? *)", "cron(0 3 * * ? *)"]),
        ("02:30 America/New_York", 0, ["cron(30 2 * * ? *)", "cron(0 3 * * ? *)"]),
        ("02:30 Asia/Kolkata", 0, ["cron(30 2 * * ? *)"]),
    ],
)
def test_it_acts_at_the_time_of_the_zone_and_after_a_gap(
    stop_at: str, patience: int, expected: list[str]
) -> None:
    rows = schedules(stop_at=stop_at, stop_at_patience=patience)
    assert [row["ScheduleExpression"] for row in rows] == expected
    assert {row["ScheduleExpressionTimezone"] for row in rows} == {stop_at.split()[1]}
    assert all(row["FlexibleTimeWindow"] == {"Mode": "OFF"} for row in rows)


def test_it_calls_the_function_about_this_machine_with_an_end() -> None:
    (row,) = schedules(**BERLIN, stop_at_patience=30)
    target = row["Target"]
    assert target["Arn"]["Fn::GetAtt"][0].startswith("DailyStopHandlerFunction")
    assert target["RetryPolicy"] == {"MaximumEventAgeInSeconds": 900, "MaximumRetryAttempts": 5}
    parts = target["Input"]["Fn::Join"][1]
    names = iter(["machine", "group"])
    text = "".join(part if isinstance(part, str) else next(names) for part in parts)
    assert json.loads(text) == {
        "instance_id": "machine",
        "stop_at": "22:00 Europe/Berlin",
        "patience": 30,
        "security_group_id": "group",
    }
    (machine, group) = (part for part in parts if not isinstance(part, str))
    assert machine["Ref"].startswith("Generation1MachineInstance")
    assert group["Fn::GetAtt"][0].startswith("NetworkSecurityGroup")


def test_only_this_machine_may_be_stopped_and_only_this_group_changed() -> None:
    actions = actions_of(synthesize(**BERLIN), "DailyStopHandler")
    assert set(actions) == {
        "ec2:DescribeInstances",
        "ec2:DescribeSecurityGroups",
        "ec2:RevokeSecurityGroupIngress",
        "ec2:StopInstances",
        "logs:CreateLogStream",
        "logs:PutLogEvents",
    }

    def arn(kind: str, name: dict[str, Any]) -> dict[str, Any]:
        start = ["arn:", {"Ref": "AWS::Partition"}, ":ec2:", {"Ref": "AWS::Region"}, ":"]
        return {"Fn::Join": ["", [*start, {"Ref": "AWS::AccountId"}, f":{kind}/", name]]}

    machine = resource_id("AWS::EC2::Instance")
    group = resource_id("AWS::EC2::SecurityGroup")
    assert actions["ec2:StopInstances"] == arn("instance", {"Ref": machine})
    assert actions["ec2:RevokeSecurityGroupIngress"] == arn(
        "security-group", {"Fn::GetAtt": [group, "GroupId"]}
    )


def resource_id(kind: str) -> str:
    (name,) = synthesize(**BERLIN).find_resources(kind)
    return str(name)


def test_schedules_of_this_group_may_call_this_function_and_nothing_else() -> None:
    template = synthesize(**BERLIN)
    (policy,) = (
        row
        for name, row in template.find_resources("AWS::IAM::Policy").items()
        if name.startswith("DailyStopCaller")
    )
    (statement,) = statements(policy)
    (function,) = (
        name
        for name in template.find_resources("AWS::Lambda::Function")
        if name.startswith("DailyStopHandler")
    )
    assert statement["Action"] == "lambda:InvokeFunction"
    assert statement["Resource"] == {"Fn::GetAtt": [function, "Arn"]}
    (role,) = (
        row["Properties"]
        for name, row in template.find_resources(ROLE).items()
        if name.startswith("DailyStopCaller")
    )
    (trust,) = role["AssumeRolePolicyDocument"]["Statement"]
    assert trust["Principal"] == {"Service": "scheduler.amazonaws.com"}
    (group,) = template.find_resources(GROUP)
    assert trust["Condition"] == {
        "StringEquals": {
            "aws:SourceAccount": {"Ref": "AWS::AccountId"},
            "aws:SourceArn": {"Fn::GetAtt": [group, "Arn"]},
        }
    }


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ({}, BERLIN),
        (BERLIN, {}),
        (BERLIN, {"stop_at": "02:30 America/New_York"}),
        (BERLIN, {**BERLIN, "stop_at_patience": 60}),
        (BERLIN, {**BERLIN, "idle_stop_minutes": 0}),
    ],
)
def test_on_off_or_changed_nothing_of_it_is_in_the_machine(before: Any, after: Any) -> None:
    """The machine reads its settings from the parameter, so nothing stops or replaces it."""
    old, new = synthesize(**before), synthesize(**after)
    for kind in ("AWS::EC2::Instance", "Custom::ImageChoice", "Custom::QuotaCheck"):
        assert resource(old, kind) == resource(new, kind)


def test_a_change_is_one_of_the_same_schedule() -> None:
    """Name and group are the only properties that replace a schedule (its CloudFormation page)."""
    (old,) = schedules(**BERLIN)
    (new,) = schedules(stop_at="23:00 Asia/Kolkata", stop_at_patience=5)
    assert "Name" not in old and old["GroupName"] == new["GroupName"]


def test_in_another_app_with_a_security_group_of_its_own() -> None:
    """The rules of that group are not ours to remove."""
    from aws_cdk import aws_ec2 as ec2

    stack = Stack(App(builtin_cloud_formation_validation=False), "Mine")
    vpc = ec2.Vpc.from_vpc_attributes(stack, "Vpc", vpc_id="vpc-1", availability_zones=["a"])
    subnet = ec2.Subnet.from_subnet_attributes(
        stack, "Subnet", subnet_id="subnet-1", availability_zone="us-east-1a"
    )
    group = ec2.SecurityGroup.from_security_group_id(stack, "Group", "sg-1")
    GpuWorkstation(
        stack,
        "Machine",
        vpc=vpc,
        subnet=subnet,
        security_group=group,
        stop_at="22:00 Europe/Berlin",
    )
    template = Template.from_stack(stack)
    assert "ec2:RevokeSecurityGroupIngress" not in actions_of(template, "DailyStopHandler")
    assert '"security_group_id\\":\\"\\"' in json.dumps(template.find_resources(SCHEDULE))


def test_fails_when_the_construct_gets_a_wrong_time() -> None:
    for wrong in ({"stop_at": "22:00 Mars/Base"}, {**BERLIN, "stop_at_patience": 721}):
        stack = Stack(App(), "Mine")
        with pytest.raises(ValueError, match=r"time zone of the IANA|0 to 720 minutes"):
            GpuWorkstation(stack, "Machine", **wrong)  # type: ignore[arg-type]
