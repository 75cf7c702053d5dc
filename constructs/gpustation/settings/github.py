"""Validates the settings for GitHub, which decide which jobs may assume the deploy role.

They become the condition of the role's trust policy, so only unambiguous values are accepted.
Functions follow the conventions of ``gpustation.settings.values``.
"""

from __future__ import annotations

import re

from gpustation.aws import partitions
from gpustation.settings.values import text

ISSUER = "token.actions.githubusercontent.com"
"""Issuer of the tokens of GitHub Actions jobs, without ``https://``."""

MAX_ENVIRONMENT = 255
"""Longest name of an environment (GitHub, "Managing environments for deployment")."""

MAX_OWNER = 39
"""Longest name of a user or organization."""

_REPOSITORY = re.compile(r"([^/@]+)(@[0-9]{1,20})?/([^/@]+)(@[0-9]{1,20})?")
# Old accounts have hyphens anywhere; managed users have a suffix _<short code of the enterprise>
_OWNER = re.compile(r"[A-Za-z0-9-]+(_[A-Za-z0-9]+)?")
_NAME = re.compile(r"[A-Za-z0-9._-]{1,100}")
_RESERVED_ENDINGS = (".git", ".wiki")
_ADDRESS = re.compile(r"(?:https?://|git@|ssh://git@)?github\.com[/:]([^/]+/[^/]+?)(?:\.git)?/?")
_PROVIDER = re.compile(rf"arn:([a-z-]+):iam::[0-9]{{12}}:oidc-provider/{re.escape(ISSUER)}")
# No ' " ` , ; \ (GitHub forbids them), no ${...} (resolved by IAM), no {{...}} (by CloudFormation)
_ENVIRONMENT = re.compile(rf"[A-Za-z0-9 !#%&()+./<=>@^_|~-]{{1,{MAX_ENVIRONMENT}}}")
_PATTERNS = "*?"


def repository(value: object) -> str:
    """A repository in the form of the subject of its tokens.

    ``owner/name``, or ``owner@123/name@456`` with the ids of an immutable subject. All
    repositories created, renamed or transferred since 2026-07-15 have an immutable subject, others
    can opt in (GitHub, "OpenID Connect reference").
    """
    given = text(value)
    if any(mark in given for mark in _PATTERNS):
        raise ValueError(
            "must be one repository, without * or ?; every repository that matches could change "
            "the account, so deploy one role per repository"
        )
    address = _ADDRESS.fullmatch(given)
    if address and _names_repository(address[1]):
        raise ValueError(f"is an address; did you mean {address[1]}?")
    if not _names_repository(given):
        raise ValueError(
            "must be owner/name as GitHub spells it, or owner@id/name@id with the ids of both; "
            "`gh api repos/OWNER/NAME/actions/oidc/customization/sub` prints which (docs/ci.md)"
        )
    return given


def _names_repository(given: str) -> bool:
    parts = _REPOSITORY.fullmatch(given)
    if parts is None:
        return False
    owner, owner_id, name, name_id = parts.groups()
    return (
        (owner_id is None) == (name_id is None)
        and len(owner) <= MAX_OWNER
        and _OWNER.fullmatch(owner) is not None
        and _NAME.fullmatch(name) is not None
        and name not in (".", "..")
        and not name.endswith(_RESERVED_ENDINGS)
    )


def environment(value: object) -> str:
    """The name of an environment of the repository."""
    given = text(value)
    if any(mark in given for mark in _PATTERNS):
        raise ValueError(
            "must be one environment, without * or ?; its protection rules decide who may deploy"
        )
    if ":" in given:
        raise ValueError(
            "must not contain a colon, the separator in the subject of a token; rename the "
            "environment"
        )
    if not _ENVIRONMENT.fullmatch(given):
        raise ValueError(
            f"must be 1 to {MAX_ENVIRONMENT} of A-Z a-z 0-9, blank and ! # % & ( ) + . / < = > @ ^ "
            "_ | ~ -; use a plain name such as production"
        )
    return given


def provider_arn(value: object) -> str:
    """The ARN of the account's identity provider for GitHub."""
    given = text(value)
    parts = _PROVIDER.fullmatch(given)
    if parts is None or parts[1] not in partitions.names():
        raise ValueError(
            f"must be arn:aws:iam::ACCOUNT:oidc-provider/{ISSUER}; "
            "`aws iam list-open-id-connect-providers` lists the providers"
        )
    return given
