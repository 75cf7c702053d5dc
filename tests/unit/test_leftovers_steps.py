"""What a leftover's command does in the AWS CLI, its step does by boto3: the same requests."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

import awscli.clidriver
import boto3
import pytest
from botocore.awsrequest import AWSResponse

import gpustation.leftovers
from gpustation.leftovers.commands import REFUSED
from gpustation.leftovers.kind import Kind
from gpustation.leftovers.steps import Step
from gpustation.leftovers.table import KINDS

pytestmark = pytest.mark.tier("test")  # the AWS CLI reads its models for each command

Request = tuple[str, str, Any, Any]
REGION = "us-east-1"
MORE = (
    Step("cloudformation wait stack-delete-complete", REGION, {"stack_name": "one"}),
    Step(
        "cloudformation delete-stack",
        REGION,
        {"stack_name": "one", "retain_resources": ("Two", "Three")},
    ),
    Step("ec2 wait instance-terminated", REGION, {"instance_ids": "i-0123456789abcdef0"}),
    Step("ec2 wait volume-available", REGION, {"volume_ids": "vol-0123456789abcdef0"}),
    Step("ec2 wait volume-deleted", REGION, {"volume_ids": "vol-0123456789abcdef0"}),
    Step("ec2 detach-volume", REGION, {"volume_id": "vol-0123456789abcdef0"}),
    Step("ec2 disassociate-address", REGION, {"association_id": "eipassoc-1"}),
    Step("ec2 disassociate-route-table", REGION, {"association_id": "rtbassoc-1"}),
    Step(
        "ec2 detach-internet-gateway",
        REGION,
        {"internet_gateway_id": "igw-1", "vpc_id": "vpc-1"},
    ),
    Step("iam delete-role-policy", "", {"role_name": "one", "policy_name": "two"}),
    Step("iam detach-role-policy", "", {"role_name": "one", "policy_arn": "arn:aws:iam::aws:p/x"}),
    Step(
        "iam remove-role-from-instance-profile",
        "",
        {"instance_profile_name": "one", "role_name": "two"},
    ),
    Step("events remove-targets", REGION, {"rule": "one", "ids": "Target0"}),
    Step("scheduler delete-schedule", REGION, {"name": "one", "group_name": "two"}),
    Step("cloudformation delete-change-set", REGION, {"stack_name": "a", "change_set_name": "b"}),
)
"""Every step that a kind has beside its own removal; the last test compares with the code."""


class SentError(Exception):
    """Ends a call when its request is known."""


@pytest.fixture(autouse=True)
def credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "x")
    monkeypatch.setenv("AWS_CONFIG_FILE", "/no/such/file")
    # The AWS CLI sets it at its import; other suites remove all such variables
    monkeypatch.setenv("AWS_DATA_PATH", str(Path(awscli.clidriver.__file__).parent / "data"))
    monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)


def recorder(requests: list[Request]) -> Callable[..., AWSResponse]:
    def record(request: Any, **_: Any) -> AWSResponse:
        body = request.body.decode() if isinstance(request.body, bytes) else request.body
        requests.append((request.method, request.url, body, request.headers.get("X-Amz-Target")))
        raise SentError

    return record


def by_boto3(step: Step) -> Request:
    requests: list[Request] = []
    session = boto3.session.Session()
    session.events.register("before-send", recorder(requests))

    def client(service: str) -> Any:
        make: Any = session.client
        return make(service, region_name=step.region or REGION)

    with pytest.raises(SentError):
        step.call(client)
    (request,) = requests
    return request


def by_aws_cli(step: Step, capsys: pytest.CaptureFixture[str]) -> Request:
    requests: list[Request] = []
    driver = awscli.clidriver.create_clidriver()
    driver.session.register("before-send", recorder(requests))
    words = shlex.split(step.command)
    assert words.pop(0) == "aws"
    more = [] if step.region else ["--region", REGION]
    assert driver.main([*words, *more]) == 255, capsys.readouterr()
    (request,) = requests
    return request


def of_kind(kind: Kind) -> Step:
    option = kind.option.removeprefix("--").replace("-", "_")
    value = (
        "arn:aws:x:us-east-1:123456789012:one/two" if kind.removed_by in ("arn", "Arn") else "one-1"
    )
    return Step(kind.removal, "" if kind.is_global else REGION, {option: value})


@pytest.mark.parametrize(
    "step",
    [*(of_kind(kind) for kind in KINDS if kind.name != "bucket"), *MORE],
    ids=lambda step: step.words,
)
@pytest.mark.rows_in_make_test(10)
def test_the_call_is_the_command(step: Step, capsys: pytest.CaptureFixture[str]) -> None:
    """The bucket is kept on purpose and never deleted by a call."""
    assert step.is_safe
    called, pasted = by_boto3(step), by_aws_cli(step, capsys)
    assert sorted_fields(called) == sorted_fields(pasted)


def sorted_fields(request: Request) -> Request:
    """The AWS CLI sends the fields of a form in another order; both add a token of their own."""
    method, url, body, target = request
    url = re.sub(r"clientToken=[0-9a-f-]{36}", "clientToken=random", url)
    fields = sorted(parse_qsl(body)) if body and not body.startswith("{") else body
    return method, url.rstrip("/"), fields, target


def test_a_step_that_no_shell_may_see_is_not_called_either() -> None:
    step = Step("iam delete-role", "", {"role_name": "$(id)"})
    assert step.command == REFUSED
    assert not step.is_safe


@pytest.fixture
def written() -> set[str]:
    folder = Path(gpustation.leftovers.__file__).parent
    text = "\n".join(path.read_text() for path in folder.glob("*.py"))
    services = "|".join(("cloudformation", "ec2", "events", "iam"))
    return set(re.findall(rf'"((?:{services}) [a-z][a-z -]+)"', text))


def test_every_further_step_of_the_library_is_compared(written: set[str]) -> None:
    assert len(written) > 5
    steps = {step.words for step in MORE}
    assert steps - {kind.removal for kind in KINDS} <= written <= steps
