"""``allow-my-ip`` beside a stack's own rules: added, shown, expired, removed, and left alone."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest

from gpustation.aws.own_rules import PREFIX
from gpustation.console.statuses import FINDING, NO_ACCESS, USAGE
from localaws import LocalAws
from tests.cli.conftest import Verb, deploy
from tests.support.assembly import assemble
from tests.support.cdk_cli import delete_stack
from tests.support.probe_stack import Stack

ADDRESS = "198.51.100.7"


def group(aws: LocalAws, stack: Stack) -> dict[str, Any]:
    (found,) = aws.client("ec2").describe_security_groups(
        Filters=[{"Name": "tag:gpustation", "Values": [stack.name]}]
    )["SecurityGroups"]
    return dict(found)


def ranges(aws: LocalAws, stack: Stack) -> list[dict[str, str]]:
    return [row for rule in group(aws, stack)["IpPermissions"] for row in rule["IpRanges"]]


def plant(aws: LocalAws, stack: Stack, address: str, until: datetime) -> None:
    description = f"{PREFIX}{until:%Y-%m-%dT%H:%MZ}"
    aws.client("ec2").authorize_security_group_ingress(
        GroupId=group(aws, stack)["GroupId"],
        IpPermissions=[
            {
                "IpProtocol": "tcp",
                "FromPort": 22,
                "ToPort": 22,
                "IpRanges": [{"CidrIp": f"{address}/32", "Description": description}],
            }
        ],
    )


@pytest.fixture(autouse=True)
def closed(aws: LocalAws, deployed: Stack, verb: Verb) -> Iterator[None]:
    yield
    aws.control.reset()
    verb("allow-my-ip", "--remove", "--stack", deployed.name)
    assert ranges(aws, deployed) == []


def test_a_rule_names_the_time_until_which_it_shall_be(
    aws: LocalAws, deployed: Stack, verb: Verb
) -> None:
    ran = verb("allow-my-ip", "--address", ADDRESS, "--for", "2h")
    assert ran.status == 0
    assert ADDRESS in ran.out and "nothing else removes it" in ran.out
    (row,) = ranges(aws, deployed)
    assert row["CidrIp"] == f"{ADDRESS}/32"
    until = datetime.strptime(row["Description"].removeprefix(PREFIX), "%Y-%m-%dT%H:%MZ")
    left = until.replace(tzinfo=timezone.utc) - datetime.now(timezone.utc)
    assert timedelta(minutes=110) < left <= timedelta(hours=2)
    assert ADDRESS in dict(verb("status").rows)["port 22"]
    again = verb("allow-my-ip", "--address", ADDRESS, "--for", "8h", "--json").document
    assert again["added"]["address"] == ADDRESS
    assert len(ranges(aws, deployed)) == 1


@pytest.mark.parametrize("words", [("status",), ("allow-my-ip", "--address", "198.51.100.8")])
def test_an_expired_rule_is_removed_by_the_next_call(
    aws: LocalAws, deployed: Stack, verb: Verb, words: tuple[str, ...]
) -> None:
    plant(aws, deployed, ADDRESS, datetime.now(timezone.utc) - timedelta(minutes=1))
    ran = verb(*words)
    assert ran.status == 0
    assert ADDRESS in ran.err
    assert f"{ADDRESS}/32" not in [row["CidrIp"] for row in ranges(aws, deployed)]


def test_an_expired_rule_that_may_not_be_removed_is_named(
    aws: LocalAws, deployed: Stack, verb: Verb
) -> None:
    plant(aws, deployed, ADDRESS, datetime.now(timezone.utc) - timedelta(minutes=1))
    aws.control.fault("RevokeSecurityGroupIngress", "deny", times=9)
    ran = verb("status", "--json")
    assert ran.status == 0
    (one,) = ran.document["workstations"]
    assert one["ssh_rules"][0]["expired"] is True
    assert "remains" in ran.err and "ec2:RevokeSecurityGroupIngress" in ran.err


def test_a_rule_of_others_with_such_a_text_is_not_taken_for_ours(
    aws: LocalAws, deployed: Stack, verb: Verb
) -> None:
    ec2, group_id = aws.client("ec2"), group(aws, deployed)["GroupId"]
    permission = {
        "IpProtocol": "tcp",
        "FromPort": 22,
        "ToPort": 22,
        "IpRanges": [{"CidrIp": "203.0.113.0/24", "Description": f"{PREFIX}2020-01-01T00:00Z"}],
    }
    ec2.authorize_security_group_ingress(GroupId=group_id, IpPermissions=[permission])
    verb("status")
    verb("allow-my-ip", "--remove")
    assert [row["CidrIp"] for row in ranges(aws, deployed)] == ["203.0.113.0/24"]
    ec2.revoke_security_group_ingress(GroupId=group_id, IpPermissions=[permission])


@pytest.mark.parametrize("given", ["25h", "0h", "1441m", "2", "2d", "-1h"])
def test_a_time_over_a_day_is_refused(
    aws: LocalAws, deployed: Stack, verb: Verb, given: str
) -> None:
    assert verb("allow-my-ip", "--address", ADDRESS, "--for", given).status == USAGE
    assert ranges(aws, deployed) == []


def test_a_denied_call_names_the_permission(aws: LocalAws, verb: Verb) -> None:
    aws.control.fault("AuthorizeSecurityGroupIngress", "deny", times=9)
    ran = verb("allow-my-ip", "--address", ADDRESS)
    assert ran.status == NO_ACCESS
    assert "ec2:AuthorizeSecurityGroupIngress" in ran.err


def test_save_writes_the_setting_instead_and_asks_first(
    aws: LocalAws, deployed: Stack, verb: Verb, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    file = tmp_path / "cdk.json"
    file.write_text('{"app": "python3 app.py", "context": {"disk_gib": 100}}\n')
    words = ("allow-my-ip", "--save", "--address", ADDRESS)
    asked = verb(*words)
    assert asked.status == FINDING and "--yes" in asked.err
    assert "ssh_cidr" not in file.read_text()
    saved = verb(*words, "--yes", "--json")
    assert saved.document["new"] == f"{ADDRESS}/32"
    context = json.loads(file.read_text())["context"]
    assert context == {"disk_gib": 100, "ssh_cidr": f"{ADDRESS}/32"}
    assert ranges(aws, deployed) == []


class TestDeploys:
    """What a stack does with a rule that it did not make."""

    @pytest.fixture
    def own(self, aws: LocalAws, verb: Verb) -> Iterator[Stack]:
        stack = deploy(aws, "GpuWorkstation-anna", name="anna")
        assert verb("allow-my-ip", "--address", ADDRESS, "--name", "anna").status == 0
        yield stack
        aws.control.reset()
        delete_stack(aws, stack.name)

    def test_a_deploy_leaves_it(self, aws: LocalAws, own: Stack) -> None:
        changed = assemble(name="anna", quota="warn").template
        assert own.deploy("update_stack", changed) == "UPDATE_COMPLETE"
        assert [row["CidrIp"] for row in ranges(aws, own)] == [f"{ADDRESS}/32"]

    @pytest.mark.tier("all")
    def test_that_very_address_as_a_setting_is_deployed(self, aws: LocalAws, own: Stack) -> None:
        """EC2 refuses a rule that exists; how CloudFormation treats that is not documented.

        The embedded AWS takes it. So this shows only that nothing of ours is in the way.
        """
        changed = assemble(name="anna", ssh_cidr=f"{ADDRESS}/32").template
        assert own.deploy("update_stack", changed) == "UPDATE_COMPLETE"
        assert f"{ADDRESS}/32" in [row["CidrIp"] for row in ranges(aws, own)]

    @pytest.mark.tier("all")
    def test_it_goes_with_the_stack(self, aws: LocalAws, own: Stack) -> None:
        assert own.delete() == "DELETE_COMPLETE"
