"""The deploy role: who may assume it, what it may do, and its stack without a repository."""

import json
from typing import Any

import aws_cdk as cdk
import pytest

from gpustation import DeployRole
from stacks.gpu_deploy_role_stack import GpuDeployRoleStack
from tests.support.synthesis import make_app, resource, synthesize_role

REPOSITORY = {"github_repository": "octo-org/octo-repo"}
PROVIDER = "arn:aws:iam::123456789012:oidc-provider/token.actions.githubusercontent.com"
ISSUER = "token.actions.githubusercontent.com"


def role(**settings: Any) -> dict[str, Any]:
    properties: dict[str, Any] = resource(
        synthesize_role(**{**REPOSITORY, **settings}), "AWS::IAM::Role"
    )["Properties"]
    return properties


def trust(**settings: Any) -> dict[str, Any]:
    (statement,) = role(**settings)["AssumeRolePolicyDocument"]["Statement"]
    found: dict[str, Any] = statement
    return found


def test_exactly_one_subject_and_audience_open_it() -> None:
    assert trust() == {
        "Effect": "Allow",
        "Action": "sts:AssumeRoleWithWebIdentity",
        "Principal": {"Federated": {"Fn::GetAtt": ["DeployRoleProvider9789598E", "Arn"]}},
        "Condition": {
            "StringEquals": {
                f"{ISSUER}:aud": "sts.amazonaws.com",
                f"{ISSUER}:sub": "repo:octo-org/octo-repo:environment:production",
            }
        },
    }


STRANGERS = {
    "another repository": {"sub": "repo:octo-org/other:environment:production"},
    "another owner": {"sub": "repo:evil/octo-repo:environment:production"},
    "a longer name": {"sub": "repo:octo-org/octo-repo-2:environment:production"},
    "another spelling": {"sub": "repo:Octo-Org/octo-repo:environment:production"},
    "ids in the name": {"sub": "repo:octo-org@1/octo-repo@2:environment:production"},
    "another environment": {"sub": "repo:octo-org/octo-repo:environment:staging"},
    "a longer environment": {"sub": "repo:octo-org/octo-repo:environment:production-2"},
    "a branch": {"sub": "repo:octo-org/octo-repo:ref:refs/heads/main"},
    "a tag": {"sub": "repo:octo-org/octo-repo:ref:refs/tags/v1"},
    "a pull request": {"sub": "repo:octo-org/octo-repo:pull_request"},
    "a branch named like the environment": {
        "sub": "repo:octo-org/octo-repo:ref:refs/heads/environment:production"
    },
    "a star": {"sub": "*"},
    "a star for the repository": {"sub": "repo:*:environment:production"},
    "a star for the environment": {"sub": "repo:octo-org/octo-repo:environment:*"},
    "question marks": {"sub": "repo:octo-org/octo-rep?:environment:production"},
    "no subject": {"sub": ""},
    "another audience": {"aud": "https://github.com/octo-org"},
}


@pytest.mark.parametrize("stranger", STRANGERS)
def test_fails_when_a_stranger_asks_for_a_session(stranger: str) -> None:
    """``StringEquals`` compares letter by letter and has no wildcards, so equality decides."""
    condition = trust()["Condition"]
    assert condition.keys() == {"StringEquals"}
    claims = {"aud": "sts.amazonaws.com"} | STRANGERS[stranger]
    required = condition["StringEquals"]
    assert any(required[f"{ISSUER}:{name}"] != value for name, value in claims.items())


def test_only_tokens_of_githubs_issuer_open_it() -> None:
    """STS names the provider by the token's issuer; the role trusts this one and no other."""
    providers = synthesize_role(**REPOSITORY).find_resources("AWS::IAM::OIDCProvider")
    ((logical_id, provider),) = providers.items()
    assert trust()["Principal"] == {"Federated": {"Fn::GetAtt": [logical_id, "Arn"]}}
    assert provider["Properties"]["Url"] == f"https://{ISSUER}"
    assert provider["Properties"]["ClientIdList"] == ["sts.amazonaws.com"]


@pytest.mark.parametrize(
    ("settings", "names"),
    [
        ({}, ["GpuWorkstation", "GpuImage"]),
        ({"name": "anna"}, ["GpuWorkstation", "GpuImage"]),
        (
            {"deploy_role_names": "anna,Bob-2"},
            [
                *("GpuWorkstation", "GpuImage", "GpuWorkstation-anna", "GpuImage-anna"),
                *("GpuWorkstation-Bob-2", "GpuImage-Bob-2"),
            ],
        ),
    ],
)
def test_it_reads_the_stacks_of_the_listed_names_and_no_others(
    settings: dict[str, Any], names: list[str]
) -> None:
    (policy,) = role(**settings)["Policies"]
    (reads,) = [s for s in policy["PolicyDocument"]["Statement"] if s["Sid"] == "ReadStacks"]
    arns = [arn["Fn::Join"][1][-1] for arn in reads["Resource"]]
    assert [arn.removeprefix(":stack/") for arn in arns] == [f"{name}/*" for name in names]


