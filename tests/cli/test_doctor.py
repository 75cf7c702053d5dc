"""``doctor`` against the embedded AWS: each check good and bad, and what cannot be checked."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from gpustation.aws import account_plan
from gpustation.console import program_version
from gpustation.console.statuses import FINDING
from gpustation.doctor import account, examine, permissions
from gpustation.doctor.examine import CHECKS
from gpustation.doctor.finding import Finding, Mark, Subject
from gpustation.doctor.quota import DEFAULT_TYPE
from gpustation.settings.model import Settings
from localaws import LocalAws
from tests.cli.conftest import Verb
from tests.support.assembly import VERSION_PARAMETER
from tests.support.synthesis import ROOT

PROGRAMS = {
    "node": "v24.19.0",
    "aws": "aws-cli/2.31.0 Python/3.13.7 Linux/6.8 exe/x86_64.ubuntu.24",
    "session-manager-plugin": "1.2.707.0",
}
TRUST = json.dumps(
    {
        "Version": "2012-10-17",
        "Statement": [{"Effect": "Allow", "Action": "sts:AssumeRole", "Principal": {"AWS": "*"}}],
    }
)


class Plan:
    """AWS's answer about the account's plan, which the embedded AWS does not have."""

    answer: Mapping[str, Any]

    def get_account_plan_state(self) -> Mapping[str, Any]:
        return self.answer


@pytest.fixture(autouse=True)
def plan(monkeypatch: pytest.MonkeyPatch) -> Plan:
    made = Plan()
    made.answer = {"accountPlanType": "PAID", "accountPlanStatus": "NOT_STARTED"}
    monkeypatch.setattr(account_plan, "client", lambda _partition: made)
    return made


@pytest.fixture(autouse=True)
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A PATH with programs that print a version, and the folder of an app."""
    folder = tmp_path / "programs"
    folder.mkdir()
    for name, version in PROGRAMS.items():
        program(folder, name, f"echo '{version}'")
    package = tmp_path / "node_modules/aws-cdk"
    (package / "bin").mkdir(parents=True)
    (package / "package.json").write_text('{"name": "aws-cdk", "version": "2.1148.1"}')
    program(package / "bin", "cdk", "echo started >&2; exit 1")
    (folder / "cdk").symlink_to(package / "bin/cdk")
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "cdk.json").write_text('{"context": {"instance_type": "g4dn.xlarge"}}')
    return folder


def program(folder: Path, name: str, script: str) -> None:
    path = folder / name
    path.unlink(missing_ok=True)
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)


@pytest.fixture
def role(aws: LocalAws, environment: Mapping[str, str], monkeypatch: Any) -> Iterator[str]:
    """The credentials of a role that may do everything that is needed but reboot and start."""
    iam = aws.client("iam")
    iam.create_role(RoleName="daily", Path="/people/", AssumeRolePolicyDocument=TRUST)
    allow({"Effect": "Allow", "Action": allowed(), "Resource": "*"}, aws)
    for name, value in aws.control.role_session("daily").items():
        monkeypatch.setenv(name, value)
    yield "daily"
    aws.control.reset()
    iam.delete_role_policy(RoleName="daily", PolicyName="one")
    iam.delete_role(RoleName="daily")


def allowed() -> list[str]:
    more = ["iam:SimulatePrincipalPolicy", "iam:GetRole", "ec2:DescribeRegions"]
    without = ("ec2:RebootInstances", "ec2:StartInstances")
    return [*(action for action in permissions.NEEDED if action not in without), *more]


def allow(statement: dict[str, Any], aws: LocalAws, *more: dict[str, Any]) -> None:
    document = {"Version": "2012-10-17", "Statement": [statement, *more]}
    aws.client("iam").put_role_policy(
        RoleName="daily", PolicyName="one", PolicyDocument=json.dumps(document)
    )


def found(verb: Verb) -> dict[str, dict[str, str]]:
    document = verb("doctor", "--json").document
    return {row["name"]: row for row in document["findings"]}


def marks(verb: Verb) -> dict[str, str]:
    return {name: row["mark"] for name, row in found(verb).items()}


def test_all_is_well_but_for_root(verb: Verb) -> None:
    ran = verb("doctor")
    assert ran.status == 0
    rows = {name: (mark, detail) for mark, name, detail, _ in ran.rows}
    assert {name for name, (mark, _) in rows.items() if mark != "ok"} == {
        "permissions",
    }
    assert {*CHECKS, "settings"} == {*rows}
    assert "account 123456789012, arn:aws:iam::123456789012:root" in rows["credentials"][1]
    assert "4 vCPUs needed, limit 12, in use 0" in rows["quota"][1]
    assert rows["watchers of the machine"][1] == "there is no workstation"
    assert "0 failed, 0 unknown" in ran.err


