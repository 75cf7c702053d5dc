"""The role of acceptance runs: who may assume it, what it may do, where it names no wildcard."""

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from gpustation.acceptance.rights import RIGHTS
from stacks.gpu_acceptance_role_stack import GpuAcceptanceRoleStack
from tests.support.synthesis import (
    ROOT,
    make_app,
    resource,
    synthesize_acceptance_role,
    synthesize_role,
)
from tests.support.template_graph import statements

REPOSITORY = {"github_repository": "octo-org/octo-repo"}
PROVIDER = "arn:aws:iam::123456789012:oidc-provider/token.actions.githubusercontent.com"
ISSUER = "token.actions.githubusercontent.com"
MAX_INLINE_POLICIES = 10_240
"""Characters of all inline policies of a role together, without blanks (IAM quotas)."""
READS = re.compile(
    r"[a-z0-9-]+:(Describe|Get|List|Filter)\w+|dynamodb:Scan|iam:SimulatePrincipalPolicy"
)
NAMES = re.compile(r"Gpu(Workstation|Image)-acceptance-")
OF_NO_STACK = {
    "PassExecutionRole": "the bootstrap's, which trusts only CloudFormation",
    "PublishAssets": "the bootstrap's; the files of all stacks have one bucket",
    "UseSshDocument": "AWS's own document; the machine is in StartSessions",
    "OpenSessions": "the role's own sessions",
    "EndSessions": "the role's own sessions",
}
"""Statements that change something and name no stack, each with what limits it."""


def role(**settings: Any) -> dict[str, Any]:
    properties: dict[str, Any] = resource(
        synthesize_acceptance_role(**{**REPOSITORY, **settings}), "AWS::IAM::Role"
    )["Properties"]
    return properties


def rights() -> Iterator[tuple[str, dict[str, Any]]]:
    """Each statement of the template by its Sid."""
    for statement in statements({"Properties": role()}):
        if "Sid" in statement:
            yield statement["Sid"], statement


@pytest.mark.parametrize("environment", ["production", "staging"])
def test_only_the_environment_of_its_name_opens_it_whatever_the_settings_are(
    environment: str,
) -> None:
    """Whom the comparison keeps out: tests/infra/test_gpu_deploy_role_stack.py."""
    (statement,) = role(github_environment=environment)["AssumeRolePolicyDocument"]["Statement"]
    assert statement == {
        "Effect": "Allow",
        "Action": "sts:AssumeRoleWithWebIdentity",
        "Principal": {"Federated": {"Fn::GetAtt": ["AcceptanceRoleProvider89D47061", "Arn"]}},
        "Condition": {
            "StringEquals": {
                f"{ISSUER}:aud": "sts.amazonaws.com",
                f"{ISSUER}:sub": "repo:octo-org/octo-repo:environment:acceptance",
            }
        },
    }


def test_no_environment_opens_both_roles_by_default() -> None:
    subjects = {
        template.to_json()["Outputs"]["Subject"]["Value"]
        for template in (synthesize_role(**REPOSITORY), synthesize_acceptance_role(**REPOSITORY))
    }
    assert len(subjects) == 2


def test_the_accounts_own_provider_is_used() -> None:
    template = synthesize_acceptance_role(**REPOSITORY, github_oidc_provider_arn=PROVIDER)
    template.resource_count_is("AWS::IAM::OIDCProvider", 0)
    trust = role(github_oidc_provider_arn=PROVIDER)["AssumeRolePolicyDocument"]["Statement"][0]
    assert trust["Principal"] == {"Federated": PROVIDER}


def test_a_session_outlasts_the_job_and_the_policy_fits() -> None:
    properties = role()
    assert properties["MaxSessionDuration"] == 3 * 3600
    assert "ManagedPolicyArns" not in properties
    (policy,) = properties["Policies"]
    # References are longer here than their values, so this counts too much
    written = json.dumps(policy["PolicyDocument"], separators=(",", ":"))
    assert len(written) < MAX_INLINE_POLICIES


