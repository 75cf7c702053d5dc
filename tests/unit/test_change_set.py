"""The change set is asked for as the CDK CLI would, read to its last page, and gone again."""

from __future__ import annotations

import json
import os
import re
import signal
from typing import Any

import pytest
from botocore.exceptions import ClientError
from botocore.stub import ANY

from gpustation.console.interrupts import SIGNALS, Interrupted
from gpustation.plan import change_set
from gpustation.plan.assembly import SynthesizedStack
from gpustation.plan.change_set import ChangeSetError, Deployed, find_stack, read_changes
from tests.unit.stubbed_aws import STACK_ID, StubbedAws

ROLE = "arn:aws:iam::123456789012:role/execution"
STACK = SynthesizedStack(
    name="GpuWorkstation",
    template={"Parameters": {"BootstrapVersion": {}, "Another": {}}, "Resources": {}},
    tags={"team": "d2l"},
    deploy_role="",
    execution_role=ROLE,
)
DEPLOYED = Deployed("UPDATE_COMPLETE", "", frozenset({"BootstrapVersion", "Gone"}))
NAMES = {"StackName": "GpuWorkstation", "ChangeSetName": ANY}
NO_CHANGES = (
    "The submitted information didn't contain changes. Submit different information to create a "
    "change set."
)


def made(aws: StubbedAws, kind: str, parameters: list[str]) -> None:
    expected = {
        **NAMES,
        "ChangeSetType": kind,
        "Description": ANY,
        "TemplateBody": json.dumps(STACK.template, separators=(",", ":")),
        "Parameters": [{"ParameterKey": name, "UsePreviousValue": True} for name in parameters],
        "Tags": [{"Key": "team", "Value": "d2l"}],
        "Capabilities": ANY,
        "RoleARN": ROLE,
    }
    aws.answer("cloudformation", "create_change_set", {"StackId": STACK_ID}, expected)


def described(aws: StubbedAws, status: str, *names: str, token: str = "", reason: str = "") -> None:
    page: dict[str, Any] = {
        "Status": status,
        "StatusReason": reason,
        "Changes": [
            {
                "Type": "Resource",
                "ResourceChange": {
                    "Action": "Add",
                    "LogicalResourceId": name,
                    "ResourceType": "AWS::EC2::VPC",
                },
            }
            for name in names
        ],
    }
    aws.answer(
        "cloudformation", "describe_change_set", page | ({"NextToken": token} if token else {})
    )


def deleted(aws: StubbedAws) -> None:
    aws.answer("cloudformation", "delete_change_set", {}, NAMES)


def stack_is(aws: StubbedAws, status: str) -> None:
    stack = {"StackName": "GpuWorkstation", "StackStatus": status, "CreationTime": "2026-09-30"}
    aws.answer("cloudformation", "describe_stacks", {"Stacks": [stack]})


def stack_is_gone(aws: StubbedAws) -> None:
    aws.stubbers["cloudformation"].add_client_error(
        "describe_stacks", "ValidationError", "Stack with id GpuWorkstation does not exist"
    )


def ask(aws: StubbedAws, deployed: Deployed | None) -> list[str] | None:
    changes = read_changes(aws.clients["cloudformation"], STACK, deployed, poll_seconds=0)
    return None if changes is None else [one["LogicalResourceId"] for one in changes]


def test_waits_and_reads_every_page(aws: StubbedAws) -> None:
    made(aws, "UPDATE", ["BootstrapVersion"])
    described(aws, "CREATE_PENDING")
    described(aws, "CREATE_IN_PROGRESS")
    described(aws, "CREATE_COMPLETE", "A", "B", token="next")
    described(aws, "CREATE_COMPLETE", "C")
    deleted(aws)
    assert ask(aws, DEPLOYED) == ["A", "B", "C"]
    aws.assert_all_asked()


@pytest.mark.parametrize("reason", [NO_CHANGES, "No updates are to be performed."])
def test_no_change_is_a_change_set_that_failed(aws: StubbedAws, reason: str) -> None:
    made(aws, "UPDATE", ["BootstrapVersion"])
    described(aws, "FAILED", reason=reason)
    deleted(aws)
    assert ask(aws, DEPLOYED) is None
    aws.assert_all_asked()


