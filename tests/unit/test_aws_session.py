"""Commands mean the region that the CDK CLI means, and say AWS's errors in words."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    EndpointConnectionError,
    NoCredentialsError,
    NoRegionError,
    SSOTokenLoadError,
    UnauthorizedSSOTokenError,
)

from gpustation.aws.session import explain, make_session


def test_aws_region_comes_first_as_for_the_cdk(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    assert make_session(environment={"AWS_REGION": "us-west-2"}).region_name == "us-west-2"


@pytest.mark.parametrize("environment", [{}, {"AWS_REGION": ""}])
def test_without_it_boto3_decides(
    monkeypatch: pytest.MonkeyPatch, environment: dict[str, str]
) -> None:
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-west-1")
    assert make_session(environment=environment).region_name == "eu-west-1"


def refused(code: str, message: str = "No.") -> ClientError:
    return ClientError({"Error": {"Code": code, "Message": message}}, "DescribeStacks")


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("ExpiredToken", "the credentials have expired; log in again"),
        ("ExpiredTokenException", "the credentials have expired"),
        ("RequestExpired", "the credentials have expired"),
        ("AuthFailure", "AWS does not accept these credentials in this region"),
        ("InvalidClientTokenId", "that the account has enabled the region"),
        ("UnrecognizedClientException", "AWS does not accept these credentials"),
        ("SignatureDoesNotMatch", "or this computer's clock is"),
        ("OptInRequired", "a new account takes up to 24 hours"),
        ("PendingVerification", "still verifying the new account in this region"),
    ],
)
def test_errors_about_the_caller_say_what_to_do(code: str, words: str) -> None:
    line = explain(refused(code))
    assert line.startswith(f"{code}: No. (")
    assert words in line


def test_an_error_without_a_message_is_its_code() -> None:
    """As Systems Manager's for a parameter that does not exist, recorded in 2024."""
    assert explain(refused("ParameterNotFound", "")) == "ParameterNotFound"


def test_a_missing_bootstrap_says_what_to_do() -> None:
    """With the words that users of the CDK report (aws-cdk#6808)."""
    message = (
        "Unable to fetch parameters [/cdk-bootstrap/hnb659fds/version] from parameter store for "
        "this account."
    )
    error = ClientError({"Error": {"Code": "ValidationError", "Message": message}}, "Create")
    assert "run `cdk bootstrap` once" in explain(error)


def test_any_other_error_is_what_aws_says_in_one_line() -> None:
    assert (
        explain(refused("ValidationError", "Stack\n  is gone")) == "ValidationError: Stack is gone"
    )


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (NoCredentialsError(), "run `aws configure` or `aws sso login`"),
        (NoRegionError(), "Set AWS_REGION, e.g. us-east-1"),
        (SSOTokenLoadError(error_msg="no file"), "(log in again"),
        (UnauthorizedSSOTokenError(), "(log in again"),
        (EndpointConnectionError(endpoint_url="https://a\nb"), "Could not connect"),
    ],
)
def test_errors_of_the_sdk_are_one_line_with_the_remedy(error: BotoCoreError, words: str) -> None:
    assert words in explain(error)
    assert "\n" not in explain(error)


def test_login_credentials_without_awscrt_name_the_package(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = tmp_path / "config"
    config.write_text(
        "[default]\nlogin_session = arn:aws:iam::123456789012:user/alice\nregion = us-east-1\n"
    )
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_CONFIG_FILE", str(config))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    monkeypatch.setattr("botocore.credentials.EC", None)  # as where awscrt is missing
    with pytest.raises(BotoCoreError) as missing:
        make_session(environment={}).client("sts").get_caller_identity()
    assert explain(missing.value) == (
        "the credentials of `aws login` need the package awscrt, which is not installed; run "
        "`make setup`, or python -m pip install 'botocore[crt]'"
    )
