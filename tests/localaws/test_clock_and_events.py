"""The clock that tests move, events of instances, functions that fail, tables and topics."""

from __future__ import annotations

import base64
import datetime as dt
import json
import urllib.error
import urllib.request
from collections.abc import Iterator
from email.utils import parsedate_to_datetime
from typing import Any
from uuid import uuid4

import botocore.auth
import pytest
from botocore.exceptions import ClientError
from test_gate import WHO, signed
from test_instances import described

from localaws import LocalAws
from localaws.machines.booted.support import why_not
from tests.support.probe_stack import G_QUOTA, Stack, instance, network, role

WRITES_LOG = ["logs:CreateLogGroup", "logs:CreateLogStream", "logs:PutLogEvents"]
WITNESS = """
import json
import time
from datetime import datetime, timezone
import boto3

def handler(event, context):
    print("EVENT " + json.dumps(event))
    if event.get("clock"):
        now = datetime.now(timezone.utc)
        assert isinstance(now, datetime) and abs(now.timestamp() - time.time()) < 5
        return now.isoformat()
    if event.get("fail"):
        raise RuntimeError("asked to fail")
    if event.get("put"):
        boto3.client("dynamodb").put_item(TableName=event["put"], Item={"id": {"S": "a"}})
    if event.get("publish"):
        boto3.client("sns").publish(TopicArn=event["publish"], Subject="Stopped", Message="why")
"""
PATTERN = {"source": ["aws.ec2"], "detail-type": ["EC2 Instance State-change Notification"]}
LIFE = ["pending", "running", "stopping", "stopped"]


def watcher(**allowed: Any) -> dict[str, Any]:
    """A function, a rule for the states of instances, and the permission between them."""
    action = [*WRITES_LOG, *allowed.get("Action", [])]
    return {
        "Role": role(Action=action, Resource="*"),
        "Function": {
            "Type": "AWS::Lambda::Function",
            "Properties": {
                "Code": {"ZipFile": WITNESS},
                "Handler": "index.handler",
                "Runtime": "python3.13",
                "Role": {"Fn::GetAtt": ["Role", "Arn"]},
                "Timeout": 30,
            },
        },
        "Rule": {
            "Type": "AWS::Events::Rule",
            "Properties": {
                "EventPattern": PATTERN,
                "State": "ENABLED",
                "Targets": [{"Arn": {"Fn::GetAtt": ["Function", "Arn"]}, "Id": "Target0"}],
            },
        },
        "Permission": {
            "Type": "AWS::Lambda::Permission",
            "Properties": {
                "Action": "lambda:InvokeFunction",
                "FunctionName": {"Fn::GetAtt": ["Function", "Arn"]},
                "Principal": "events.amazonaws.com",
                "SourceArn": {"Fn::GetAtt": ["Rule", "Arn"]},
            },
        },
    }


@pytest.fixture
def probe(moved: LocalAws) -> Iterator[Stack]:
    moved.control.event_fault(None)
    made = Stack(moved, f"watch-{uuid4().hex[:8]}")
    yield made
    if made.stack_id:
        assert made.delete() == "DELETE_COMPLETE"


def heard(stack: Stack) -> list[dict[str, Any]]:
    """What a stack's function was invoked with, after all that was started has ended."""
    stack.aws.control.advance(0)
    group = f"/aws/lambda/{stack.physical_id('Function')}"
    try:
        lines = stack.aws.log_lines(group)
    except stack.aws.client("logs").exceptions.ResourceNotFoundException:
        return []
    marked = [line.partition("EVENT ")[2] for line in lines if "EVENT " in line]
    return [json.loads(line) for line in marked]


def launch(aws: LocalAws) -> str:
    aws.control.add_image("ami-0123456789abcdef0")
    made = aws.client("ec2").run_instances(
        ImageId="ami-0123456789abcdef0", InstanceType="g4dn.xlarge", MinCount=1, MaxCount=1
    )
    return str(made["Instances"][0]["InstanceId"])


def states(stack: Stack, instance_id: str) -> list[str]:
    """The states that the function was told of, by their time, and in AWS's order within it."""
    events = [e for e in heard(stack) if e["detail"]["instance-id"] == instance_id]
    order = ["pending", "running", "stopping", "stopped", "shutting-down", "terminated"]
    events.sort(key=lambda e: (e["time"], order.index(e["detail"]["state"])))
    return [e["detail"]["state"] for e in events]


