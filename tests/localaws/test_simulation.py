"""IAM's simulation of what a user or role may do, which ``gpustation doctor`` asks for."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import datetime, timezone
from email.utils import parsedate_to_datetime

import pytest

from localaws import LocalAws

ACTIONS = ["ec2:StopInstances", "ec2:StartInstances", "ec2:RebootInstances"]
POLICY = {
    "Version": "2012-10-17",
    "Statement": [
        {
            "Effect": "Allow",
            "Action": ["ec2:StopInstances", "ec2:RebootInstances"],
            "Resource": "*",
        },
        {"Effect": "Deny", "Action": ACTIONS[2], "Resource": "*"},
    ],
}


@pytest.fixture(params=["/", "/people/daily/"])
def role(aws: LocalAws, request: pytest.FixtureRequest) -> Iterator[str]:
    iam = aws.client("iam")
    trust = json.dumps({"Version": "2012-10-17", "Statement": []})
    made = iam.create_role(RoleName="one", Path=request.param, AssumeRolePolicyDocument=trust)
    iam.put_role_policy(RoleName="one", PolicyName="p", PolicyDocument=json.dumps(POLICY))
    yield made["Role"]["Arn"]
    iam.delete_role_policy(RoleName="one", PolicyName="p")
    iam.delete_role(RoleName="one")


def test_a_role_is_found_whatever_its_path(aws: LocalAws, role: str) -> None:
    pages = aws.client("iam").get_paginator("simulate_principal_policy")
    found = pages.paginate(PolicySourceArn=role, ActionNames=ACTIONS).build_full_result()
    decisions = [row["EvalDecision"] for row in found["EvaluationResults"]]
    assert decisions == ["allowed", "implicitDeny", "explicitDeny"]


def test_a_condition_is_met_by_the_entries_of_the_request(aws: LocalAws, role: str) -> None:
    iam = aws.client("iam")
    condition = {"StringLike": {"aws:ResourceTag/gpustation": ["ours-*"]}}
    allowed = {"Effect": "Allow", "Action": "ec2:X", "Resource": "*", "Condition": condition}
    policy = {"Version": "2012-10-17", "Statement": [allowed]}
    iam.put_role_policy(RoleName="one", PolicyName="p", PolicyDocument=json.dumps(policy))
    decisions = []
    for value in (None, "theirs-1", "ours-1"):
        entry = {"ContextKeyName": "aws:resourcetag/gpustation", "ContextKeyType": "string"}
        entries = [{**entry, "ContextKeyValues": [value]}] if value else []
        found = iam.simulate_principal_policy(
            PolicySourceArn=role,
            ActionNames=["ec2:X"],
            ContextEntries=entries,  # type: ignore[list-item]
        )
        decisions.append(found["EvaluationResults"][0]["EvalDecision"])
    assert decisions == ["implicitDeny", "implicitDeny", "allowed"]


def test_every_response_has_the_date(aws: LocalAws) -> None:
    """``gpustation doctor`` compares the clock with it, as do the SDKs of AWS."""
    response = aws.client("sts").get_caller_identity()["ResponseMetadata"]
    sent = parsedate_to_datetime(response["HTTPHeaders"]["date"])
    assert abs((datetime.now(timezone.utc) - sent).total_seconds()) < 60