def test_the_workflow_fits_the_role() -> None:
    """Whether its session may last so long, and where a session's id begins with its name."""
    text = (ROOT / ".github" / "workflows" / "acceptance.yml").read_text()
    job = yaml.safe_load(text)["jobs"]["run"]
    (given,) = [step["with"] for step in job["steps"] if "aws-actions/" in step.get("uses", "")]
    assert given["role-duration-seconds"] == role()["MaxSessionDuration"]
    assert job["timeout-minutes"] * 60 < given["role-duration-seconds"]
    (subject,) = role()["AssumeRolePolicyDocument"]["Statement"][0]["Condition"].values()
    assert subject[f"{ISSUER}:sub"].endswith(f":environment:{job['environment']}")
    start = given["role-session-name"].partition("${{")[0]
    for sid in ("OpenSessions", "EndSessions"):
        assert f":session/{start}*" in json.dumps(dict(rights())[sid]["Resource"])


def test_every_statement_allows_named_actions() -> None:
    found = dict(rights())
    assert [*found] == [right.sid for right in RIGHTS]
    for statement in found.values():
        assert statement["Effect"] == "Allow"
        assert not any("*" in action for action in statement["Action"])
        assert not {"NotAction", "NotResource"} & statement.keys()


def test_what_changes_something_names_an_acceptance_stack() -> None:
    """In its resource, or in the tag that its condition compares."""
    writes = {
        sid: statement
        for sid, statement in rights()
        if not all(READS.fullmatch(action) for action in statement["Action"])
    }
    unlimited = {
        sid
        for sid, statement in writes.items()
        if not NAMES.search(json.dumps([statement["Resource"], statement.get("Condition")]))
    }
    assert unlimited == OF_NO_STACK.keys()
    assert len(writes) > len(unlimited)


def test_every_resource_of_a_limited_statement_is_of_an_acceptance_stack() -> None:
    """One ARN of another stack in the list would be as good as no limit."""
    for sid, statement in rights():
        if sid in ("ChangeStacks", "ReadLogs", "ReadLedger"):
            arns = statement["Resource"]
            for arn in arns if isinstance(arns, list) else [arns]:
                assert NAMES.search(json.dumps(arn)), sid
        for operator, keys in statement.get("Condition", {}).items():
            if operator == "StringLike":
                assert all(NAMES.match(text) for texts in keys.values() for text in texts), sid


def test_it_reads_what_leftovers_documents() -> None:
    text = (ROOT / "docs" / "leftovers.md").read_text()
    (policy,) = re.findall(r"```json\n(.*?)```", text, re.DOTALL)
    (documented,) = json.loads(policy)["Statement"]
    assert {*documented["Action"]} <= {*dict(rights())["ReadAccount"]["Action"]}


def test_all_carry_the_tag() -> None:
    for kind in ("AWS::IAM::Role", "AWS::IAM::OIDCProvider"):
        tags = resource(synthesize_acceptance_role(**REPOSITORY), kind)["Properties"]["Tags"]
        assert tags == [{"Key": "gpustation", "Value": "GpuAcceptanceRole"}]


def test_its_outputs_are_what_github_needs() -> None:
    outputs = synthesize_acceptance_role(**REPOSITORY).to_json()["Outputs"]
    assert set(outputs) == {"AcceptanceRoleArn", "Subject"}
    assert "ACCEPTANCE_ROLE_ARN" in outputs["AcceptanceRoleArn"]["Description"]


def test_without_a_repository_it_trusts_nobody_and_says_what_to_pass() -> None:
    template = synthesize_acceptance_role()
    template.resource_count_is("AWS::IAM::Role", 0)
    template.resource_count_is("AWS::IAM::OIDCProvider", 0)
    stack = make_app().node.find_child("Ci").node.find_child("GpuAcceptanceRole")
    assert isinstance(stack, GpuAcceptanceRoleStack)
    (error,) = [entry.data for entry in stack.node.metadata if entry.type == "aws:cdk:error"]
    assert "pass -c github_repository=owner/name" in str(error)
