"""What is said of a stack that is not there, or in a state in which nothing can be asked.

Only CloudFormation puts a stack into such a state and then refuses a change set.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from gpustation.plan.change_set import MAX_TEMPLATE_BYTES
from gpustation.plan.judgement import Effect
from localaws import LocalAws
from tests.e2e.conftest import G_QUOTA
from tests.e2e.plan_question import Question, assert_nothing_left
from tests.support.cdk_cli import STACK, Account, Cdk
from tests.support.synthesis import make_app, synthesize


def test_a_stack_that_does_not_exist_is_new_and_is_not_begun(aws: LocalAws, tmp_path: Path) -> None:
    # More settings than a template within a request has room for
    networks = ",".join(f"203.0.{number}.0/24" for number in range(50))
    many = {"spot": True, "monthly_budget_usd": 5, "stop_at": "22:00 UTC", "ssh_cidr": networks}
    assert len(json.dumps(synthesize(**many).to_json()).encode()) > MAX_TEMPLATE_BYTES
    done = Question(aws, tmp_path).ask(instance_type="g5.xlarge", **many)
    assert done.returncode == Effect.NEW.status, done.stderr
    assert done.stdout.startswith(f"{STACK}: a new stack with a new machine\n")
    assert "  instance_type: g5.xlarge\n" in done.stdout
    assert_nothing_left(aws, stacks=[])
    aws.control.fault("DescribeChangeSet", "deny")
    assert Question(aws, tmp_path).ask().returncode == 1
    aws.control.fault("DescribeChangeSet", None)
    assert_nothing_left(aws, stacks=[])


@pytest.mark.tier("all")
def test_a_stack_whose_creation_failed_is_begun_anew(
    aws: LocalAws, cdk: Cdk, account: Account, tmp_path: Path
) -> None:
    aws.control.set_quota(G_QUOTA, 0)
    assert cdk.deploy().status != 0
    status = account.stack_status()
    assert status == "ROLLBACK_COMPLETE"
    done = Question(aws, tmp_path).ask()
    assert done.returncode == Effect.NEW.status
    assert f"its creation failed ({status}" in done.stdout
    assert account.stack_status() == status, "the question deletes nothing"


@pytest.mark.tier("all")
def test_a_stack_that_waits_for_review_stays_so(aws: LocalAws, cdk: Cdk, tmp_path: Path) -> None:
    assembly = tmp_path / "reviewed"
    make_app(outdir=str(assembly)).synth()
    cdk.run(
        *("deploy", "--app", str(assembly), "--method", "prepare-change-set"),
        *("--change-set-name", "theirs", "--require-approval", "never"),
    )
    assert Question(aws, tmp_path).ask().returncode == Effect.NEW.status
    listed = aws.client("cloudformation").list_change_sets(StackName=STACK)["Summaries"]
    assert [row["ChangeSetName"] for row in listed] == ["theirs"]
