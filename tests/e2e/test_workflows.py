"""The steps of deploy.yml and destroy.yml, as they stand, with a role that may do no more.

Only the steps themselves show that inputs reach the scripts, and that a session suffices.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import boto3
import pytest

from gpustation.plan.judgement import Effect
from localaws import LocalAws
from tests.e2e.workflow_file import JobRun, Workflow, WorkflowError, checkout, evaluate
from tests.support.cdk_cli import STACK, Account, delete_stack
from tests.support.synthesis import PUBLIC_KEY, ROOT

ROLE = "cdk-hnb659fds-github"
"""Stands for the role that the workflows take; named so that it does not count as left over."""


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return checkout(tmp_path_factory.mktemp("checkout"))


@pytest.fixture(scope="module")
def credentials(bootstrapped: LocalAws) -> Iterator[dict[str, str]]:
    """What the role's action sets: a session that may take the CDK's roles, and nothing else."""
    iam, account = bootstrapped.client("iam"), bootstrapped.account
    trust = {"Effect": "Allow", "Principal": {"AWS": account}, "Action": "sts:AssumeRole"}
    allowed = {
        "Effect": "Allow",
        "Action": "sts:AssumeRole",
        "Resource": f"arn:aws:iam::{account}:role/cdk-*",
    }
    iam.create_role(RoleName=ROLE, AssumeRolePolicyDocument=json.dumps({"Statement": [trust]}))
    iam.put_role_policy(
        RoleName=ROLE, PolicyName="cdk", PolicyDocument=json.dumps({"Statement": [allowed]})
    )
    told = bootstrapped.client("sts").assume_role(
        RoleArn=f"arn:aws:iam::{account}:role/{ROLE}", RoleSessionName="deploy-1"
    )["Credentials"]
    yield {
        "AWS_ACCESS_KEY_ID": told["AccessKeyId"],
        "AWS_SECRET_ACCESS_KEY": told["SecretAccessKey"],
        "AWS_SESSION_TOKEN": told["SessionToken"],
    }
    iam.delete_role_policy(RoleName=ROLE, PolicyName="cdk")
    iam.delete_role(RoleName=ROLE)


class Runner:
    """A GitHub runner with that role, and a fresh page for every job."""

    def __init__(
        self, aws: LocalAws, tree: Path, credentials: dict[str, str], folder: Path
    ) -> None:
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        self._environment = aws.environment | credentials | {"PATH": path}
        self._environment |= {"PYTHONPATH": str(tree / "constructs"), "CDK_VALIDATION": "false"}
        self._tree, self._folder, self._count = tree, folder, 0

    def run(self, workflow: str, event: str = "workflow_dispatch", **inputs: str) -> JobRun:
        self._count += 1
        folder = self._folder / f"job-{self._count}"
        folder.mkdir()
        found = Workflow(workflow, self._tree, self._environment).run(
            folder, event=event, inputs=inputs, variables={"DEPLOY_ON_PUSH": "true"}
        )
        assert found is not None
        return found


@pytest.fixture
def runner(aws: LocalAws, tree: Path, credentials: dict[str, str], tmp_path: Path) -> Runner:
    return Runner(aws, tree, credentials, tmp_path)


def test_the_role_may_do_nothing_by_itself(aws: LocalAws, credentials: dict[str, str]) -> None:
    client = boto3.client(
        "cloudformation",
        endpoint_url=aws.url,
        region_name=aws.region,
        aws_access_key_id=credentials["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=credentials["AWS_SECRET_ACCESS_KEY"],
        aws_session_token=credentials["AWS_SESSION_TOKEN"],
    )
    with pytest.raises(client.exceptions.ClientError, match="AccessDenied"):
        client.describe_stacks()


@pytest.mark.tier("all")
def test_from_the_first_deploy_to_destroy(aws: LocalAws, runner: Runner, account: Account) -> None:
    pushed = runner.run("deploy", event="push")
    assert (pushed.status, pushed.step) == (Effect.NEW.status, "Plan")
    assert "Not deployed: exit status 11" in pushed.summary
    assert aws.inventory() == []

    made = runner.run("deploy", public_key=PUBLIC_KEY, more="quota=warn notebooks=false")
    assert made.status == 0, made.log
    machine = account.instance()["InstanceId"]
    assert f"{STACK}: {Effect.NEW.meaning}" in made.summary
    assert f"| InstanceId | <code>{machine}</code> |" in made.summary
    assert re.search(r"\| Ready \| <code>simulated.* MXNet 1\.9\.1.*</code> \|", made.summary)
    assert "token=" not in made.summary
    assert PUBLIC_KEY.split()[1] not in made.summary

    replaced = runner.run("deploy", disk_gib="100", generation="2", may="stops")
    assert replaced.status == Effect.REPLACED.status
    assert f"{machine} is deleted with its disk" in replaced.summary
    assert account.events(machine) == ["launched"]

    pushed = runner.run("deploy", event="push")
    assert pushed.status == 0, "what a push finds changed is in place: quota, key, notebooks"
    may = runner.run("deploy", instance_type="g5.xlarge", may="stops")
    assert may.status == 0, may.log
    assert account.events(machine) == ["launched", "stopped", "started"]

    wrong = runner.run("destroy", confirm="gpuworkstation")
    assert wrong.status == 1
    assert "CONFIRM='gpuworkstation': type the stack's name" in wrong.log
    assert account.instance()["InstanceId"] == machine
    gone = runner.run("destroy", confirm="GpuWorkstation")
    assert gone.status == 0
    assert gone.summary == "GpuWorkstation is destroyed.\n"
    assert aws.inventory() == []


@pytest.mark.tier("all")
def test_a_name_means_its_own_stack_from_deploy_to_destroy(
    aws: LocalAws, runner: Runner, account: Account
) -> None:
    try:
        made = runner.run("deploy", name="anna", more="quota=warn")
        assert made.status == 0, made.log
        assert "GpuWorkstation-anna: " in made.summary
        others = runner.run("destroy", confirm="GpuWorkstation")
        assert (others.status, len(account.instances())) == (0, 1)
        for wrong in ("GpuWorkstation-*", "GpuWorkstation-", "GpuWorkstation-an"):
            runner.run("destroy", confirm=wrong)
            assert len(account.instances()) == 1, wrong
        gone = runner.run("destroy", confirm="GpuWorkstation-anna")
        assert gone.summary == "GpuWorkstation-anna is destroyed.\n"
        assert aws.inventory() == []
    finally:
        delete_stack(aws, "GpuWorkstation-anna")


HOSTILE = [
    "$(touch PWNED)",
    "`touch PWNED`",
    "'; touch PWNED; '",
    '"; touch PWNED; "',
    "x\ntouch PWNED",
    "x\n::set-env name=PATH::/tmp",
    "${IFS}&& touch PWNED",
    "--role-arn arn:aws:iam::123456789012:role/admin",
]


SETTINGS = (
    *("instance_type", "framework", "image", "disk_gib", "generation", "ssh_cidr", "public_key"),
)


def assert_harmless(run: JobRun, tree: Path) -> None:
    assert run.status == 1
    assert not any(line.startswith("::") for line in run.log.splitlines())
    assert "Traceback" not in run.log
    assert not [*tree.rglob("PWNED")]


@pytest.mark.parametrize("first", [0, pytest.param(1, marks=pytest.mark.tier("all"))])
def test_fails_when_settings_hold_something_else_than_a_value(
    aws: LocalAws, runner: Runner, tree: Path, account: Account, first: int
) -> None:
    rotated = [*HOSTILE[first:], *HOSTILE[:first]]
    done = runner.run("deploy", **dict(zip(SETTINGS, rotated, strict=False)))
    assert_harmless(done, tree)
    assert done.step == "Plan"
    assert all(f"ERROR {name}" in done.log for name in SETTINGS)
    assert account.instances() == []


@pytest.mark.parametrize(
    "value",
    [*HOSTILE[:1], *(pytest.param(one, marks=pytest.mark.tier("all")) for one in HOSTILE[1:])],
)
def test_fails_when_other_inputs_hold_it(
    aws: LocalAws, runner: Runner, tree: Path, value: str
) -> None:
    assert_harmless(runner.run("deploy", more=value), tree)
    assert_harmless(runner.run("destroy", confirm=value), tree)


NO_SETTINGS = ["aws:cdk:x=1", "@aws-cdk/core:y=true", "A=1", "=", "framework"]


@pytest.mark.parametrize(
    "words",
    [
        *NO_SETTINGS[:1],
        *(pytest.param(one, marks=pytest.mark.tier("all")) for one in NO_SETTINGS[1:]),
    ],
)
def test_fails_when_more_holds_what_is_no_setting(
    aws: LocalAws, runner: Runner, words: str
) -> None:
    done = runner.run("deploy", more=f"quota=warn {words}")
    assert done.status == 1
    assert f"SETTINGS holds '{words}'; write name=value" in done.log


def test_a_push_deploys_only_where_a_variable_says_so(tree: Path, tmp_path: Path) -> None:
    deploy = Workflow("deploy", tree, {})
    assert deploy.run(tmp_path, event="push") is None
    assert deploy.run(tmp_path, event="push", variables={"DEPLOY_ON_PUSH": "false"}) is None


def test_the_evaluator_is_strict() -> None:
    contexts = {"inputs": {"a": "x"}, "vars": {}, "github": {"event_name": "push"}}
    assert evaluate("inputs.a", contexts) == "x"
    assert evaluate("vars.none || 'd'", contexts) == "d"
    assert evaluate("github.event_name == 'PUSH' || vars.none == 'true'", contexts) == "true"
    for wrong in ("secrets.A", "github.actor", "inputs.a && inputs.a", "fromJSON(inputs.a)", "=="):
        with pytest.raises(WorkflowError):
            evaluate(wrong, contexts)


def test_the_summary_shows_any_value_as_text(tmp_path: Path) -> None:
    values = {"A": "a|b `c` <script>*x*\nnext [l](u)", "B": "plain"}
    (tmp_path / "outputs.json").write_text(json.dumps({"S": values}))
    done = subprocess.run(
        [sys.executable, "ci/outputs_table.py", str(tmp_path / "outputs.json")],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.splitlines()[:2] == ["### S", ""]
    (row,) = [line for line in done.stdout.splitlines() if line.startswith("| A ")]
    assert row.count("|") == 3
    assert not {*"`*[]"} & {*row}
    assert "&lt;script&gt;" in row
    assert "| B | <code>plain</code> |" in done.stdout
