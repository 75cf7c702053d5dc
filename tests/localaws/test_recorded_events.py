"""The embedded AWS against events of stacks that real AWS showed others, each with its source.

`recordings/events.json` has what was done and, by logical id, what AWS showed: status, reason and
whether there was a physical id. `*` stands for any reason, null for none, and a part in angle
brackets for any text. `events` is the whole sequence of an operation, `last` its end, `failure` the
reason of a resource that failed, `order` the sequence of all resources.
"""

from __future__ import annotations

import json
import re
import time
import urllib.request
from collections.abc import Callable
from itertools import groupby
from pathlib import Path
from typing import Any

import pytest

from gpustation.catalog.capacity import says_capacity_is_missing
from localaws import LocalAws
from tests.support.ec2_probe import client as ec2_client
from tests.support.ec2_probe import launch
from tests.support.probe_stack import G_QUOTA, Stack, instance, network, role

FILE = Path(__file__).parent / "recordings" / "events.json"
RECORDINGS: list[dict[str, Any]] = json.loads(FILE.read_text(encoding="utf-8"))
Event = dict[str, Any]
REASON = "no more of these"
INITIATED = "Resource creation Initiated"
CLEANUP = "UPDATE_COMPLETE_CLEANUP_IN_PROGRESS"
FAILING = """
import json, urllib.request
def on_event(event, context):
    failed = event["RequestType"] != "Delete"
    if failed and event["ResourceProperties"]["Mark"] == "silent":
        return
    answer = {
        "Status": "FAILED" if failed else "SUCCESS", "Reason": "it did not work",
        "PhysicalResourceId": "made", "StackId": event["StackId"],
        "RequestId": event["RequestId"], "LogicalResourceId": event["LogicalResourceId"],
    }
    request = urllib.request.Request(event["ResponseURL"], json.dumps(answer).encode(),
                                     headers={"Content-Type": ""}, method="PUT")
    urllib.request.urlopen(request).read()
"""
Action = Callable[[Stack], None]
ACTIONS: dict[str, Action] = {}


def does(*recordings: str) -> Callable[[Action], Action]:
    def note(action: Action) -> Action:
        ACTIONS.update(dict.fromkeys(recordings, action))
        return action

    return note


def shown(stack: Stack) -> list[Event]:
    """Every event of the stack, oldest first."""
    answer = stack.aws.client("cloudformation").describe_stack_events(StackName=stack.stack_id)
    return list(reversed(answer["StackEvents"]))


def logical(event: Event) -> str:
    whole = event["PhysicalResourceId"] == event["StackId"]
    return "Stack" if whole else str(event["LogicalResourceId"])


def matches(recorded: str | None, reason: str) -> bool:
    if recorded == "*":
        return True
    parts = re.split(r"<[a-z ]+>", recorded or "")
    return bool(re.fullmatch(".*".join(map(re.escape, parts)), reason.strip(), re.DOTALL))


def is_like(recorded: list[Any], event: Event) -> bool:
    status, reason, *has_id = recorded
    if has_id and bool(event["PhysicalResourceId"]) != has_id[0]:
        return False
    return status == event["ResourceStatus"] and matches(
        reason, event.get("ResourceStatusReason", "")
    )


def brief(events: list[Event]) -> list[tuple[str, str, str]]:
    return [
        (e["ResourceStatus"], e.get("ResourceStatusReason", ""), e["PhysicalResourceId"])
        for e in events
    ]


def _row(recording: dict[str, Any]) -> Any:
    """A recording from which the embedded AWS differs must go on to differ, or lose its reason."""
    known = recording.get("differs")
    marks = [pytest.mark.xfail(strict=True, reason=known)] if known else []
    return pytest.param(recording, id=recording["id"], marks=marks)


@pytest.mark.parametrize("recording", list(map(_row, RECORDINGS)))
def test_events_are_the_recorded_ones(
    recording: dict[str, Any], stack: Stack, aws: LocalAws
) -> None:
    ACTIONS[recording["id"]](stack)
    events = shown(stack)
    by_name: dict[str, list[Event]] = {}
    for event in events:
        by_name.setdefault(logical(event), []).append(event)
    for name, rows in recording.get("events", {}).items():
        mine = by_name[name]
        if rows[0][0] in ("UPDATE_IN_PROGRESS", "DELETE_IN_PROGRESS", "DELETE_SKIPPED"):
            first = [event["ResourceStatus"] for event in mine].index(rows[0][0])
            mine = mine[first : first + len(rows)]
        assert len(mine) == len(rows), brief(mine)
        assert all(map(is_like, rows, mine)), brief(mine)
    for name, row in recording.get("last", {}).items():
        assert is_like(row, by_name[name][-1]), brief(by_name[name])
    for name, reason in recording.get("failure", {}).items():
        assert matches(reason, stack.reason(name)), stack.reason(name)
    for name, recorded in recording.get("physical", {}).items():
        expected = recorded.replace("<stack id>", stack.stack_id)
        assert by_name[name][-1]["PhysicalResourceId"] == expected
    if "order" in recording:
        left = [
            (logical(event), event["ResourceStatus"])
            for event in events
            if event["ResourceStatus"] not in ("REVIEW_IN_PROGRESS", CLEANUP)
            and event.get("ResourceStatusReason") != INITIATED
        ]
        assert [one for one, _ in groupby(left)] == [tuple(row) for row in recording["order"]]
    for member, value in recording.get("describes", {}).items():
        named = {"StackName": stack.name, "ChangeSetName": "empty"}
        described = aws.client("cloudformation").describe_change_set(**named)
        assert described[member] == value


