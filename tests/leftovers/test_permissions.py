"""A refused call makes the result incomplete, never clean; the documented policy suffices.

Only IAM's evaluator refuses a call as AWS would.
"""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from planting import Garden

from gpustation.leftovers import Result, find_leftovers
from gpustation.leftovers.report import LEFT, NOT_CHECKED, exit_status
from localaws import LocalAws
from tests.support.image_stack import bash, document, image_stack
from tests.support.probe_stack import Stack

DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "leftovers.md"
Look = Callable[..., Result]


def policy() -> dict[str, Any]:
    (text,) = re.findall(r"```json\n(.*?)```", DOCUMENT.read_text(), re.DOTALL)
    found: dict[str, Any] = json.loads(text)
    return found


ACTIONS = policy()["Statement"][0]["Action"]
IN_MAKE_TEST = {action.split(":")[0]: action for action in reversed(ACTIONS)}.values()
"""One of each service; that every call reads all pages: tests/unit/test_leftovers_calls.py."""
PLANTED = (
    *("change set", "component", "role", "policy", "OIDC provider", "function", "parameter"),
    *("schedule", "rule", "topic", "table"),
)
"""So that every call is made: of these some are asked one by one."""
BAKED = [
    {"Key": "gpustation", "Value": "GpuImage"},
    {"Key": "Ec2ImageBuilderArn", "Value": "arn:aws:imagebuilder:::image/gpuimage-mxnet/1.0.0/1"},
]
"""Of an image that was left: whether it was to stay is asked of its stack."""


@pytest.fixture(scope="module")
def left(server: LocalAws, paste: Callable[[str], None]) -> Iterator[LocalAws]:
    """An account with leftovers, and with living stacks of ours that built an image."""
    server.control.reset()
    server.control.set_quota("L-DB2E81BA", 64)
    probe = Stack(server, "probe")
    assert probe.create(image_stack(document(build=[bash("true")]))) == "CREATE_COMPLETE"
    garden = Garden(server)
    for kind in PLANTED:
        garden.plant(kind)
    baked, _ = garden.plant("image")
    server.client("ec2").create_tags(Resources=[baked.id], Tags=BAKED)
    yield server
    server.control.reset()
    for row in find_leftovers().rows:
        paste(row.removal)
    garden.clear()
    assert probe.delete() == "DELETE_COMPLETE"


@pytest.mark.parametrize(
    "action",
    [
        pytest.param(one, marks=[] if one in IN_MAKE_TEST else [pytest.mark.tier("all")])
        for one in ACTIONS
    ],
)
@pytest.mark.rows_in_make_test(3)
def test_refused_call_is_told_and_nothing_looks_clean(
    action: str, left: LocalAws, look: Look
) -> None:
    living = Stack(left, "GpuImage").physical_id("P")
    left.control.fault(action, "deny")
    found = look()
    assert action in [one.action for one in found.not_checked]
    assert not found.complete
    assert exit_status(found) in (LEFT, NOT_CHECKED)
    assert exit_status(dataclasses.replace(found, rows=())) == NOT_CHECKED
    assert living not in [row.id for row in found.rows]
    if action == "cloudformation:DescribeStacks":
        assert found.rows == ()


@pytest.mark.tier("all")
def test_throttled_calls_are_tried_again(left: LocalAws, look: Look) -> None:
    left.control.fault("iam:ListRoles", "throttle", times=2)
    assert look().complete


def test_documented_policy_sees_everything(left: LocalAws, look: Look) -> None:
    iam, sts = left.client("iam"), left.client("sts")
    trust = {"Effect": "Allow", "Action": "sts:AssumeRole", "Principal": {"AWS": left.account}}
    role = iam.create_role(
        RoleName="looker",
        AssumeRolePolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": [trust]}),
    )["Role"]
    iam.put_role_policy(RoleName="looker", PolicyName="looks", PolicyDocument=json.dumps(policy()))
    given = sts.assume_role(RoleArn=role["Arn"], RoleSessionName="looks")["Credentials"]
    session = boto3.session.Session(
        given["AccessKeyId"], given["SecretAccessKey"], given["SessionToken"]
    )
    found = find_leftovers(session)
    iam.delete_role_policy(RoleName="looker", PolicyName="looks")
    iam.delete_role(RoleName="looker")
    assert found.not_checked == ()
    assert found.rows == look().rows


def test_no_credentials_are_no_clean_account(
    aws: LocalAws, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    found = find_leftovers(boto3.session.Session())
    assert exit_status(found) == NOT_CHECKED
    assert [one.action for one in found.not_checked] == [
        "sts:GetCallerIdentity",
        "cloudformation:DescribeStacks",
    ]
    assert "Unable to locate credentials" in found.not_checked[0].reason
