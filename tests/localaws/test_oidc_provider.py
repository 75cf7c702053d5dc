"""AWS::IAM::OIDCProvider, which ministack's CloudFormation lacks."""

from __future__ import annotations

from typing import Any

from localaws import LocalAws
from tests.support.probe_stack import Stack

ISSUER = "https://issuer.example"
TYPE = "AWS::IAM::OIDCProvider"


def provider(**properties: Any) -> dict[str, Any]:
    return {"Type": TYPE, "Properties": {"Url": ISSUER, "ClientIdList": ["me"], **properties}}


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
    assert ("identity provider", replaced) in [(row.kind, row.id) for row in aws.inventory()]
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
