"""Things whose names nearly match or do harm: what is pasted touches nobody else's.

Only a shell and the AWS CLI show what a pasted line really does.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from planting import PLAIN, TAGS, TRUST, parameter, specified

from gpustation.leftovers import Result
from gpustation.leftovers.ownership import NOT_PROVEN
from localaws import LocalAws
from tests.support.probe_stack import Stack, role

Look = Callable[..., Result]
Paste = Callable[[str], None]
GROUP = "/aws/imagebuilder/gpuimage-mxnet"
NEARLY = "GpuImage-ImageRole1BFBDE6E-thumbnails"


@pytest.fixture
def others(aws: LocalAws) -> Iterator[set[str]]:
    """What other teams made, by names that begin as ours do."""
    iam, logs, ssm = aws.client("iam"), aws.client("logs"), aws.client("ssm")
    builder = aws.client("imagebuilder")
    roles = ("GpuImage-thumbnails-prod", NEARLY)
    for name in roles:
        iam.create_role(RoleName=name, AssumeRolePolicyDocument=TRUST)
    groups = ("/aws/lambda/GpuImage-thumbnails", GROUP)
    for group in groups:
        logs.create_log_group(logGroupName=group, tags={"team": "video"})
    ssm.put_parameter(Name="/gpustation/other-tool", Value="x", Type="String")
    made = builder.create_infrastructure_configuration(
        name="gpuimage-thumbnails", instanceProfileName="none"
    )["infrastructureConfigurationArn"]
    yield {*roles, *groups, "/gpustation/other-tool", made}
    for name in roles:
        iam.delete_role(RoleName=name)
    for group in groups:
        logs.delete_log_group(logGroupName=group)
    ssm.delete_parameter(Name="/gpustation/other-tool")
    builder.delete_infrastructure_configuration(infrastructureConfigurationArn=made)


def test_beginning_of_a_name_offers_nothing(
    others: set[str], look: Look, paste: Paste, aws: LocalAws
) -> None:
    found = look()
    assert {row.id for row in found.left} == {row.id for row in found.doubtful} == others
    assert {row.doubt for row in found.left} == {NOT_PROVEN}
    shown = subprocess.run(
        [sys.executable, "-m", "gpustation", "leftovers"],
        env=aws.environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert shown.returncode == 1
    assert [line for line in shown.stdout.splitlines() if line.startswith("aws ")] == []
    comments = [line for line in shown.stdout.splitlines() if line.startswith("#")]
    assert len(comments) >= len(others)
    paste("\n".join(comments))
    assert {row.id for row in look().left} == others


def test_living_stack_of_another_owns_what_is_named_as_ours(aws: LocalAws, look: Look) -> None:
    profile = {
        "Type": "AWS::IAM::InstanceProfile",  # which has no tags to say so
        "Properties": {"InstanceProfileName": NEARLY, "Roles": [{"Ref": "Role"}]},
    }
    stack = Stack(aws, "VideoPipeline")
    assert stack.create({"Role": role("ec2"), "Profile": profile}) == "CREATE_COMPLETE"
    assert look().rows == ()
    aws.control.fault("cloudformation:DescribeStackResources", "deny")
    found = look()
    assert found.rows == ()
    assert [one.action for one in found.not_checked] == ["cloudformation:DescribeStackResources"]
    stack.delete()


def test_group_that_came_back_after_its_stack_is_offered(
    aws: LocalAws, look: Look, paste: Paste
) -> None:
    """Image Builder may write once more; the list of the deleted stack proves whose it was."""
    group = {"Type": "AWS::Logs::LogGroup", "Properties": {"LogGroupName": GROUP}}
    stack = Stack(aws, "GpuImage")
    resources = {"ImageLogsD91CE8F7": group, "P": parameter()}
    assert stack.create(resources) == "CREATE_COMPLETE"
    assert stack.delete() == "DELETE_COMPLETE"
    assert look().rows == ()
    aws.client("logs").create_log_group(logGroupName=GROUP)
    (row,) = look().left
    assert (row.id, row.doubt) == (GROUP, "")
    assert row.ours.startswith("the stack GpuImage, which is DELETE_COMPLETE, lists it")
    paste(row.removal)
    assert look().rows == ()


def key_pair(aws: LocalAws, name: str) -> str:
    made = aws.client("ec2").create_key_pair(KeyName=name, TagSpecifications=specified("key-pair"))
    return str(made["KeyPairId"])


def test_names_that_do_harm_are_in_no_command(
    aws: LocalAws, look: Look, paste: Paste, tmp_path: Path
) -> None:
    secret = tmp_path / "credentials"
    secret.write_text("secret")
    harm: list[str] = [
        f"file://{secret}",
        "http://127.0.0.1:1/",
        f"$(touch {tmp_path}/a)",
        f"'; touch {tmp_path}/b; '",
        "--region",
        "\u202eback\u200b",
    ]
    pairs = {key_pair(aws, name) for name in harm}
    iam: Any = aws.client("iam")
    iam.create_role(RoleName="-x", AssumeRolePolicyDocument=TRUST, Tags=TAGS)
    aws.client("logs").create_log_group(logGroupName="-y", tags=PLAIN)
    rows = look().left
    removals = {row.id: row.removal for row in rows}
    assert {removals.pop(name).rpartition(" ")[2] for name in harm} == pairs
    assert {one[:13] for one in removals.values()} == {"# no command:"}
    paste("\n".join(row.removal for row in rows))
    assert sorted(tmp_path.iterdir()) == [secret]
    assert {row.id for row in look().left} == {"-x", "-y"}
    iam.delete_role(RoleName="-x")
    aws.client("logs").delete_log_group(logGroupName="-y")