def test_only_outputs_change(aws: StubbedAws) -> None:
    made(aws, "UPDATE", ["BootstrapVersion"])
    described(aws, "CREATE_COMPLETE")
    deleted(aws)
    assert ask(aws, DEPLOYED) == []


def test_fails_when_cloudformation_refuses_the_template(aws: StubbedAws) -> None:
    made(aws, "UPDATE", ["BootstrapVersion"])
    described(aws, "FAILED", reason="Transform is not known")
    deleted(aws)
    with pytest.raises(ChangeSetError, match=r"rejects the change set: Transform is not known"):
        ask(aws, DEPLOYED)
    aws.assert_all_asked()


def test_a_change_set_that_is_being_made_is_waited_for_before_it_goes(aws: StubbedAws) -> None:
    made(aws, "UPDATE", ["BootstrapVersion"])
    aws.fail("cloudformation", "describe_change_set", "AccessDenied")
    aws.fail("cloudformation", "delete_change_set", "InvalidChangeSetStatus")
    deleted(aws)
    with pytest.raises(Exception, match="AccessDenied"):
        ask(aws, DEPLOYED)
    aws.assert_all_asked()


def test_the_empty_stack_of_a_new_change_set_goes_too(aws: StubbedAws) -> None:
    made(aws, "CREATE", [])
    described(aws, "CREATE_COMPLETE", "A")
    deleted(aws)
    stack_is(aws, "REVIEW_IN_PROGRESS")
    aws.answer("cloudformation", "delete_stack", {}, {"StackName": "GpuWorkstation"})
    stack_is(aws, "REVIEW_IN_PROGRESS")
    stack_is_gone(aws)
    assert ask(aws, None) == ["A"]
    aws.assert_all_asked()


def test_a_stack_that_somebody_deploys_meanwhile_stays(aws: StubbedAws) -> None:
    made(aws, "CREATE", [])
    described(aws, "CREATE_COMPLETE", "A")
    deleted(aws)
    stack_is(aws, "CREATE_IN_PROGRESS")
    assert ask(aws, None) == ["A"]
    aws.assert_all_asked()


def test_a_stack_that_was_under_review_before_stays(aws: StubbedAws) -> None:
    made(aws, "CREATE", [])
    described(aws, "CREATE_COMPLETE", "A")
    deleted(aws)
    assert ask(aws, Deployed("REVIEW_IN_PROGRESS", "", frozenset())) == ["A"]
    aws.assert_all_asked()


def test_fails_when_the_template_is_too_long_for_a_request(aws: StubbedAws) -> None:
    long = SynthesizedStack("Long", {"Description": "x" * 52_000}, {}, "", "")
    with pytest.raises(ChangeSetError, match=r"has 520\d\d bytes, .* takes at most 51200"):
        read_changes(aws.clients["cloudformation"], long, None)


def test_the_request_names_a_template_that_is_uploaded(aws: StubbedAws) -> None:
    url = "https://s3.us-east-1.amazonaws.com/bucket/key.json"
    expected = {**NAMES, "ChangeSetType": "CREATE", "Description": ANY, "TemplateURL": url}
    expected |= {"Parameters": [], "Tags": [], "Capabilities": ANY}
    aws.answer("cloudformation", "create_change_set", {"StackId": STACK_ID}, expected)
    described(aws, "CREATE_COMPLETE", "A")
    deleted(aws)
    long = {"Description": "x" * 52_000}
    stack = SynthesizedStack("GpuWorkstation", long, {}, "", "", template_url=url)
    review = Deployed("REVIEW_IN_PROGRESS", "", frozenset())
    changes = read_changes(aws.clients["cloudformation"], stack, review, poll_seconds=0)
    assert changes is not None and [row["LogicalResourceId"] for row in changes] == ["A"]
    aws.assert_all_asked()


def test_a_stack_is_found_or_not(aws: StubbedAws) -> None:
    stack_is(aws, "CREATE_COMPLETE")
    stack_is_gone(aws)
    aws.fail("cloudformation", "describe_stacks", "AccessDenied")
    client = aws.clients["cloudformation"]
    assert find_stack(client, "GpuWorkstation") == Deployed("CREATE_COMPLETE", "", frozenset())
    assert find_stack(client, "GpuWorkstation") is None
    with pytest.raises(Exception, match="AccessDenied"):
        find_stack(client, "GpuWorkstation")


