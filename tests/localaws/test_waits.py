"""Wait conditions: data, failure, time-out, and that they cannot change."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from itertools import pairwise
from typing import Any

import pytest

from localaws import LocalAws
from tests.support.probe_stack import Stack, instance, network

SCRIPT = """#cloud-boothook
#!/bin/bash
send() {
  curl -fsS -X PUT -H 'Content-Type:' --data-binary "$1" "$url"
}
url='%s'
"""


def waiting(body: str, timeout: str = "20", **more: Any) -> dict[str, Any]:
    before, after = (SCRIPT + body).split("%s")
    data = {"Fn::Base64": {"Fn::Join": ["", [before, {"Ref": "Handle"}, after]]}}
    properties = {"Handle": {"Ref": "Handle"}, "Timeout": timeout, **more}
    return {
        **network(),
        "Handle": {"Type": "AWS::CloudFormation::WaitConditionHandle"},
        "Box": instance(UserData=data),
        "Wait": {
            "Type": "AWS::CloudFormation::WaitCondition",
            "DependsOn": "Box",
            "Properties": properties,
        },
    }


OUTPUT = {"Data": {"Value": {"Fn::GetAtt": ["Wait", "Data"]}}}
SUCCESS = """send '{"Status":"SUCCESS","UniqueId":"verify","Reason":"ok","Data":"all good"}'"""


def test_data_is_a_map_by_unique_id_and_signals_are_no_events(stack: Stack) -> None:
    assert stack.create(waiting(SUCCESS), OUTPUT) == "CREATE_COMPLETE"
    assert json.loads(stack.outputs()["Data"]) == {"verify": "all good"}
    assert not [e for e in stack.events() if "signal" in e[2]]
    assert [s for i, s, _ in stack.events() if i == "Wait"] == [
        "CREATE_IN_PROGRESS",
        "CREATE_IN_PROGRESS",
        "CREATE_COMPLETE",
    ]


def test_no_two_events_have_the_same_time(stack: Stack, aws: LocalAws) -> None:
    stack.create(network())
    answer = aws.client("cloudformation").describe_stack_events(StackName=stack.name)
    times = [event["Timestamp"] for event in reversed(answer["StackEvents"])]
    assert len(times) >= 6
    assert all(earlier < later for earlier, later in pairwise(times))


def test_fails_when_the_machine_reports_a_failure(stack: Stack) -> None:
    body = """send '{"Status":"FAILURE","UniqueId":"driver","Reason":"no module","Data":""}'"""
    assert stack.create(waiting(body)) == "ROLLBACK_COMPLETE"
    said = "WaitCondition received failed message: 'no module' for uniqueId: driver"
    assert stack.reason("Wait") == said


def test_fails_when_the_machine_never_reports(stack: Stack, aws: LocalAws) -> None:
    aws.control.machine_silent(True)
    aws.control.wait_scale(0.001)
    assert stack.create(waiting(SUCCESS, timeout="1800")) == "ROLLBACK_COMPLETE"
    said = "WaitCondition timed out. Received 0 conditions when expecting 1"
    assert stack.reason("Wait") == said


def test_update_without_change_does_not_wait_again(stack: Stack) -> None:
    stack.create(waiting(SUCCESS), OUTPUT)
    note = {"Type": "AWS::SSM::Parameter", "Properties": {"Type": "String", "Value": "1"}}
    assert stack.update({**waiting(SUCCESS), "Note": note}, OUTPUT) == "UPDATE_COMPLETE"
    assert json.loads(stack.outputs()["Data"]) == {"verify": "all good"}
    assert [e[:2] for e in stack.events()] == [
        (stack.name, "UPDATE_IN_PROGRESS"),
        ("Note", "CREATE_IN_PROGRESS"),
        ("Note", "CREATE_IN_PROGRESS"),
        ("Note", "CREATE_COMPLETE"),
        (stack.name, "UPDATE_COMPLETE_CLEANUP_IN_PROGRESS"),
        (stack.name, "UPDATE_COMPLETE"),
    ]


@pytest.mark.parametrize("change", [{"timeout": "21"}, {"Count": "2"}], ids=["Timeout", "Count"])
def test_fails_when_a_wait_condition_changes(stack: Stack, change: dict[str, Any]) -> None:
    stack.create(waiting(SUCCESS))
    assert stack.update(waiting(SUCCESS, **change)) == "UPDATE_ROLLBACK_COMPLETE"
    assert "AWS::CloudFormation::WaitCondition is not supported" in stack.reason("Wait")


def test_signal_insists_on_an_empty_content_type(stack: Stack) -> None:
    stack.create(waiting(SUCCESS))
    request = urllib.request.Request(
        stack.physical_id("Handle"), b"{}", {"Content-Type": "application/json"}, method="PUT"
    )
    with pytest.raises(urllib.error.HTTPError, match="403"):
        urllib.request.urlopen(request)
