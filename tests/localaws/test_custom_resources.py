"""What CloudFormation sends to a custom resource, and what it makes of the answers."""

from __future__ import annotations

import json
from typing import Any

import pytest

from localaws import LocalAws
from tests.support.probe_stack import Stack, role, zipped

WRITES_LOG = ["logs:CreateLogStream", "logs:PutLogEvents"]
HANDLER = """
import json, os, urllib.request
import boto3

def on_event(event, context):
    wanted = event["ResourceProperties"]
    stack = boto3.client("cloudformation").describe_stacks(StackName=event["StackId"])["Stacks"][0]
    print("EVENT " + json.dumps({
        "type": event["RequestType"], "mark": wanted.get("Mark"), "number": wanted.get("Number"),
        "old": event.get("OldResourceProperties", {}).get("Mark"),
        "id": event.get("PhysicalResourceId"), "status": stack["StackStatus"],
    }))
    mark = wanted.get("Mark", "")
    if mark == "silent" and event["RequestType"] != "Delete":
        return
    failed = mark.startswith("fail") and event["RequestType"] != "Delete"
    answer = {
        "Status": "FAILED" if failed else "SUCCESS", "Reason": "mark is " + mark,
        "StackId": event["StackId"], "RequestId": event["RequestId"],
        "LogicalResourceId": event["LogicalResourceId"],
        "PhysicalResourceId": wanted.get("Id") or event.get("PhysicalResourceId") or "made",
        "Data": {"Answer": mark},
    }
    request = urllib.request.Request(event["ResponseURL"], json.dumps(answer).encode(),
                                     headers={"Content-Type": ""}, method="PUT")
    urllib.request.urlopen(request).read()
"""


@pytest.fixture(scope="session")
def packaged(server: LocalAws, code_bucket: str) -> dict[str, str]:
    body = zipped(handlers____init__="", handlers__probe=HANDLER)
    server.client("s3").put_object(Bucket=code_bucket, Key="probe.zip", Body=body)
    return {"S3Bucket": code_bucket, "S3Key": "probe.zip"}


class Probe:
    """A stack with one custom resource and what its handler was told."""

    def __init__(self, stack: Stack, code: dict[str, str]) -> None:
        self.stack = stack
        self._code = code
        self._seen = 0

    def resources(self, **properties: Any) -> dict[str, Any]:
        token = {"Fn::GetAtt": ["Function", "Arn"]}
        return {
            "Role": role(Action=["cloudformation:DescribeStacks", *WRITES_LOG], Resource="*"),
            "Log": {"Type": "AWS::Logs::LogGroup", "Properties": {"RetentionInDays": 1}},
            "Function": {
                "Type": "AWS::Lambda::Function",
                "Properties": {
                    "Code": self._code,
                    "Handler": "handlers.probe.on_event",
                    "Runtime": "python3.13",
                    "Role": {"Fn::GetAtt": ["Role", "Arn"]},
                    "LoggingConfig": {"LogGroup": {"Ref": "Log"}},
                    "Timeout": 30,
                },
            },
            "Thing": {
                "Type": "Custom::Thing",
                "Properties": {"ServiceToken": token, **properties},
            },
        }

    def told(self) -> list[dict[str, Any]]:
        """The events since the last time this was asked."""
        lines = self.stack.aws.log_lines(self.group)
        events = [json.loads(x.removeprefix("EVENT ")) for x in lines if x.startswith("EVENT ")]
        new, self._seen = events[self._seen :], len(events)
        return new

    @property
    def group(self) -> str:
        return self.stack.physical_id("Log")


@pytest.fixture
def probe(stack: Stack, packaged: dict[str, str]) -> Probe:
    return Probe(stack, packaged)


def brief(events: list[dict[str, Any]]) -> list[tuple[Any, ...]]:
    return [(e["type"], e["mark"], e["old"], e["id"]) for e in events]


