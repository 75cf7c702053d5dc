"""Puts a template that is too large for a request where CloudFormation reads it.

``cdk deploy`` does so with every template: into the bucket of ``cdk bootstrap``, under the hash of
its text, with the role that may write there. A deploy that follows finds it there.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import boto3

URL_VARIABLE = "AWS_ENDPOINT_URL_S3_FOR_CLOUDFORMATION"
"""The CDK CLI's variable with the address at which CloudFormation finds S3, if not at AWS's own."""


@dataclass(frozen=True)
class TemplateAsset:
    """A template and its place, with the CDK's placeholders such as ``${AWS::AccountId}``.

    Attributes:
        text: The template as it was synthesized, of which the key is the hash.
        bucket: Name of the bucket.
        key: Key of the object.
        role: ARN of the role that may write it; empty if the session's own credentials may.
    """

    text: str
    bucket: str
    key: str
    role: str


def upload(session: boto3.Session, asset: TemplateAsset, environment: Mapping[str, str]) -> str:
    """Write the template into its bucket; returns its address for CloudFormation.

    Args:
        session: Account, region and credentials.
        asset: The template, without placeholders.
        environment: Variables of the process.

    Raises:
        ClientError: AWS refused.
        BotoCoreError: AWS was not reached.
    """
    options: dict[str, str] = {}
    if asset.role:
        credentials = session.client("sts").assume_role(
            RoleArn=asset.role, RoleSessionName="gpustation-plan"
        )["Credentials"]
        options = {
            "aws_access_key_id": credentials["AccessKeyId"],
            "aws_secret_access_key": credentials["SecretAccessKey"],
            "aws_session_token": credentials["SessionToken"],
        }
    # boto3's overloads want to see each option
    make: Any = session.client
    s3 = make("s3", **options)
    s3.put_object(
        Bucket=asset.bucket,
        Key=asset.key,
        Body=asset.text.encode(),
        ContentType="application/json",
    )
    base = environment.get(URL_VARIABLE) or s3.meta.endpoint_url
    return f"{base}/{asset.bucket}/{asset.key}"
