"""STS's AssumeRoleWithWebIdentity: what it asks of a token before the role's own policy is read."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any
from urllib.parse import parse_qs

from ministack import app
from ministack.services import iam

from localaws.credentials import Credentials
from localaws.errors import ApiError

Answer = tuple[int, dict[str, str], bytes]
Service = Callable[[str, str, Mapping[str, str], bytes, Mapping[str, Any]], Awaitable[Answer]]


def install(credentials: Credentials) -> None:
    """Check before ministack, which reads the trust policy and gives the session."""
    app.SERVICE_HANDLERS["sts"] = _checked(app.SERVICE_HANDLERS["sts"], credentials)


def _checked(service: Service, credentials: Credentials) -> Service:
    async def checked(
        method: str, path: str, headers: Mapping[str, str], body: bytes, query: Mapping[str, Any]
    ) -> Answer:
        form = {key: values[0] for key, values in parse_qs(body.decode(errors="replace")).items()}
        if form.get("Action") == "AssumeRoleWithWebIdentity":
            try:
                _check(form, credentials)
            except ApiError as error:
                found: Answer = iam._error(error.status, error.code, error.message, ns="sts")
                return found
        return await service(method, path, headers, body, query)

    return checked


def _check(form: Mapping[str, str], credentials: Credentials) -> None:
    """Refuse what AWS refuses; `LocalAws.web_identity_token` signs for every issuer."""
    token = form.get("WebIdentityToken", "")
    claims = _claims(token)
    if not credentials.signed(token):
        raise ApiError("InvalidIdentityToken", "The token's signature is invalid")
    issuer, (account, name) = str(claims.get("iss", "")), _role(form.get("RoleArn", ""))
    arn = f"arn:aws:iam::{account}:oidc-provider/{issuer.removeprefix('https://')}"
    provider = iam._oidc_providers.get_scoped(account, None, arn)
    if provider is None:
        raise ApiError(
            "InvalidIdentityToken",
            f"No OpenIDConnect provider found in your account for {issuer}",
        )
    if claims.get("aud") not in provider["ClientIDList"]:
        raise ApiError("InvalidIdentityToken", "Incorrect token audience")
    if float(claims.get("exp", 0)) < time.time():
        raise ApiError("ExpiredTokenException", "Token expired")
    role = iam._roles.get_scoped(account, None, name) or {}
    if int(form.get("DurationSeconds", 0)) > role.get("MaxSessionDuration", 3600):
        raise ApiError(
            "ValidationError",
            "The requested DurationSeconds exceeds the MaxSessionDuration set for this role.",
        )


def _role(arn: str) -> tuple[str, str]:
    """Account and name of a role."""
    parts = arn.split(":")
    if len(parts) != 6 or not parts[5].startswith("role/"):
        raise ApiError("ValidationError", f"{arn} is invalid")
    return parts[4], parts[5].rpartition("/")[2]


def _claims(token: str) -> dict[str, Any]:
    parts = token.split(".")
    try:
        padded = parts[1] + "=" * (-len(parts[1]) % 4)
        claims: dict[str, Any] = json.loads(base64.urlsafe_b64decode(padded))
    except (IndexError, ValueError) as error:
        text = "The ID Token provided is not a valid JWT"
        raise ApiError("InvalidIdentityToken", text) from error
    return claims
