"""Trust policy of a role that jobs of GitHub Actions assume, without long-lived credentials."""

from __future__ import annotations

from typing import Any

from aws_cdk import aws_iam as iam
from constructs import Construct

from gpustation.settings.github import ISSUER

AUDIENCE = "sts.amazonaws.com"
"""Audience of the tokens, as requested by ``aws-actions/configure-aws-credentials``."""


def job_subject(repository: str, environment: str) -> str:
    """Subject of the tokens of a repository's jobs in one of its environments."""
    return f"repo:{repository}:environment:{environment}"


def trust_of_jobs(scope: Construct, subject: str, provider_arn: str = "") -> dict[str, Any]:
    """Trust policy for exactly one subject and audience.

    Args:
        scope: Construct that owns the identity provider, if one is created.
        subject: Subject of the tokens.
        provider_arn: The account's OIDC identity provider for GitHub, of which an account can have
            one. Default: a new one, deleted with its construct.
    """
    return policy_document(
        {
            "Effect": "Allow",
            "Action": "sts:AssumeRoleWithWebIdentity",
            "Principal": {"Federated": provider_arn or _provider(scope).attr_arn},
            # StringEquals supports no wildcards: only this exact subject matches
            "Condition": {"StringEquals": {f"{ISSUER}:aud": AUDIENCE, f"{ISSUER}:sub": subject}},
        }
    )


def policy_document(*statements: dict[str, Any]) -> dict[str, Any]:
    """A policy with these statements."""
    return {"Version": "2012-10-17", "Statement": list(statements)}


def _provider(scope: Construct) -> iam.CfnOIDCProvider:
    # No thumbprints: AWS trusts the certificate authorities of GitHub
    return iam.CfnOIDCProvider(
        scope, "Provider", url=f"https://{ISSUER}", client_id_list=[AUDIENCE]
    )