def test_creates_updates_only_when_a_property_differs_and_deletes(probe: Probe) -> None:
    output = {"Answer": {"Value": {"Fn::GetAtt": ["Thing", "Answer"]}}}
    assert probe.stack.create(probe.resources(Mark="a", Number=4), output) == "CREATE_COMPLETE"
    assert probe.stack.outputs() == {"Answer": "a"}
    told = probe.told()
    assert brief(told) == [("Create", "a", None, None)]
    assert told[0]["number"] == "4", "properties arrive as text"

    extra = {
        "Note": {"Type": "AWS::SSM::Parameter", "Properties": {"Type": "String", "Value": "1"}}
    }
    probe.stack.update({**probe.resources(Mark="a", Number=4), **extra}, output)
    assert probe.told() == []
    assert not [e for e in probe.stack.events() if e[0] == "Thing"]

    probe.stack.update(probe.resources(Mark="b", Number=4), output)
    assert brief(probe.told()) == [("Update", "b", "a", "made")]
    assert probe.stack.outputs() == {"Answer": "b"}


def test_failed_update_is_rolled_back_with_the_old_properties(probe: Probe) -> None:
    probe.stack.create(probe.resources(Mark="a"))
    probe.told()
    assert probe.stack.update(probe.resources(Mark="fail")) == "UPDATE_ROLLBACK_COMPLETE"
    told = probe.told()
    assert brief(told) == [("Update", "fail", "a", "made"), ("Update", "a", "fail", "made")]
    assert [e["status"] for e in told] == ["UPDATE_IN_PROGRESS", "UPDATE_ROLLBACK_IN_PROGRESS"]
    assert "Message returned: mark is fail (RequestId: " in probe.stack.reason("Thing")


def test_updated_resource_is_sent_back_when_a_later_one_fails(probe: Probe) -> None:
    probe.stack.create(probe.resources(Mark="a"))
    probe.told()
    later = {"Late": dict(probe.resources(Mark="fail")["Thing"], DependsOn="Thing")}
    status = probe.stack.update({**probe.resources(Mark="b"), **later})
    assert status == "UPDATE_ROLLBACK_COMPLETE"
    told = probe.told()
    assert brief(told) == [
        ("Update", "b", "a", "made"),
        ("Create", "fail", None, None),
        ("Update", "a", "b", "made"),
        ("Delete", "fail", None, "made"),
    ]
    assert told[2]["status"] == "UPDATE_ROLLBACK_IN_PROGRESS"
    assert told[3]["status"] == "UPDATE_ROLLBACK_COMPLETE_CLEANUP_IN_PROGRESS"


def test_failed_create_is_told_to_delete_in_the_rollback(probe: Probe, aws: LocalAws) -> None:
    resources = probe.resources(Mark="fail")
    resources["Log"] = {"Type": "AWS::Logs::LogGroup", "DeletionPolicy": "Retain"}
    resources["Log"]["Properties"] = {"LogGroupName": probe.stack.name}
    assert probe.stack.create(resources) == "ROLLBACK_COMPLETE"
    lines = aws.log_lines(probe.stack.name)
    told = [json.loads(x.removeprefix("EVENT ")) for x in lines if x.startswith("EVENT ")]
    assert [(e["type"], e["status"]) for e in told] == [
        ("Create", "CREATE_IN_PROGRESS"),
        ("Delete", "ROLLBACK_IN_PROGRESS"),
    ]
    assert told[1]["id"] == "made"
    aws.client("logs").delete_log_group(logGroupName=probe.stack.name)


def test_changed_physical_id_deletes_the_old_one_in_the_clean_up(probe: Probe) -> None:
    probe.stack.create(probe.resources(Mark="a", Id="one"))
    probe.told()
    assert probe.stack.update(probe.resources(Mark="b", Id="two")) == "UPDATE_COMPLETE"
    told = probe.told()
    assert brief(told) == [("Update", "b", "a", "one"), ("Delete", "a", None, "one")]
    assert told[1]["status"] == "UPDATE_COMPLETE_CLEANUP_IN_PROGRESS"


def test_no_answer_fails_after_the_service_timeout(probe: Probe, aws: LocalAws) -> None:
    aws.control.wait_scale(0.01)
    resources = probe.resources(Mark="silent", ServiceTimeout="60")
    assert probe.stack.create(resources) == "ROLLBACK_COMPLETE"
    assert "did not receive a response" in probe.stack.reason("Thing")


def test_service_token_cannot_change(probe: Probe) -> None:
    resources = probe.resources(Mark="a")
    probe.stack.create(resources)
    resources["Second"] = resources["Function"]
    resources["Thing"]["Properties"]["ServiceToken"] = {"Fn::GetAtt": ["Second", "Arn"]}
    assert probe.stack.update(resources) == "UPDATE_ROLLBACK_COMPLETE"
    assert probe.stack.reason("Thing") == "Modifying service token is not allowed."