@pytest.mark.parametrize(("quota", "room"), [(0, True), (64, False)], ids=["quota", "capacity"])
def test_reason_of_a_machine_without_room_is_understood(
    stack: Stack, aws: LocalAws, quota: int, room: bool
) -> None:
    """It has no code of EC2's, so that `gpustation up` must know its words."""
    aws.control.set_quota(G_QUOTA, quota)
    aws.control.set_capacity("g4dn.xlarge", room)
    stack.create({**network(), "Box": instance()})
    reason = stack.reason("Box")
    assert re.search(r"\(Service: Ec2, Status Code: [45]00, Request ID: \S+\)", reason)
    assert says_capacity_is_missing(reason)


def test_every_recording_has_its_source_and_its_action() -> None:
    assert sorted(ACTIONS) == sorted(row["id"] for row in RECORDINGS)
    for row in RECORDINGS:
        assert re.match(r"[\w.-]+/[\w.-]+(#\d+| .+)", row["source"]), row
        assert re.fullmatch(r"20\d\d-\d\d-\d\d", row["date"]), row


def topic(name: str, **more: Any) -> dict[str, Any]:
    return {"Type": "AWS::SNS::Topic", "Properties": {"TopicName": name, **more}}


def note(value: Any = "1", **more: Any) -> dict[str, Any]:
    properties = {"Type": "String", "Value": value}
    return {"Type": "AWS::SSM::Parameter", "Properties": properties, **more}


def wait(**more: Any) -> dict[str, Any]:
    properties = {"Handle": {"Ref": "Handle"}, "Timeout": "600"}
    return {
        "Handle": {"Type": "AWS::CloudFormation::WaitConditionHandle"},
        "Wait": {"Type": "AWS::CloudFormation::WaitCondition", "Properties": properties, **more},
    }


def custom(mark: str) -> dict[str, Any]:
    return {
        "Role": role(),  # it may write no log, which would outlive the stack
        "Function": {
            "Type": "AWS::Lambda::Function",
            "Properties": {
                "Code": {"ZipFile": FAILING},
                "Handler": "index.on_event",
                "Runtime": "python3.13",
                "Role": {"Fn::GetAtt": ["Role", "Arn"]},
            },
        },
        "Custom": {
            "Type": "Custom::Thing",
            "Properties": {
                "ServiceToken": {"Fn::GetAtt": ["Function", "Arn"]},
                "ServiceTimeout": "600",
                "Mark": mark,
            },
        },
    }


def by_change_set(stack: Stack, resources: dict[str, Any], kind: str = "CREATE") -> None:
    cloudformation = stack.aws.client("cloudformation")
    made = cloudformation.create_change_set(
        StackName=stack.name,
        ChangeSetName="probe",
        ChangeSetType=kind,
        TemplateBody=json.dumps({"Resources": resources}),
    )
    stack.stack_id = made["StackId"]
    cloudformation.execute_change_set(ChangeSetName=made["Id"])
    stack.settled()


@does("created")
def _(stack: Stack) -> None:
    by_change_set(stack, {"Topic": topic(stack.name)})


@does("updated")
def _(stack: Stack) -> None:
    stack.create({"Topic": topic(stack.name, DisplayName="1")})
    stack.update({"Topic": topic(stack.name, DisplayName="2")})


@does("replaced")
def _(stack: Stack) -> None:
    def named(suffix: str) -> dict[str, Any]:
        shown_name = {"Fn::GetAtt": ["Topic", "TopicName"]}
        other = topic(f"{stack.name}-other", DisplayName=shown_name)
        return {"Topic": topic(f"{stack.name}-{suffix}"), "Other": other}

    stack.create(named("1"))
    stack.update(named("2"))


CHAIN = {
    "Dummy": note("dummy"),
    "A": note("root", DependsOn="Dummy"),
    "B": note({"Ref": "A"}),
    "C": note({"Ref": "B"}),
}