def test_moved_clock_is_that_of_answers_instances_and_history(moved: LocalAws) -> None:
    ec2 = moved.client("ec2")
    box = launch(moved)
    first = described(moved, box)["LaunchTime"]
    before = moved.control.clock()
    moved.control.advance(86400)
    assert moved.control.clock() >= before + 86400
    ec2.stop_instances(InstanceIds=[box])
    stopped = described(moved, box)
    stamp = stopped["StateTransitionReason"].removeprefix("User initiated (").removesuffix(" GMT)")
    moment = dt.datetime.strptime(stamp, "%Y-%m-%d %H:%M:%S").replace(tzinfo=dt.timezone.utc)
    assert before + 86399 <= moment.timestamp() <= moved.control.clock()
    assert stopped["StateReason"] == {
        "Code": "Client.UserInitiatedShutdown",
        "Message": "Client.UserInitiatedShutdown: User initiated shutdown",
    }
    assert stopped["LaunchTime"] == first
    moved.control.advance(3600)
    ec2.start_instances(InstanceIds=[box])
    # EC2: the time of the last start, which is why costs are reckoned from it
    assert described(moved, box)["LaunchTime"] >= first + dt.timedelta(seconds=90000)
    assert described(moved, box)["StateTransitionReason"] == ""
    times = [event.time for event in moved.control.history(box)]
    assert times[1] - times[0] >= 86400 and times[2] - times[1] >= 3600
    date = ec2.describe_regions()["ResponseMetadata"]["HTTPHeaders"]["date"]
    assert abs(parsedate_to_datetime(date).timestamp() - moved.control.clock()) < 60
    ec2.terminate_instances(InstanceIds=[box])


def test_signature_by_either_clock_is_accepted_and_by_no_other(
    moved: LocalAws, monkeypatch: pytest.MonkeyPatch
) -> None:
    moved.control.advance(86400)
    plain = botocore.auth.get_current_datetime
    distance = moved.control.clock() - plain(remove_tzinfo=False).timestamp()

    def status(seconds: float) -> int:
        def now(remove_tzinfo: bool = True) -> dt.datetime:
            return plain(remove_tzinfo) + dt.timedelta(seconds=seconds)

        monkeypatch.setattr(botocore.auth, "get_current_datetime", now)
        headers = signed(moved, "sts", WHO)
        request = urllib.request.Request(moved.url, WHO.encode(), headers, method="POST")
        try:
            with urllib.request.urlopen(request) as answer:
                return int(answer.status)
        except urllib.error.HTTPError as error:
            assert "not yet current" in error.read().decode()
            return error.code

    assert [status(0), status(distance), status(distance + 7200)] == [200, 200, 403]


def test_clock_does_not_go_back(moved: LocalAws) -> None:
    with pytest.raises(ValueError, match="only moves forward"):
        moved.control.advance(-1)


def test_states_of_an_instance_are_events_in_their_order(probe: Stack) -> None:
    aws = probe.aws
    assert probe.create({**network(), **watcher(), "Box": instance()}) == "CREATE_COMPLETE"
    box = probe.physical_id("Box")
    ec2 = aws.client("ec2")
    aws.control.advance(60)
    ec2.stop_instances(InstanceIds=[box])
    aws.control.advance(60)
    ec2.start_instances(InstanceIds=[box])
    assert states(probe, box)[-4:] == ["stopping", "stopped", "pending", "running"]
    (event,) = [e for e in heard(probe) if e["detail"]["state"] == "stopped"]
    assert event["source"] == "aws.ec2" and event["account"] == aws.account
    assert event["detail-type"] == PATTERN["detail-type"][0]
    assert event["resources"] == [f"arn:aws:ec2:us-east-1:{aws.account}:instance/{box}"]
    moment = dt.datetime.fromisoformat(event["time"].replace("Z", "+00:00")).timestamp()
    (stopped,) = [e.time for e in aws.control.history(box) if e.event == "stopped"]
    assert 0 <= stopped - moment < 2
    other = launch(aws)
    ec2.terminate_instances(InstanceIds=[other])
    assert states(probe, other) == ["pending", "running", "shutting-down", "terminated"]


