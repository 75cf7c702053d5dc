"""EventBridge Scheduler: expressions in time zones, targets, their roles, retries and groups.

Sources: the user guide of EventBridge Scheduler and botocore's model. The distance of retries and
whether a schedule that is being tried again may be deleted are not documented by AWS.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from datetime import datetime, timezone
from typing import Any
from uuid import uuid4

import pytest
from botocore.exceptions import ClientError
from test_clock_and_events import heard, launch, watcher
from test_instances import described

from localaws import LocalAws
from localaws.account.scheduler.expressions import parse
from tests.support.probe_stack import Stack, role

STOP = "arn:aws:scheduler:::aws-sdk:ec2:stopInstances"
MINUTE = 60.0


def seconds(moment: str) -> float:
    return datetime.fromisoformat(moment).replace(tzinfo=timezone.utc).timestamp()


@pytest.mark.parametrize(
    ("expression", "zone", "after", "expected"),
    [
        # Summer time begins: 02:30 does not exist on 28 March 2027 in Berlin
        ("cron(30 2 * * ? *)", "Europe/Berlin", "2027-03-27T00:00", ["27T01:30", "29T00:30"]),
        # It ends: 02:30 exists twice on 31 October 2027
        (
            "cron(30 2 * * ? *)",
            "Europe/Berlin",
            "2027-10-30T00:00",
            ["30T00:30", "31T00:30", "01T01:30"],
        ),
        ("cron(0 23 * * ? *)", "Europe/Berlin", "2027-03-27T12:00", ["27T22:00", "28T21:00"]),
        ("cron(30 2 * * ? *)", "America/New_York", "2027-03-13T00:00", ["13T07:30", "15T06:30"]),
        (
            "cron(30 1 * * ? *)",
            "America/New_York",
            "2027-11-06T12:00",
            ["07T05:30", "08T06:30"],
        ),
        ("cron(0 22 * * ? *)", "Asia/Kolkata", "2027-03-28T00:00", ["28T16:30", "29T16:30"]),
        ("cron(0 22 * * ? *)", "Asia/Kolkata", "2027-10-31T00:00", ["31T16:30", "01T16:30"]),
        ("cron(0/20 9-10 ? * MON-FRI *)", "UTC", "2027-01-01T10:30", ["01T10:40", "04T09:00"]),
        ("cron(0 0 L 2 ? 2028)", "UTC", "2027-01-01T00:00", ["29T00:00", None]),
        ("cron(0 0 15W 8 ? 2027)", "UTC", "2027-01-01T00:00", ["16T00:00", None]),
        ("cron(0 0 ? 5 6#2 2027)", "UTC", "2027-01-01T00:00", ["14T00:00", None]),
        ("cron(0 0 ? 5 6L 2027)", "UTC", "2027-01-01T00:00", ["28T00:00", None]),
        ("at(2027-10-31T02:30:00)", "Europe/Berlin", "2027-10-30T00:00", ["31T00:30", None]),
        ("at(2027-07-01T00:00:00)", "America/New_York", "2027-01-01T00:00", ["01T04:00", None]),
        ("rate(1 day)", "Europe/Berlin", "2027-03-27T12:00", ["28T12:00", "29T12:00"]),
        ("rate(90 minutes)", "UTC", "2027-01-01T00:00", ["01T01:30", "01T03:00"]),
    ],
)
def test_times_of_an_expression(
    expression: str, zone: str, after: str, expected: list[str | None]
) -> None:
    read, moment = parse(expression, zone, seconds(after)), seconds(after)
    times: list[str | None] = []
    for _ in expected:
        following = read.following(moment)
        if following is None:
            times.append(None)
            break
        moment = following
        times.append(datetime.fromtimestamp(moment, timezone.utc).strftime("%dT%H:%M"))
    assert times == expected


@pytest.mark.parametrize(
    ("expression", "zone"),
    [
        ("cron(0 22 * * * *)", "UTC"),
        ("cron(0 22 ? * ? *)", "UTC"),
        ("cron(60 22 * * ? *)", "UTC"),
        ("cron(0 22 * * ?)", "UTC"),
        ("rate(0 minutes)", "UTC"),
        ("rate(5 seconds)", "UTC"),
        ("at(2027-10-31)", "UTC"),
        ("at(2027-02-30T00:00:00)", "UTC"),
        ("at(2027-03-28T02:30:00)", "Europe/Berlin"),
        ("every day", "UTC"),
        ("rate(1 day)", "Europe/Bonn"),
    ],
)
def test_expression_that_is_not_valid(expression: str, zone: str) -> None:
    with pytest.raises(ValueError, match="Invalid Schedule Expression"):
        parse(expression, zone, 0)


class Desk:
    """Creates schedules that stop an instance, and reads what became of them."""

    def __init__(self, aws: LocalAws) -> None:
        self.aws = aws
        self.client = aws.client("scheduler")
        self.box = launch(aws)
        self.group = f"group-{uuid4().hex[:8]}"
        self.client.create_schedule_group(Name=self.group)
        self._roles: list[str] = []

    def role(self, *, tag: str = "", **condition: str) -> str:
        """The ARN of a role that may stop instances; its trust has these conditions."""
        name = f"stops-{uuid4().hex[:8]}"
        trust: dict[str, Any] = {"Effect": "Allow", "Action": "sts:AssumeRole"}
        trust["Principal"] = {"Service": "scheduler.amazonaws.com"}
        if condition:
            keys = {f"aws:{key}": value for key, value in condition.items()}
            trust["Condition"] = {"StringEquals": keys}
        allowed: dict[str, Any] = {"Effect": "Allow", "Action": "ec2:StopInstances"}
        allowed["Resource"] = f"arn:aws:ec2:*:{self.aws.account}:instance/*"
        if tag:
            keys = {"aws:ResourceTag/aws:cloudformation:stack-id": tag}
            allowed["Condition"] = {"StringEquals": keys}
        iam = self.aws.client("iam")
        document = json.dumps({"Version": "2012-10-17", "Statement": [trust]})
        made = iam.create_role(RoleName=name, AssumeRolePolicyDocument=document)["Role"]
        document = json.dumps({"Version": "2012-10-17", "Statement": [allowed]})
        iam.put_role_policy(RoleName=name, PolicyName="stop", PolicyDocument=document)
        self._roles.append(name)
        return str(made["Arn"])

    def create(self, role_arn: str, **changes: Any) -> str:
        """Create a schedule that stops the instance in ten minutes; returns its name."""
        name, target = f"stop-{uuid4().hex[:8]}", dict(changes.pop("Target", {}))
        retry = changes.pop("retry", None)
        target = {"Arn": STOP, "RoleArn": role_arn, "Input": self.input(), **target}
        if retry:
            target["RetryPolicy"] = retry
        wanted = {
            "ScheduleExpression": self.at(10 * MINUTE),
            "FlexibleTimeWindow": {"Mode": "OFF"},
            "GroupName": self.group,
            **changes,
        }
        self.client.create_schedule(Name=name, Target=target, **wanted)
        return name

    def input(self) -> str:
        return json.dumps({"InstanceIds": [self.box]})

    def at(self, later: float) -> str:
        """A one-time expression so many seconds from now, in UTC."""
        moment = time.gmtime(self.aws.control.clock() + later)
        return time.strftime("at(%Y-%m-%dT%H:%M:%S)", moment)

    def state(self) -> str:
        return str(described(self.aws, self.box)["State"]["Name"])

    def names(self) -> list[str]:
        rows = self.client.list_schedules(GroupName=self.group)["Schedules"]
        return [row["Name"] for row in rows]

    def runs(self, name: str) -> list[tuple[str, int]]:
        """Outcome and number of every attempt of a schedule."""
        rows = self.aws.control.schedule_runs()
        return [(r.outcome, r.attempt) for r in rows if r.schedule.endswith(f"/{name}")]

    def reasons(self, name: str) -> str:
        rows = self.aws.control.schedule_runs()
        return " ".join(r.reason for r in rows if r.schedule.endswith(f"/{name}"))

    def close(self) -> None:
        self.aws.client("ec2").terminate_instances(InstanceIds=[self.box])
        if self.group in [g["Name"] for g in self.client.list_schedule_groups()["ScheduleGroups"]]:
            self.client.delete_schedule_group(Name=self.group)
        for name in self._roles:
            self.aws.client("iam").delete_role_policy(RoleName=name, PolicyName="stop")
            self.aws.client("iam").delete_role(RoleName=name)


@pytest.fixture
def desk(moved: LocalAws) -> Iterator[Desk]:
    made = Desk(moved)
    yield made
    made.close()


def test_one_time_schedule_stops_the_instance_at_its_time_and_is_gone(desk: Desk) -> None:
    control = desk.aws.control
    name = desk.create(desk.role(), ActionAfterCompletion="DELETE")
    control.advance(9 * MINUTE)
    assert (desk.state(), desk.names(), desk.runs(name)) == ("running", [name], [])
    control.advance(9 * MINUTE)
    assert (desk.state(), desk.names(), desk.runs(name)) == ("stopped", [], [("delivered", 1)])
    (run,) = [r for r in control.schedule_runs() if r.schedule.endswith(f"/{name}")]
    # The clock stood at the schedule's time, not at the end of the advance
    assert run.time == run.scheduled
    stop = [event.time for event in control.history(desk.box) if event.event == "stopped"]
    assert stop == [run.scheduled]


def test_schedule_that_is_kept_runs_once_and_one_that_is_disabled_never(desk: Desk) -> None:
    kept = desk.create(desk.role())
    off = desk.create(desk.role(), State="DISABLED")
    desk.aws.control.advance(86400)
    assert (desk.runs(kept), desk.runs(off)) == ([("delivered", 1)], [])
    assert sorted(desk.names()) == sorted([kept, off])


def test_recurring_schedule_runs_between_its_start_and_its_end(desk: Desk) -> None:
    control = desk.aws.control
    now = control.clock()
    name = desk.create(
        desk.role(),
        ScheduleExpression="rate(1 hour)",
        StartDate=now + 7200,
        EndDate=now + 7200 + 3 * 3600 + 60,
        ActionAfterCompletion="DELETE",
    )
    control.advance(86400)
    times = [r.scheduled - now for r in control.schedule_runs() if r.schedule.endswith(f"/{name}")]
    assert [round(one / 3600) for one in times] == [2, 3, 4, 5]
    assert desk.names() == []


def test_schedule_runs_in_real_time_without_being_asked(desk: Desk) -> None:
    name = desk.create(desk.role(), ScheduleExpression=desk.at(1.5))
    deadline = time.monotonic() + 30
    while not desk.runs(name):
        assert time.monotonic() < deadline, "the schedule did not run by itself"
        time.sleep(0.1)
    assert desk.runs(name) == [("delivered", 1)]


def test_update_replaces_the_time_and_deletion_ends_it(desk: Desk) -> None:
    control, arn = desk.aws.control, desk.role()
    name, gone = desk.create(arn), desk.create(arn)
    desk.client.update_schedule(
        Name=name,
        GroupName=desk.group,
        ScheduleExpression=desk.at(7200),
        FlexibleTimeWindow={"Mode": "OFF"},
        Target={"Arn": STOP, "RoleArn": arn, "Input": desk.input()},
    )
    desk.client.delete_schedule(Name=gone, GroupName=desk.group)
    control.advance(3600)
    assert (desk.runs(name), desk.runs(gone), desk.state()) == ([], [], "running")
    control.advance(7200)
    assert (desk.runs(name), desk.runs(gone)) == ([("delivered", 1)], [])


def test_deleting_a_group_deletes_its_schedules(desk: Desk) -> None:
    name = desk.create(desk.role())
    desk.client.delete_schedule_group(Name=desk.group)
    with pytest.raises(desk.client.exceptions.ResourceNotFoundException):
        desk.client.get_schedule(Name=name, GroupName=desk.group)
    desk.aws.control.advance(3600)
    assert (desk.runs(name), desk.state()) == ([], "running")


def test_role_is_used_with_its_conditions(desk: Desk) -> None:
    account = desk.aws.account
    group = f"arn:aws:scheduler:us-east-1:{account}:schedule-group/{desk.group}"
    right = desk.role(SourceArn=group, SourceAccount=account)
    name = desk.create(right)
    for wrong in (
        {"SourceArn": group + "x"},
        {"SourceAccount": "999999999999"},
        # A schedule's own ARN: the key holds that of its group (user guide, confused deputy)
        {"SourceArn": f"arn:aws:scheduler:us-east-1:{account}:schedule/{desk.group}/x"},
    ):
        with pytest.raises(desk.client.exceptions.ValidationException, match="assume the role"):
            desk.create(desk.role(**wrong))
    changed = desk.create(desk.role(), retry={"MaximumRetryAttempts": 0})
    role_arn = desk.client.get_schedule(Name=changed, GroupName=desk.group)["Target"]["RoleArn"]
    trust = {"Effect": "Allow", "Action": "sts:AssumeRole"}
    trust["Principal"] = {"Service": "lambda.amazonaws.com"}  # type: ignore[assignment]
    desk.aws.client("iam").update_assume_role_policy(
        RoleName=role_arn.rpartition("/")[2], PolicyDocument=json.dumps({"Statement": [trust]})
    )
    desk.aws.control.advance(3600)
    assert (desk.runs(name), desk.runs(changed)) == ([("delivered", 1)], [("dropped", 1)])


def test_role_that_is_not_allowed_is_tried_again_and_dropped(desk: Desk) -> None:
    control, iam, ec2 = desk.aws.control, desk.aws.client("iam"), desk.aws.client("ec2")
    arn = desk.role(tag="arn:of-a-stack")
    retry = {"MaximumEventAgeInSeconds": 600, "MaximumRetryAttempts": 100}
    name = desk.create(arn, retry=retry, ActionAfterCompletion="DELETE")
    control.advance(86400)
    runs = desk.runs(name)
    assert runs[-1][0] == "dropped" and {one for one, _ in runs[:-1]} == {"failed"}
    assert [number for _, number in runs] == [1, 2, 3, 4]  # after 0, 60, 180 and 420 s
    assert "ec2:StopInstances" in desk.reasons(name) and desk.state() == "running"
    assert desk.names() == []
    # The instance's real tag is compared, and a later attempt may succeed
    ec2.create_tags(Resources=[desk.box], Tags=[{"Key": "owner", "Value": "me"}])
    allowed = {"Effect": "Allow", "Action": "ec2:StopInstances", "Resource": "*"}
    allowed["Condition"] = {"StringEquals": {"ec2:ResourceTag/owner": "me"}}  # type: ignore[assignment]
    document = json.dumps({"Version": "2012-10-17", "Statement": [allowed]})
    second = desk.create(arn)
    control.advance(10 * MINUTE + 30)
    iam.put_role_policy(RoleName=arn.rpartition("/")[2], PolicyName="stop", PolicyDocument=document)
    control.advance(3600)
    assert desk.runs(second) == [("failed", 1), ("delivered", 2)]
    assert desk.state() == "stopped"


def test_every_instance_of_a_call_is_authorized(desk: Desk) -> None:
    other = launch(desk.aws)
    ec2 = desk.aws.client("ec2")
    ec2.create_tags(Resources=[desk.box], Tags=[{"Key": "owner", "Value": "me"}])
    arn = desk.role()
    allowed = {"Effect": "Allow", "Action": "ec2:StopInstances", "Resource": "*"}
    allowed["Condition"] = {"StringEquals": {"aws:ResourceTag/owner": "me"}}  # type: ignore[assignment]
    document = json.dumps({"Version": "2012-10-17", "Statement": [allowed]})
    desk.aws.client("iam").put_role_policy(
        RoleName=arn.rpartition("/")[2], PolicyName="stop", PolicyDocument=document
    )
    text = json.dumps({"InstanceIds": [desk.box, other]})
    name = desk.create(arn, retry={"MaximumRetryAttempts": 0}, Target={"Input": text})
    desk.aws.control.advance(3600)
    assert (desk.runs(name), desk.state()) == ([("dropped", 1)], "running")
    ec2.terminate_instances(InstanceIds=[other])


def test_call_that_ec2_refuses_is_tried_again(desk: Desk) -> None:
    control = desk.aws.control
    control.fault("StopInstances", "throttle", times=2)
    name = desk.create(desk.role())
    control.advance(3600)
    assert desk.runs(name) == [("failed", 1), ("failed", 2), ("delivered", 3)]
    assert "RequestLimitExceeded" in desk.reasons(name)


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"ScheduleExpression": "cron(0 22 * * * *)"}, "Invalid Schedule Expression"),
        ({"ScheduleExpressionTimezone": "Europe/Bonn"}, "Timezone"),
        ({"FlexibleTimeWindow": {"Mode": "FLEXIBLE", "MaximumWindowInMinutes": 5}}, "OFF"),
        ({"Target": {"Arn": "arn:aws:scheduler:::aws-sdk:s3:deleteBucket"}}, "universal targets"),
        ({"Target": {"Arn": "arn:aws:scheduler:::aws-sdk:ec2:describeInstances"}}, "only read"),
        ({"Target": {"Arn": "arn:aws:scheduler:::aws-sdk:ec2:halt"}}, "no operation"),
        ({"Target": {"Arn": "arn:aws:sqs:us-east-1:123456789012:queue"}}, "as targets"),
        ({"StartDate": 2000000000, "EndDate": 1999999999}, "EndDate"),
    ],
)
def test_schedule_that_is_not_valid_is_refused(
    desk: Desk, changes: dict[str, Any], text: str
) -> None:
    with pytest.raises(desk.client.exceptions.ValidationException, match=text):
        desk.create(desk.role(), **changes)
    assert desk.names() == []


def test_errors_of_the_api(desk: Desk) -> None:
    client = desk.client
    with pytest.raises(client.exceptions.ConflictException):
        client.create_schedule_group(Name=desk.group)
    with pytest.raises(client.exceptions.ResourceNotFoundException):
        client.delete_schedule(Name="none", GroupName=desk.group)
    with pytest.raises(client.exceptions.ResourceNotFoundException):
        client.get_schedule_group(Name="none")
    with pytest.raises(client.exceptions.ResourceNotFoundException):
        desk.create(desk.role(), GroupName="none")
    names = {desk.create(desk.role()) for _ in range(3)}
    pages = client.get_paginator("list_schedules").paginate(
        GroupName=desk.group, PaginationConfig={"PageSize": 2}
    )
    assert [len(page["Schedules"]) for page in pages] == [2, 1]
    assert {*desk.names()} == names


def test_caller_must_be_allowed_to_pass_the_role(desk: Desk) -> None:
    group = f"arn:aws:scheduler:us-east-1:{desk.aws.account}:schedule/{desk.group}/*"
    arn = desk.role()
    role_name = arn.rpartition("/")[2]

    def allow(*statements: dict[str, Any]) -> None:
        rows = [{"Effect": "Allow", **one} for one in statements]
        document = json.dumps({"Version": "2012-10-17", "Statement": rows})
        desk.aws.client("iam").put_role_policy(
            RoleName=role_name, PolicyName="stop", PolicyDocument=document
        )

    session = desk.aws.control.role_session(role_name)
    caller = boto3_scheduler(desk.aws, session)
    request: dict[str, Any] = {
        "Name": "passed",
        "GroupName": desk.group,
        "ScheduleExpression": desk.at(600),
        "FlexibleTimeWindow": {"Mode": "OFF"},
        "Target": {"Arn": STOP, "RoleArn": arn, "Input": desk.input()},
    }
    allow({"Action": "scheduler:CreateSchedule", "Resource": group.replace(desk.group, "other")})
    with pytest.raises(ClientError, match="scheduler:CreateSchedule"):
        caller.create_schedule(**request)
    allow({"Action": "scheduler:CreateSchedule", "Resource": group})
    with pytest.raises(ClientError, match="iam:PassRole"):
        caller.create_schedule(**request)
    service = {"StringEquals": {"iam:PassedToService": "scheduler.amazonaws.com"}}
    allow(
        {"Action": "scheduler:CreateSchedule", "Resource": group},
        {"Action": "iam:PassRole", "Resource": arn, "Condition": service},
    )
    caller.create_schedule(**request)
    assert desk.names() == ["passed"]


def boto3_scheduler(aws: LocalAws, session: dict[str, str]) -> Any:
    import boto3

    return boto3.client(
        "scheduler",
        endpoint_url=aws.url,
        region_name=aws.region,
        aws_access_key_id=session["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=session["AWS_SECRET_ACCESS_KEY"],
        aws_session_token=session["AWS_SESSION_TOKEN"],
    )


def test_function_as_target_by_cloudformation(moved: LocalAws) -> None:
    stack, control = Stack(moved, f"nightly-{uuid4().hex[:8]}"), moved.control
    text = {
        "at": "<aws.scheduler.scheduled-time>",
        "from": "<aws.scheduler.schedule-arn>",
        "try": "<aws.scheduler.attempt-number>",
        "run": "<aws.scheduler.execution-id>",
    }
    invoke = {"Fn::GetAtt": ["Function", "Arn"]}
    daily: dict[str, Any] = {
        "GroupName": {"Ref": "Group"},
        "ScheduleExpression": "cron(0 22 * * ? *)",
        "ScheduleExpressionTimezone": "Asia/Kolkata",
        "FlexibleTimeWindow": {"Mode": "OFF"},
        "Target": {
            "Arn": invoke,
            "RoleArn": {"Fn::GetAtt": ["Caller", "Arn"]},
            "Input": json.dumps(text),
            "RetryPolicy": {"MaximumEventAgeInSeconds": 3600, "MaximumRetryAttempts": 3},
        },
    }
    schedule = {"Type": "AWS::Scheduler::Schedule", "Properties": daily}
    group = {"Type": "AWS::Scheduler::ScheduleGroup", "Properties": {}}
    caller = role("scheduler", Action="lambda:InvokeFunction", Resource=invoke)
    base = watcher()
    for name in ("Rule", "Permission"):
        del base[name]
    resources = {**base, "Group": group, "Caller": caller, "Daily": schedule}
    outputs = {"Arn": {"Value": {"Fn::GetAtt": ["Daily", "Arn"]}}}
    assert stack.create(resources, outputs) == "CREATE_COMPLETE"
    name, made = stack.physical_id("Daily"), stack.physical_id("Group")
    assert name.startswith(f"{stack.name}-Daily-") and made.startswith(f"{stack.name}-Group-")
    stored = moved.client("scheduler").get_schedule(Name=name, GroupName=made)
    assert stored["ScheduleExpressionTimezone"] == "Asia/Kolkata"
    assert stored["Target"]["RetryPolicy"]["MaximumRetryAttempts"] == 3
    control.advance(86400)
    (event,) = heard(stack)
    assert event["at"].endswith("T16:30:00Z") and event["try"] == "1" and len(event["run"]) == 16
    assert event["from"] == stack.outputs()["Arn"]

    # In place: expression, zone, state; another name replaces
    changed = {**daily, "ScheduleExpressionTimezone": "UTC", "ActionAfterCompletion": "DELETE"}
    changed["EndDate"] = "2035-01-01T00:00:00Z"
    resources["Daily"] = {**schedule, "Properties": changed}
    assert stack.update(resources, outputs) == "UPDATE_COMPLETE"
    stored = moved.client("scheduler").get_schedule(Name=name, GroupName=made)
    assert stored["ScheduleExpressionTimezone"] == "UTC"
    assert stored["ActionAfterCompletion"] == "DELETE" and stored["EndDate"].year == 2035
    assert stack.physical_id("Daily") == name
    control.advance(86400)
    assert heard(stack)[-1]["at"].endswith("T22:00:00Z")
    resources["Daily"] = {**schedule, "Properties": {**changed, "Name": f"{stack.name}-x"}}
    assert stack.update(resources, outputs) == "UPDATE_COMPLETE"
    rows = moved.client("scheduler").list_schedules(GroupName=made)["Schedules"]
    assert [row["Name"] for row in rows] == [f"{stack.name}-x"]
    kinds = [item.kind for item in moved.inventory()]
    assert "schedule" in kinds and "schedule group" in kinds
    assert stack.delete() == "DELETE_COMPLETE"
    kinds = [item.kind for item in moved.inventory()]
    assert "schedule" not in kinds and "schedule group" not in kinds


def test_schedule_with_a_wrong_expression_fails_its_stack(moved: LocalAws) -> None:
    stack = Stack(moved, f"wrong-{uuid4().hex[:8]}")
    wrong = {
        "ScheduleExpression": "cron(0 22 * * * *)",
        "FlexibleTimeWindow": {"Mode": "OFF"},
        "Target": {"Arn": STOP, "RoleArn": {"Fn::GetAtt": ["Caller", "Arn"]}},
    }
    caller = role("scheduler", Action="ec2:StopInstances", Resource="*")
    schedule = {"Type": "AWS::Scheduler::Schedule", "Properties": wrong}
    assert stack.create({"Caller": caller, "Nightly": schedule}) == "ROLLBACK_COMPLETE"
    assert "Invalid Schedule Expression" in stack.reason("Nightly")
    assert stack.delete() == "DELETE_COMPLETE"