def unknown(aws: StubbedAws) -> None:
    aws.fail("cloudformation", "describe_change_set", "ChangeSetNotFound", 404)


def test_a_change_set_that_is_not_known_yet_is_waited_for(aws: StubbedAws) -> None:
    made(aws, "UPDATE", ["BootstrapVersion"])
    unknown(aws)
    unknown(aws)
    described(aws, "CREATE_COMPLETE", "A")
    deleted(aws)
    assert ask(aws, DEPLOYED) == ["A"]
    aws.assert_all_asked()


def test_one_that_never_shows_ends_the_question(
    aws: StubbedAws, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(change_set, "SETTLE_SECONDS", -1)
    made(aws, "UPDATE", ["BootstrapVersion"])
    unknown(aws)
    deleted(aws)
    with pytest.raises(Exception, match="ChangeSetNotFound"):
        ask(aws, DEPLOYED)
    aws.assert_all_asked()


def test_a_repeated_request_that_meets_its_own_change_set_goes_on(aws: StubbedAws) -> None:
    aws.fail("cloudformation", "create_change_set", "AlreadyExistsException")
    described(aws, "CREATE_COMPLETE", "A")
    deleted(aws)
    assert ask(aws, DEPLOYED) == ["A"]
    aws.assert_all_asked()


def test_a_refused_request_is_told_as_it_is_whatever_may_be_deleted(aws: StubbedAws) -> None:
    aws.fail("cloudformation", "create_change_set", "InsufficientCapabilitiesException")
    aws.fail("cloudformation", "delete_change_set", "AccessDenied", 403)
    with pytest.raises(ClientError, match="InsufficientCapabilitiesException"):
        ask(aws, DEPLOYED)
    aws.assert_all_asked()


def send_at(aws: StubbedAws, operation: str, *numbers: int) -> None:
    """Send signals while a call is under way."""
    left = [*numbers]

    def send(**_: Any) -> None:
        while left:
            os.kill(os.getpid(), left.pop(0))

    events = aws.clients["cloudformation"].meta.events
    events.register(f"before-parameter-build.cloudformation.{operation}", send)


@pytest.mark.parametrize("number", SIGNALS)
@pytest.mark.parametrize("operation", ["CreateChangeSet", "DescribeChangeSet"])
def test_a_signal_deletes_the_change_set_and_its_stack_and_no_other_cuts_that(
    aws: StubbedAws, capfd: pytest.CaptureFixture[str], number: signal.Signals, operation: str
) -> None:
    made(aws, "CREATE", [])
    if operation == "DescribeChangeSet":
        described(aws, "CREATE_IN_PROGRESS")
    deleted(aws)
    stack_is(aws, "REVIEW_IN_PROGRESS")
    aws.answer("cloudformation", "delete_stack", {}, {"StackName": "GpuWorkstation"})
    stack_is_gone(aws)
    send_at(aws, operation, number)
    send_at(aws, "DeleteChangeSet", signal.SIGINT, signal.SIGTERM)
    send_at(aws, "DeleteStack", signal.SIGHUP)
    with pytest.raises(Interrupted) as ended:
        ask(aws, None)
    assert ended.value.status == 128 + number
    aws.assert_all_asked()
    answers = capfd.readouterr().err.splitlines()
    assert len(answers) == 4
    assert all("and the empty stack GpuWorkstation; if this process is" in one for one in answers)


def test_what_cannot_be_deleted_is_named(
    aws: StubbedAws, capfd: pytest.CaptureFixture[str]
) -> None:
    made(aws, "UPDATE", ["BootstrapVersion"])
    described(aws, "CREATE_COMPLETE", "A")
    aws.fail("cloudformation", "delete_change_set", "ExpiredToken", 403)
    with pytest.raises(
        ChangeSetError,
        match=r"change set gpustation-plan-\w+ could not be deleted \(ExpiredToken",
    ):
        ask(aws, DEPLOYED)
    made(aws, "UPDATE", ["BootstrapVersion"])
    described(aws, "CREATE_IN_PROGRESS")
    aws.fail("cloudformation", "delete_change_set", "ExpiredToken", 403)
    send_at(aws, "DescribeChangeSet", signal.SIGTERM)
    with pytest.raises(Interrupted):
        ask(aws, DEPLOYED)
    assert re.search(r"plan: change set \S+ could not be deleted", capfd.readouterr().err)