def test_events_are_lost_delivered_twice_and_late(probe: Stack) -> None:
    aws = probe.aws
    probe.create(watcher())
    ec2, control = aws.client("ec2"), aws.control
    control.event_fault("lose", times=1)
    box = launch(aws)
    assert states(probe, box) == ["running"]
    control.event_fault("twice", times=1)
    ec2.stop_instances(InstanceIds=[box])
    assert states(probe, box) == ["running", "stopping", "stopping", "stopped"]
    control.event_fault("late")
    control.advance(10)
    ec2.start_instances(InstanceIds=[box])
    assert states(probe, box)[4:] == []
    control.event_fault(None)
    control.deliver_events()
    assert states(probe, box)[4:] == ["pending", "running"]
    control.event_fault("late", delay=300)
    control.advance(10)
    ec2.terminate_instances(InstanceIds=[box])
    control.advance(200)
    assert states(probe, box)[6:] == []
    control.advance(200)
    assert states(probe, box)[6:] == ["shutting-down", "terminated"]


@pytest.mark.skipif(why_not() is not None, reason=f"machines cannot boot here: {why_not()}")
def test_machine_that_powers_itself_off_sends_events_and_says_so() -> None:
    script = base64.b64encode(b"#!/bin/bash\nsystemctl poweroff\n").decode()
    with LocalAws(booted=True) as aws:
        aws.control.set_quota(G_QUOTA, 64)
        stack = Stack(aws, "off")
        stack.create({**network(), **watcher(), "Box": instance(UserData=script)})
        box = stack.physical_id("Box")
        aws.client("ec2").get_waiter("instance_stopped").wait(
            InstanceIds=[box], WaiterConfig={"Delay": 1, "MaxAttempts": 120}
        )
        assert states(stack, box) == LIFE
        assert described(aws, box)["StateReason"]["Code"] == "Client.InstanceInitiatedShutdown"
        # EC2's text of the transition is not established; ours is empty
        assert described(aws, box).get("StateTransitionReason", "") == ""


def test_rule_that_the_function_does_not_admit_invokes_nothing(probe: Stack) -> None:
    resources = watcher()
    other = f"arn:aws:events:us-east-1:{probe.aws.account}:rule/another"
    resources["Permission"]["Properties"]["SourceArn"] = other
    probe.create(resources)
    launch(probe.aws)
    assert heard(probe) == []


@pytest.mark.parametrize("attempts", [3, 1])
def test_function_that_fails_is_invoked_again_after_one_and_two_minutes(
    probe: Stack, attempts: int
) -> None:
    resources = watcher()
    if attempts == 1:
        resources["Config"] = {
            "Type": "AWS::Lambda::EventInvokeConfig",
            "Properties": {
                "FunctionName": {"Ref": "Function"},
                "Qualifier": "$LATEST",
                "MaximumRetryAttempts": 0,
            },
        }
    probe.create(resources)
    name, control = probe.physical_id("Function"), probe.aws.control
    request = {"FunctionName": name, "InvocationType": "Event", "Payload": b'{"fail": true}'}
    probe.aws.client("lambda").invoke(**request)
    numbers = [len(heard(probe))]
    for seconds in (50, 20, 100, 30, 7200):
        control.advance(seconds)
        numbers.append(len(heard(probe)))
    assert numbers == ([1, 1, 2, 2, 3, 3] if attempts == 3 else [1] * 6)


def test_function_has_the_moved_clock(probe: Stack) -> None:
    probe.create(watcher())

    def ahead() -> float:
        answer = probe.aws.client("lambda").invoke(
            FunctionName=probe.physical_id("Function"), Payload=b'{"clock": true}'
        )
        told = dt.datetime.fromisoformat(json.loads(answer["Payload"].read()))
        return told.timestamp() - probe.aws.control.clock()

    assert abs(ahead()) < 60
    # The same process as before: it is asked again after each move
    probe.aws.control.advance(86400)
    assert abs(ahead()) < 60