def test_forty_names_fit_into_the_roles_policy() -> None:
    """IAM takes 10,240 characters without blanks; the longest region and partition count."""
    names = [f"{'n' * 18}{n:02}" for n in range(40)]
    (policy,) = role(deploy_role_names=names)["Policies"]
    text = json.dumps(policy["PolicyDocument"], separators=(",", ":"))
    arns = len("arn:aws-us-gov:cloudformation:ap-southeast-7:123456789012:stack/") * 80
    written = json.dumps(policy["PolicyDocument"]["Statement"][1]["Resource"])
    assert len(text) - len(written) + arns + 80 * len('GpuWorkstation-/*,""') + 80 * 20 < 10_240


def test_the_subject_follows_the_settings() -> None:
    condition = trust(github_repository="octo@1/repo@2", github_environment="stage 2")["Condition"]
    assert condition["StringEquals"][f"{ISSUER}:sub"] == "repo:octo@1/repo@2:environment:stage 2"


def test_it_makes_the_provider_by_cloudformation_alone() -> None:
    template = synthesize_role(**REPOSITORY)
    template.resource_count_is("AWS::Lambda::Function", 0)
    template.has_resource_properties(
        "AWS::IAM::OIDCProvider",
        {"Url": f"https://{ISSUER}", "ClientIdList": ["sts.amazonaws.com"]},
    )


def test_it_takes_the_accounts_provider_where_one_is_named() -> None:
    template = synthesize_role(**REPOSITORY, github_oidc_provider_arn=PROVIDER)
    template.resource_count_is("AWS::IAM::OIDCProvider", 0)
    assert trust(github_oidc_provider_arn=PROVIDER)["Principal"] == {"Federated": PROVIDER}


def test_it_may_do_two_things_and_a_session_ends_after_an_hour() -> None:
    properties = role()
    assert properties["MaxSessionDuration"] == 3600
    assert "ManagedPolicyArns" not in properties
    (policy,) = properties["Policies"]
    act, read = policy["PolicyDocument"]["Statement"]
    assert act["Action"] == "sts:AssumeRole"
    place = "${AWS::AccountId}-${AWS::Region}"
    assert act["Resource"] == [
        {"Fn::Sub": f"arn:${{AWS::Partition}}:iam::${{AWS::AccountId}}:role/{name}-{place}"}
        for name in ("cdk-hnb659fds-deploy-role", "cdk-hnb659fds-file-publishing-role")
    ]
    assert read["Action"] == ["cloudformation:DescribeStacks", "cloudformation:GetTemplate"]
    ends = [arn["Fn::Join"][1][-1] for arn in read["Resource"]]
    assert ends == [":stack/GpuWorkstation/*", ":stack/GpuImage/*"]


def test_another_qualifier_is_followed() -> None:
    app = cdk.App(
        context={"@aws-cdk/core:bootstrapQualifier": "mine12345"},
        builtin_cloud_formation_validation=False,
    )
    stack = cdk.Stack(app, "Stack")
    DeployRole(stack, "Role", repository="o/r", environment="e", stack_names=["A"])
    text = str(cdk.assertions.Template.from_stack(stack).to_json()["Resources"])
    assert text.count("cdk-mine12345-") == 2
    assert "hnb659fds" not in text


def test_all_carry_the_tag() -> None:
    for kind in ("AWS::IAM::Role", "AWS::IAM::OIDCProvider"):
        tags = resource(synthesize_role(**REPOSITORY), kind)["Properties"]["Tags"]
        assert tags == [{"Key": "gpustation", "Value": "GpuDeployRole"}]


def test_its_outputs_are_what_github_needs() -> None:
    outputs = synthesize_role(**REPOSITORY).to_json()["Outputs"]
    assert set(outputs) == {"DeployRoleArn", "Subject"}
    assert "production" in outputs["DeployRoleArn"]["Description"]
    assert outputs["Subject"]["Value"] == "repo:octo-org/octo-repo:environment:production"


def errors(**settings: Any) -> list[str]:
    stack = make_app(**settings).node.find_child("Ci").node.find_child("GpuDeployRole")
    assert isinstance(stack, GpuDeployRoleStack)
    assert stack.stack_name == "GpuDeployRole"
    return [str(entry.data) for entry in stack.node.metadata if entry.type == "aws:cdk:error"]


def test_without_a_repository_it_trusts_nobody_and_says_what_to_pass() -> None:
    template = synthesize_role()
    template.resource_count_is("AWS::IAM::Role", 0)
    template.resource_count_is("AWS::IAM::OIDCProvider", 0)
    (error,) = errors()
    assert "pass -c github_repository=owner/name" in error
    assert errors(**REPOSITORY) == []


@pytest.mark.parametrize("key", ["github_repository", "github_environment"])
def test_a_fault_is_told_once(key: str) -> None:
    told = errors(**{**REPOSITORY, key: "*"})
    assert len(told) == 1
    assert told[0].startswith(f"{key}=*: ")
