"""A function's log is written with the permissions of its role."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from localaws import LocalAws
from tests.support.probe_stack import Stack, role, zipped

WRITES = ["logs:CreateLogStream", "logs:PutLogEvents"]
HANDLER = "def on_event(event, context): print('a line')"


@pytest.fixture
def code(server: LocalAws, code_bucket: str) -> dict[str, str]:
    server.client("s3").put_object(Bucket=code_bucket, Key="logs.zip", Body=zipped(index=HANDLER))
    return {"S3Bucket": code_bucket, "S3Key": "logs.zip"}


@pytest.fixture
def invoked(aws: LocalAws, stack: Stack, code: dict[str, str]) -> Iterator[Any]:
    """Runs a function whose role may do these things; answers its log group's name."""
    group = f"/aws/lambda/{stack.name}"

    def invoke(*actions: str, with_group: bool = True) -> str:
        resources: dict[str, Any] = {
            "Role": role(Action=[*actions], Resource="*"),
            "Function": {
                "Type": "AWS::Lambda::Function",
                "Properties": {
                    "FunctionName": stack.name,
                    "Code": code,
                    "Handler": "index.on_event",
                    "Runtime": "python3.13",
                    "Role": {"Fn::GetAtt": ["Role", "Arn"]},
                },
            },
        }
        if with_group:
            properties = {"LogGroupName": group}
            resources["Group"] = {"Type": "AWS::Logs::LogGroup", "Properties": properties}
        assert stack.create(resources) == "CREATE_COMPLETE"
        aws.client("lambda").invoke(FunctionName=stack.name)
        return group

    yield invoke
    if group in groups(aws):
        aws.client("logs").delete_log_group(logGroupName=group)


def groups(aws: LocalAws) -> list[str]:
    rows = aws.client("logs").describe_log_groups()["logGroups"]
    return [row["logGroupName"] for row in rows]


def test_role_that_may_write_writes(aws: LocalAws, invoked: Any) -> None:
    assert "a line" in aws.log_lines(invoked(*WRITES))


@pytest.mark.parametrize("actions", [("logs:PutLogEvents",), ("s3:GetObject",)])
def test_role_that_may_not_writes_nothing(
    aws: LocalAws, invoked: Any, actions: tuple[str, ...]
) -> None:
    assert aws.log_lines(invoked(*actions)) == []


def test_group_is_made_by_a_role_that_may(aws: LocalAws, invoked: Any) -> None:
    assert invoked(*WRITES, "logs:Create*", with_group=False) in groups(aws)


def test_group_is_not_made_by_a_role_that_may_not(aws: LocalAws, invoked: Any) -> None:
    assert invoked(*WRITES, with_group=False) not in groups(aws)