def test_table_topic_and_mails_with_the_rights_of_the_role(probe: Stack) -> None:
    aws = probe.aws
    table = {
        "Type": "AWS::DynamoDB::Table",
        "Properties": {
            "AttributeDefinitions": [{"AttributeName": "id", "AttributeType": "S"}],
            "KeySchema": [{"AttributeName": "id", "KeyType": "HASH"}],
            "BillingMode": "PAY_PER_REQUEST",
            "PointInTimeRecoverySpecification": {"PointInTimeRecoveryEnabled": True},
            "TimeToLiveSpecification": {"AttributeName": "ends", "Enabled": True},
        },
    }
    key = {"Fn::Sub": "arn:aws:kms:${AWS::Region}:${AWS::AccountId}:alias/aws/sns"}
    trusted = {"Effect": "Allow", "Action": "sns:Publish", "Resource": {"Ref": "Topic"}}
    trusted["Principal"] = {"Service": "events.amazonaws.com"}
    mail = {"Protocol": "email", "Endpoint": "a@example.com", "TopicArn": {"Ref": "Topic"}}
    policy = {"Topics": [{"Ref": "Topic"}], "PolicyDocument": {"Statement": [trusted]}}
    resources = {
        **watcher(Action=["dynamodb:PutItem"]),
        "Table": table,
        "Topic": {"Type": "AWS::SNS::Topic", "Properties": {"KmsMasterKeyId": key}},
        "Policy": {"Type": "AWS::SNS::TopicPolicy", "Properties": policy},
        "Mail": {"Type": "AWS::SNS::Subscription", "Properties": mail},
    }
    assert probe.create(resources) == "CREATE_COMPLETE"
    name, topic = probe.physical_id("Table"), probe.physical_id("Topic")
    dynamodb, sns, control = aws.client("dynamodb"), aws.client("sns"), aws.control
    backups = dynamodb.describe_continuous_backups(TableName=name)["ContinuousBackupsDescription"]
    assert backups["PointInTimeRecoveryDescription"]["PointInTimeRecoveryStatus"] == "ENABLED"
    life = dynamodb.describe_time_to_live(TableName=name)["TimeToLiveDescription"]
    assert (life["TimeToLiveStatus"], life["AttributeName"]) == ("ENABLED", "ends")
    described_table = dynamodb.describe_table(TableName=name)["Table"]
    assert described_table["BillingModeSummary"]["BillingMode"] == "PAY_PER_REQUEST"

    def invoke(**event: str) -> str:
        answer = aws.client("lambda").invoke(
            FunctionName=probe.physical_id("Function"), Payload=json.dumps(event).encode()
        )
        return str(answer["Payload"].read())

    assert "null" in invoke(put=name)
    assert dynamodb.scan(TableName=name)["Count"] == 1
    refused = invoke(publish=topic)
    assert "AuthorizationError" in refused and "sns:Publish" in refused

    resources["Role"] = role(Action=[*WRITES_LOG, "sns:Publish"], Resource="*")
    assert probe.update(resources) == "UPDATE_COMPLETE"
    assert "null" in invoke(publish=topic)
    assert "AccessDenied" in invoke(put=name)
    (row,) = sns.list_subscriptions_by_topic(TopicArn=topic)["Subscriptions"]
    assert row["SubscriptionArn"] == "PendingConfirmation"
    mails = [one for one in control.mails() if one.topic == topic]
    assert mails == []
    control.confirm("a@example.com")
    with pytest.raises(ValueError, match="pending"):
        control.confirm("a@example.com")
    assert "null" in invoke(publish=topic)
    (mail_sent,) = [one for one in control.mails() if one.topic == topic]
    told = (mail_sent.address, mail_sent.subject, mail_sent.message)
    assert told == ("a@example.com", "Stopped", "why")
    kinds = {item.kind for item in aws.inventory()}
    assert {"table", "topic", "subscription", "rule"} <= kinds
    assert probe.delete() == "DELETE_COMPLETE"
    assert not {"table", "topic", "subscription", "rule"} & {i.kind for i in aws.inventory()}


@pytest.mark.parametrize("kind", ["deny", "throttle"])
@pytest.mark.parametrize(
    ("service", "operation", "call"),
    [
        ("scheduler", "ListSchedules", "list_schedules"),
        ("dynamodb", "ListTables", "list_tables"),
        ("sns", "ListTopics", "list_topics"),
        ("events", "ListRules", "list_rules"),
    ],
)
def test_calls_fail_as_planned(
    moved: LocalAws, service: str, operation: str, call: str, kind: Any
) -> None:
    moved.control.fault(f"{service}:{operation}", kind, times=10)
    expected = "AccessDenied|AuthorizationError" if kind == "deny" else "Throttl"
    with pytest.raises(ClientError, match=expected):
        getattr(moved.client(service), call)()
    moved.control.fault(f"{service}:{operation}", None)
    getattr(moved.client(service), call)()
