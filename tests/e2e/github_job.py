"""A job of GitHub Actions as AWS sees it: its token, and the session that it gets for it."""

import time
from typing import Any

import boto3
from botocore import UNSIGNED
from botocore.config import Config

from localaws import LocalAws

ISSUER = "https://token.actions.githubusercontent.com"
REPOSITORY = "octo-org/octo-repo"
SUBJECT = f"repo:{REPOSITORY}:environment:production"


def token(aws: LocalAws, **claims: Any) -> str:
    """A token with the claims of the right job, but for those that are given."""
    usual = {"iss": ISSUER, "aud": "sts.amazonaws.com", "sub": SUBJECT, "exp": time.time() + 300}
    return aws.web_identity_token(usual | claims)


def assume(aws: LocalAws, role_arn: str, seconds: int = 3600, **claims: Any) -> dict[str, str]:
    """The session's variables, as ``aws-actions/configure-aws-credentials`` sets them.

    Raises:
        ClientError: The role does not open.
    """
    sts = boto3.client(
        "sts",
        region_name=aws.region,
        endpoint_url=aws.url,
        config=Config(signature_version=UNSIGNED),
    )
    given = sts.assume_role_with_web_identity(
        RoleArn=role_arn,
        RoleSessionName="job",
        WebIdentityToken=token(aws, **claims),
        DurationSeconds=seconds,
    )["Credentials"]
    return {
        "AWS_ACCESS_KEY_ID": given["AccessKeyId"],
        "AWS_SECRET_ACCESS_KEY": given["SecretAccessKey"],
        "AWS_SESSION_TOKEN": given["SessionToken"],
    }


def client(aws: LocalAws, session: dict[str, str], service: str) -> Any:
    """A client of the embedded AWS that acts as the session."""
    make: Any = boto3.client  # its overloads want a literal service name
    return make(
        service,
        region_name=aws.region,
        endpoint_url=aws.url,
        aws_access_key_id=session["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=session["AWS_SECRET_ACCESS_KEY"],
        aws_session_token=session["AWS_SESSION_TOKEN"],
    )


def outputs(aws: LocalAws, stack: str) -> dict[str, str]:
    """Outputs of a stack."""
    (found,) = aws.client("cloudformation").describe_stacks(StackName=stack)["Stacks"]
    return {row["OutputKey"]: row["OutputValue"] for row in found["Outputs"]}