def test_cdk_is_not_started(verb: Verb) -> None:
    assert found(verb)["CDK CLI"]["detail"] == "2.1148.1"


def test_each_permission_is_checked_by_itself(aws: LocalAws, verb: Verb, role: str) -> None:
    rows = found(verb)
    assert rows["permission ec2:StopInstances"]["mark"] == "ok"
    assert rows["permission ec2:StartInstances"]["mark"] == "warning"
    assert "for start" in rows["permission ec2:StartInstances"]["detail"]
    assert {f"permission {action}" for action in permissions.NEEDED} <= {*rows}
    deny = {"Effect": "Deny", "Action": "ec2:RebootInstances", "Resource": "*"}
    allow({"Effect": "Allow", "Action": allowed(), "Resource": "*"}, aws, deny)
    assert found(verb)["permission ec2:RebootInstances"]["mark"] == "failed"


def test_permissions_that_cannot_be_simulated_are_unknown(
    aws: LocalAws, verb: Verb, role: str
) -> None:
    actions = [action for action in allowed() if not action.startswith("iam:Simulate")]
    allow({"Effect": "Allow", "Action": actions, "Resource": "*"}, aws)
    ran = verb("doctor", "--json")
    (row,) = [row for row in ran.document["findings"] if row["name"].startswith("permission")]
    assert row["mark"] == "unknown"
    assert "iam:SimulatePrincipalPolicy" in row["detail"]
    assert ran.status == FINDING


def test_a_quota_that_is_too_small_fails(aws: LocalAws, verb: Verb) -> None:
    aws.control.set_quota("L-DB2E81BA", 0)
    row = found(verb)["quota"]
    assert (row["mark"], row["cure"]) == ("failed", "gpustation quota request g4dn.xlarge")
    assert verb("doctor").status == FINDING


def test_the_default_type_is_that_of_the_settings() -> None:
    assert Settings().instance_type == DEFAULT_TYPE


def test_a_quota_that_is_in_use_is_a_warning(aws: LocalAws, verb: Verb) -> None:
    aws.control.set_quota("L-DB2E81BA", 4)
    aws.control.add_image("ami-0000000000000000c", root_device_type="instance-store")
    ec2 = aws.client("ec2")
    (made,) = ec2.run_instances(
        ImageId="ami-0000000000000000c", InstanceType="g4dn.xlarge", MinCount=1, MaxCount=1
    )["Instances"]
    row = found(verb)["quota"]
    ec2.terminate_instances(InstanceIds=[made["InstanceId"]])
    assert row["mark"] == "warning"
    assert "in use 4: no room for one more machine" in row["detail"]


def test_a_region_without_bootstrap_fails(verb: Verb) -> None:
    ran = verb("doctor", "--json", "--region", "eu-west-1")
    row = next(row for row in ran.document["findings"] if row["name"] == "bootstrap")
    assert (row["mark"], row["cure"]) == ("failed", "run: cdk bootstrap")


@pytest.mark.parametrize(("version", "mark"), [("5", "failed"), ("6", "ok"), ("x", "unknown")])
def test_an_old_bootstrap_fails(aws: LocalAws, verb: Verb, version: str, mark: str) -> None:
    ssm = aws.client("ssm")
    before = ssm.get_parameter(Name=VERSION_PARAMETER)["Parameter"]["Value"]
    ssm.put_parameter(Name=VERSION_PARAMETER, Value=version, Overwrite=True)
    got = marks(verb)["bootstrap"]
    ssm.put_parameter(Name=VERSION_PARAMETER, Value=before, Overwrite=True)
    assert got == mark


def test_the_needed_bootstrap_is_that_of_the_templates() -> None:
    path = ROOT / "tests/snapshot/__snapshots__/test_snapshots/test_template[default].json"
    (rule,) = json.loads(path.read_text())["Rules"]["CheckBootstrapVersion"]["Assertions"]
    refused = rule["Assert"]["Fn::Not"][0]["Fn::Contains"][0]
    assert max(map(int, refused)) + 1 == account.NEEDED_BOOTSTRAP


@pytest.mark.parametrize(("seconds", "mark"), [(0, "ok"), (-90, "warning"), (400, "failed")])
def test_the_clock_is_compared_with_awss(
    verb: Verb, monkeypatch: pytest.MonkeyPatch, seconds: int, mark: str
) -> None:
    class Clock:
        @staticmethod
        def time() -> float:
            return time.time() + seconds

    monkeypatch.setattr(account, "time", Clock)
    assert marks(verb)["clock"] == mark