@does("order-C")
def _(stack: Stack) -> None:
    removed(stack, "C")


@does("order-B-C")
def _(stack: Stack) -> None:
    removed(stack, "B", "C")


@does("order-A-B-C")
def _(stack: Stack) -> None:
    removed(stack, "A", "B", "C")


def removed(stack: Stack, *names: str) -> None:
    stack.create(CHAIN)
    stack.update({name: one for name, one in CHAIN.items() if name not in names})
    stack.delete()


@does("retained")
def _(stack: Stack) -> None:
    stack.create({"Note": note(DeletionPolicy="Retain")})
    name = stack.physical_id("Note")
    stack.delete()
    stack.aws.client("ssm").delete_parameter(Name=name)


@does("wait-times-out")
def _(stack: Stack) -> None:
    stack.aws.control.wait_scale(0.0005)
    stack.create(wait())


@does("wait-fails")
def _(stack: Stack) -> None:
    body = json.dumps({"Resources": wait()})
    cloudformation = stack.aws.client("cloudformation")
    stack.stack_id = cloudformation.create_stack(StackName=stack.name, TemplateBody=body)["StackId"]
    while (url := handle(stack)) is None:
        time.sleep(0.02)
    signal = {"Status": "FAILURE", "UniqueId": "i-01b63746b6787182e", "Data": ""}
    signal["Reason"] = "Configuration failed."
    request = urllib.request.Request(
        url, json.dumps(signal).encode(), {"Content-Type": ""}, method="PUT"
    )
    urllib.request.urlopen(request).read()
    stack.settled()


def handle(stack: Stack) -> str | None:
    """Address of the handle, once it has one."""
    names = [e["PhysicalResourceId"] for e in shown(stack) if e["LogicalResourceId"] == "Handle"]
    return next((name for name in names if name), None)


@does("kept-after-failure")
def _(stack: Stack) -> None:
    stack.aws.control.wait_scale(0.0005)
    stack.deploy("create_stack", {"Resources": wait()}, DisableRollback=True)


@does("update-fails")
def _(stack: Stack) -> None:
    stack.create({"Note": note()})
    stack.aws.control.resource_fault("update", "Note", REASON, times=1)
    stack.update({"Note": note("2")})


@does("clean-up-fails")
def _(stack: Stack) -> None:
    stack.create({"Note": note(), "Other": note()})
    stack.aws.control.resource_fault("delete", "Note", REASON)
    stack.update({"Other": note()})
    stack.aws.control.resource_fault("delete", "Note", None)


@does("rollback-fails")
def _(stack: Stack) -> None:
    control = stack.aws.control
    control.resource_fault("create", "Subnet", REASON)
    control.resource_fault("delete", "Vpc", REASON)
    stack.create(network())
    vpc = stack.physical_id("Vpc")
    stack.delete()
    retain(stack, "Vpc")
    stack.aws.client("ec2").delete_vpc(VpcId=vpc)


def retain(stack: Stack, *names: str) -> None:
    cloudformation = stack.aws.client("cloudformation")
    cloudformation.delete_stack(StackName=stack.stack_id, RetainResources=[*names])
    stack.settled()


@does("custom-fails")
def _(stack: Stack) -> None:
    stack.create(custom("failing"))


@does("custom-silent")
def _(stack: Stack) -> None:
    stack.aws.control.wait_scale(0.002)
    stack.create(custom("silent"))


@does("instance-fails")
def _(stack: Stack) -> None:
    stack.create({**network(), "Box": instance(ImageId="ami-0dddddddddddddddd")})


@does("deletion-retried", "deletion-goes-on")
def _(stack: Stack) -> None:
    properties = {"GroupDescription": "probe", "VpcId": {"Ref": "Vpc"}}
    group = {"Type": "AWS::EC2::SecurityGroup", "Properties": properties}
    stack.create({**network(), "Group": group})
    ec2, name = ec2_client(stack.aws), stack.physical_id("Group")
    box = launch(ec2, SecurityGroupIds=[name])["InstanceId"]
    stack.delete()
    ec2.terminate_instances(InstanceIds=[box])
    ec2.delete_security_group(GroupId=name)
    retain(stack, "Group")


@does("cancelled-together")
def _(stack: Stack) -> None:
    stack.aws.control.wait_scale(0.0005)
    stack.aws.control.resource_fault("create", "Note", REASON)
    stack.create({"Note": note(), **wait()})


@does("change-set-empty")
def _(stack: Stack) -> None:
    body = {"Resources": {"Note": note()}}
    stack.deploy("create_stack", body)
    stack.aws.client("cloudformation").create_change_set(
        StackName=stack.name, ChangeSetName="empty", TemplateBody=json.dumps(body)
    )
