"""Signature Version 4 of every caller, of root too: ministack does not check root's."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from ministack.core import sigv4
from ministack.core.iam_evaluator import (
    AuthError,
    CredentialResolutionError,
    resolve_credential,
)
from ministack.core.responses import _account_from_sts_session, get_account_id
from ministack.core.router import extract_access_key_id
from ministack.core.sigv4 import (
    HeaderSignature,
    header_signature_failure,
    parse_header_signature,
    parse_query_signature,
)
from ministack.services import s3

ALGORITHM = "AWS4-HMAC-SHA256"
Query = Mapping[str, list[str]]
MISSING = AuthError("MissingAuthenticationToken", "Missing Authentication Token")
UNKNOWN = AuthError(
    "UnrecognizedClientException", "The security token included in the request is invalid."
)


def install(clock: Callable[[], dt.datetime]) -> None:
    """Accept the time of a signature by the account's clock, too.

    Upstream only real time counts. The SDK for JavaScript signs by the Date header of responses,
    boto3 by the computer's clock.
    """
    plain_failure = sigv4.request_time_failure
    plain_expired = sigv4.presigned_request_is_expired

    def failure(signature: HeaderSignature) -> Any:
        return plain_failure(signature) and plain_failure(signature, now=clock())

    def expired(amz_date: str, seconds: str | int) -> bool:
        real = plain_expired(amz_date, seconds)
        return bool(real and plain_expired(amz_date, seconds, now=clock()))

    sigv4.request_time_failure = failure
    for module in (sigv4, s3):
        module.presigned_request_is_expired = expired


@dataclass(frozen=True)
class Caller:
    """The caller that a request names, before its signature is checked.

    Attributes:
        signature: The signature of the request.
        secret: The key that it must be made with.
        presigned: Whether the signature is in the query.
    """

    signature: HeaderSignature
    secret: str
    presigned: bool

    def fault(
        self, method: str, raw_path: str, query: Query, headers: Mapping[str, str], body: bytes
    ) -> AuthError | None:
        """Why the signature is wrong; None if it is right."""
        failure = header_signature_failure(
            *(self.signature, self.secret, method, raw_path, query, headers, body),
            presigned=self.presigned,
        )
        return AuthError(*failure) if failure else None


def identify(query: Query, headers: Mapping[str, str]) -> Caller | AuthError:
    """The caller that a request names, if the account knows it and the request has not expired.

    Args:
        query: Parameters of the query.
        headers: Headers by their names in lower case.
    """
    presigned = "authorization" not in headers
    signature = _presigned(query) if presigned else _header(headers)
    if isinstance(signature, AuthError):
        return signature
    # ministack must not read another caller in the request than the one whose signature is checked
    if extract_access_key_id(dict(headers), dict(query)) != signature.access_key_id:
        return UNKNOWN
    tokens = query.get("X-Amz-Security-Token", [""])
    token = tokens[0] if presigned else headers.get("x-amz-security-token", "")
    key = signature.access_key_id
    known = resolve_credential(key, _account_from_sts_session(key) or get_account_id(), token)
    if isinstance(known, CredentialResolutionError):
        return AuthError(known.code, known.message)
    return Caller(signature, known.secret_access_key, presigned)


def _header(headers: Mapping[str, str]) -> HeaderSignature | AuthError:
    if not headers["authorization"].startswith(f"{ALGORITHM} "):
        return AuthError("IncompleteSignature", f"the algorithm must be {ALGORITHM}")
    signature = parse_header_signature(headers)
    fault = signature if isinstance(signature, tuple) else sigv4.request_time_failure(signature)
    return AuthError(*fault) if fault else signature


def _presigned(query: Query) -> HeaderSignature | AuthError:
    if query.get("X-Amz-Algorithm") != [ALGORITHM]:
        return MISSING
    signature = parse_query_signature(query)
    if isinstance(signature, tuple):
        return AuthError(*signature)
    try:
        seconds = query.get("X-Amz-Expires", ["0"])[0]
        expired = sigv4.presigned_request_is_expired(signature.amz_date, seconds)
    except ValueError:
        expired = True
    return AuthError("AccessDenied", "Request has expired") if expired else signature