@pytest.mark.parametrize(
    ("answer", "mark"),
    [
        ({"accountPlanType": "FREE", "accountPlanStatus": "ACTIVE"}, "failed"),
        ({"accountPlanType": "FREE", "accountPlanStatus": "EXPIRED"}, "ok"),
        ({}, "unknown"),
    ],
)
def test_the_free_plan(verb: Verb, plan: Plan, answer: dict[str, str], mark: str) -> None:
    plan.answer = answer
    assert marks(verb)["free plan"] == mark


@pytest.mark.parametrize(
    ("name", "script", "check", "mark"),
    [
        ("node", "echo v20.19.0", "Node.js", "failed"),
        ("node", "exit 1", "Node.js", "unknown"),
        ("node", None, "Node.js", "failed"),
        ("aws", None, "AWS CLI", "warning"),
        ("aws", "echo broken", "AWS CLI", "unknown"),
        ("aws", "echo aws-cli/1.16.11 Python/3.6.9", "AWS CLI", "warning"),
        ("session-manager-plugin", None, "Session Manager plug-in", "warning"),
        ("cdk", None, "CDK CLI", "failed"),
        ("cdk", "exit 1", "CDK CLI", "unknown"),
    ],
)
def test_programs(
    verb: Verb,
    programs: Path,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    script: str | None,
    check: str,
    mark: str,
) -> None:
    (programs / name).unlink()
    monkeypatch.setenv("PATH", str(programs))
    if script is not None:
        program(programs, name, script)
    row = found(verb)[check]
    assert row["mark"] == mark
    assert row["cure"]


@pytest.mark.parametrize(
    ("version", "mark"), [("3.0.0", "failed"), ("2.1100.0", "warning"), ("2.1148.1", "ok")]
)
def test_the_cdk_cli_that_the_project_pins(
    verb: Verb, tmp_path: Path, version: str, mark: str
) -> None:
    (tmp_path / "package.json").write_text('{"dependencies": {"aws-cdk": "2.1148.1"}}')
    package = tmp_path / "node_modules/aws-cdk/package.json"
    package.write_text(json.dumps({"name": "aws-cdk", "version": version}))
    assert marks(verb)["CDK CLI"] == mark


def test_a_program_that_hangs_is_unknown(
    verb: Verb, programs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(program_version, "VERSION_SECONDS", 0.2)
    program(programs, "node", "exec sleep 60")
    assert marks(verb)["Node.js"] == "unknown"


@pytest.mark.parametrize(
    ("text", "mark"),
    [
        (None, "warning"),
        ("{", "failed"),
        ('{"context": {"disk_gib": "x"}}', "failed"),
        ("{}", "ok"),
    ],
)
def test_the_settings_of_the_folder(
    verb: Verb, tmp_path: Path, text: str | None, mark: str
) -> None:
    (tmp_path / "cdk.json").unlink()
    if text is not None:
        (tmp_path / "cdk.json").write_text(text)
    assert marks(verb)["settings"] == mark


def test_without_credentials_nothing_of_the_account_reads_as_good(
    verb: Verb, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    ran = verb("doctor", "--json")
    assert ran.status == FINDING
    got = {row["name"]: row["mark"] for row in ran.document["findings"]}
    assert got["credentials"] == "failed"
    assert got["clock"] == "ok", "it needs no credentials"
    for name in ("region", "bootstrap", "quota", "permissions"):
        assert got[name] == "unknown"


@pytest.mark.parametrize(
    ("operation", "kind", "check"),
    [
        ("GetParameter", "deny", "bootstrap"),
        ("GetServiceQuota", "deny", "quota"),
        ("DescribeRegions", "deny", "region"),
        ("DescribeInstances", "throttle", "quota"),
    ],
)
def test_what_could_not_be_checked_is_unknown(
    aws: LocalAws, verb: Verb, operation: str, kind: Any, check: str
) -> None:
    aws.control.fault(operation, kind)
    ran = verb("doctor", "--json")
    assert ran.status == FINDING
    (row,) = [row for row in ran.document["findings"] if row["name"] == check]
    assert row["mark"] == "unknown"


def test_a_check_that_hangs_does_not_hold_up_the_others(environment: Mapping[str, str]) -> None:
    import boto3

    subject = Subject(boto3.session.Session(), "us-east-1", {})
    checks = {
        "hangs": lambda _: time.sleep(60) or Finding("hangs", Mark.OK, ""),
        "clock": account.clock,
    }
    hangs, clock = examine.examine(subject, checks=checks, seconds=5)  # type: ignore[arg-type]
    assert (hangs.mark, clock.mark) == (Mark.UNKNOWN, Mark.OK)
    assert "no answer within 5 s" in hangs.detail


def test_text_of_others_is_escaped(verb: Verb, programs: Path) -> None:
    program(programs, "node", r"printf 'v1 \033[2Jx\n'")
    ran = verb("doctor")
    assert "\x1b" not in ran.out
