"""The session of a command, with the region as the CDK CLI selects it, and AWS's error messages."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping

import boto3
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    MissingDependencyException,
    NoCredentialsError,
    NoRegionError,
    SSOError,
    UnauthorizedSSOTokenError,
)

_LOG_IN = "log in again (`aws sso login`, `aws login`), or renew the keys"
_REMEDIES = {
    **dict.fromkeys(
        ("ExpiredToken", "ExpiredTokenException", "RequestExpired"),
        f"the credentials have expired; {_LOG_IN}",
    ),
    **dict.fromkeys(
        ("AuthFailure", "InvalidClientTokenId", "UnrecognizedClientException"),
        "AWS does not accept these credentials in this region; check `aws sts "
        "get-caller-identity`, and that the account has enabled the region",
    ),
    "SignatureDoesNotMatch": "the secret key is wrong, or this computer's clock is",
    "OptInRequired": "the account is not signed up for this service or region yet; a new account "
    "takes up to 24 hours, and some regions must be enabled first",
    "PendingVerification": "AWS is still verifying the new account in this region, which takes "
    "minutes to hours; try again when its mail has come",
}
"""Remedies for errors of credentials, clock and account, by error code."""
_BOOTSTRAP = (
    "the CDK was never set up in this account and region; run `cdk bootstrap` once, with an "
    "administrator's permissions"
)
"""CloudFormation's message names the parameter of the bootstrap stack only."""
_ACTION = re.compile(r"not authorized to perform: ([A-Za-z0-9-]+:[A-Za-z0-9*]+)")
_MISSING = (
    "the credentials of `aws login` need the package awscrt, which is not installed; run "
    "`make setup`, or python -m pip install 'botocore[crt]'"
)


def make_session(region: str = "", environment: Mapping[str, str] = os.environ) -> boto3.Session:
    """A session in the given region, else in that of ``AWS_REGION``, which boto3 does not read.

    Without either, boto3's own order applies: ``AWS_DEFAULT_REGION``, then the profile.
    """
    return boto3.Session(region_name=region or environment.get("AWS_REGION") or None)


def explain(error: ClientError | BotoCoreError) -> str:
    """Message of an error of AWS or its SDK in one line, with a remedy if the code implies one."""
    if isinstance(error, ClientError):
        code, message = error.response["Error"]["Code"], error.response["Error"]["Message"]
        if action := _ACTION.search(message):
            message = f"the permission {action[1]} is missing: {message}"
        remedy = _REMEDIES.get(code, _BOOTSTRAP if "/cdk-bootstrap/" in message else "")
        said = f"{code}: {message}" if message else code  # e.g. ParameterNotFound has no message
        return " ".join(f"{said}{f' ({remedy})' if remedy else ''}".split())
    if isinstance(error, MissingDependencyException) and "crt" in str(error):
        return _MISSING
    text = " ".join(str(error).split())
    if isinstance(error, NoCredentialsError):
        return f"{text}; run `aws configure` or `aws sso login`"
    if isinstance(error, NoRegionError):
        return f"{text} Set AWS_REGION, e.g. us-east-1"
    if isinstance(error, (SSOError, UnauthorizedSSOTokenError)):
        return f"{text} ({_LOG_IN})"
    return text
