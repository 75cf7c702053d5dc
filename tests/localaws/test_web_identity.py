"""AWS::IAM::OIDCProvider, and sessions for tokens of such a provider."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from botocore import UNSIGNED
from botocore.config import Config
from botocore.exceptions import ClientError

from localaws import LocalAws
from tests.support.probe_stack import Stack

ISSUER = "https://issuer.example"
TYPE = "AWS::IAM::OIDCProvider"


def provider(**properties: Any) -> dict[str, Any]:
    return {"Type": TYPE, "Properties": {"Url": ISSUER, "ClientIdList": ["me"], **properties}}


def role() -> dict[str, Any]:
    trust = {
        "Effect": "Allow",
        "Action": "sts:AssumeRoleWithWebIdentity",
        "Principal": {"Federated": {"Ref": "Provider"}},
        "Condition": {"StringEquals": {"issuer.example:sub": "the job"}},
    }
    properties = {"AssumeRolePolicyDocument": {"Statement": [trust]}, "MaxSessionDuration": 3600}
    return {"Type": "AWS::IAM::Role", "Properties": properties}


def known(aws: LocalAws) -> dict[str, dict[str, Any]]:
    iam = aws.client("iam")
    arns = [p["Arn"] for p in iam.list_open_id_connect_providers()["OpenIDConnectProviderList"]]
    return {arn: iam.get_open_id_connect_provider(OpenIDConnectProviderArn=arn) for arn in arns}


def test_a_provider_changes_in_place_and_goes(stack: Stack, aws: LocalAws) -> None:
    tags = [{"Key": "gpustation", "Value": "one"}]
    assert stack.create({"Provider": provider(Tags=tags)}) == "CREATE_COMPLETE"
    arn = stack.physical_id("Provider")
    assert arn == "arn:aws:iam::123456789012:oidc-provider/issuer.example"
    assert tags[0] in known(aws)[arn]["Tags"]
    changed = provider(ClientIdList=["me", "you"], ThumbprintList=["a" * 40])
    assert stack.update({"Provider": changed}) == "UPDATE_COMPLETE"
    assert known(aws)[arn]["ClientIDList"] == ["me", "you"]
    assert known(aws)[arn]["ThumbprintList"] == ["a" * 40]
    assert stack.update({"Provider": provider(Url="https://other.example")}) == "UPDATE_COMPLETE"
    (replaced,) = known(aws)
    assert replaced == "arn:aws:iam::123456789012:oidc-provider/other.example"
    assert ("identity provider", replaced) in [(row.kind, row.id) for row in aws.leftovers()]
    assert stack.delete() == "DELETE_COMPLETE"
    assert known(aws) == {}


def test_fails_when_the_account_has_one_of_this_address(stack: Stack, aws: LocalAws) -> None:
    iam = aws.client("iam")
    arn = iam.create_open_id_connect_provider(Url=ISSUER, ClientIDList=["me"])
    try:
        assert stack.create({"Provider": provider()}) == "ROLLBACK_COMPLETE"
        assert "already exists" in stack.reason("Provider")
        assert [*known(aws)] == [arn["OpenIDConnectProviderArn"]], "that of another stays"
    finally:
        iam.delete_open_id_connect_provider(
            OpenIDConnectProviderArn=arn["OpenIDConnectProviderArn"]
        )


@pytest.fixture
def role_arn(stack: Stack, aws: LocalAws) -> Iterator[str]:
    resources = {"Provider": provider(), "Role": role()}
    arn = {"Arn": {"Value": {"Fn::GetAtt": ["Role", "Arn"]}}}
    assert stack.create(resources, arn) == "CREATE_COMPLETE"
    yield stack.outputs()["Arn"]


def assume(aws: LocalAws, arn: str, seconds: int = 900, **claims: Any) -> dict[str, Any]:
    usual = {"iss": ISSUER, "aud": "me", "sub": "the job", "exp": time.time() + 60} | claims
    sts = boto3.client(
        "sts", aws.region, endpoint_url=aws.url, config=Config(signature_version=UNSIGNED)
    )
    answer: dict[str, Any] = sts.assume_role_with_web_identity(
        RoleArn=arn,
        RoleSessionName="job",
        WebIdentityToken=aws.web_identity_token(usual),
        DurationSeconds=seconds,
    )
    return answer


def test_a_token_opens_the_role(aws: LocalAws, role_arn: str) -> None:
    assert assume(aws, role_arn)["AssumedRoleUser"]["Arn"].endswith("/job")


@pytest.mark.parametrize(
    ("changed", "code"),
    [
        ({"sub": "another job"}, "AccessDenied"),
        ({"aud": "you"}, "InvalidIdentityToken"),
        ({"iss": "https://nobody.example"}, "InvalidIdentityToken"),
        ({"exp": 1}, "ExpiredTokenException"),
        ({"seconds": 3601}, "ValidationError"),
    ],
)
def test_fails_when_the_token_is_not_the_one(
    aws: LocalAws, role_arn: str, changed: dict[str, Any], code: str
) -> None:
    with pytest.raises(ClientError) as refused:
        assume(aws, role_arn, **changed)
    assert refused.value.response["Error"]["Code"] == code


def test_fails_when_the_provider_is_gone(aws: LocalAws, stack: Stack, role_arn: str) -> None:
    (provider_arn,) = known(aws)
    aws.client("iam").delete_open_id_connect_provider(OpenIDConnectProviderArn=provider_arn)
    with pytest.raises(ClientError, match="No OpenIDConnect provider found in your account"):
        assume(aws, role_arn)


def test_fails_when_it_is_no_token(aws: LocalAws, role_arn: str) -> None:
    sts = boto3.client(
        "sts", aws.region, endpoint_url=aws.url, config=Config(signature_version=UNSIGNED)
    )
    with pytest.raises(ClientError, match="InvalidIdentityToken"):
        sts.assume_role_with_web_identity(
            RoleArn=role_arn, RoleSessionName="job", WebIdentityToken="nonsense"
        )
