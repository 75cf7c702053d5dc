"""A single call to AWS, with retries and with errors translated into messages."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

T = TypeVar("T")

RETRIES = Config(
    retries={"mode": "standard", "max_attempts": 8}, connect_timeout=5, read_timeout=10
)
"""The SDK retries throttling with back-off."""

ONE_RETRY = Config(
    retries={"mode": "standard", "total_max_attempts": 2}, connect_timeout=5, read_timeout=30
)
"""For a start: the SDK also retries a lack of capacity, which another second does not change."""

DENIED = frozenset(
    {
        *("AccessDenied", "AccessDeniedException", "UnauthorizedOperation"),
        "DependencyAccessDeniedException",
    }
)
"""Error codes for missing permissions, as the services spell them."""

MEANINGS = {
    "AuthFailure": "the account may not use EC2 in this region: a new account is still being "
    "verified (up to 24 hours), or the region is not enabled for it",
    "DependencyAccessDeniedException": "the first request of an account creates the service-linked "
    "role of Service Quotas, and this was denied; an administrator runs: aws iam "
    "create-service-linked-role --aws-service-name servicequotas.amazonaws.com",
    "OptInRequired": "the account is not signed up for EC2 yet: finish its registration with a "
    "payment method (a new account waits up to 24 hours), or enable the region for it",
    "PendingVerification": "AWS is still verifying the new account in this region, which takes "
    "minutes to hours; try again when its mail has come",
}
"""Explanation and remedy for error codes that are not self-explanatory."""

NEW_ROLE_SECONDS = 60.0
"""How long a new role's policy may take to be effective in every service (aws-cdk #37675)."""


NOT_UNDERSTOOD = (ArithmeticError, AttributeError, LookupError, TypeError, ValueError)
"""Errors raised while reading a response that lacks documented members."""


class UnknownError(Exception):
    """A value could not be determined; the message gives the reason. It is not the same as zero."""


def call_aws(what: str, call: Callable[[], T], *, patience: float | None = None) -> T:
    """Makes the call, and retries a denial for as long as a new role's policy may be pending.

    Args:
        what: What the call reads, for the error message.
        call: Makes one request; the SDK retries throttling.
        patience: How long a denial is retried, in seconds; 0 for a person's own permissions.
            Default: ``NEW_ROLE_SECONDS``.

    Raises:
        UnknownError: Denied for that long, throttled beyond the SDK's retries, a network
            error, or an account that may not use the service. Other errors of the service are
            raised unchanged, because the caller interprets them.
    """
    deadline = time.monotonic() + (NEW_ROLE_SECONDS if patience is None else patience)
    pause = 1.0
    while True:
        try:
            return call()
        except ClientError as error:
            code = error_code(error)
            if code in DENIED and time.monotonic() + pause <= deadline:
                time.sleep(pause)
                pause = min(pause * 2, 10.0)
            elif code in MEANINGS:
                raise UnknownError(f"{what}: {MEANINGS[code]} ({code})") from error
            elif code in DENIED:
                raise UnknownError(f"{what}: permission is missing ({code})") from error
            elif is_passing(error):
                raise UnknownError(f"{what}: AWS did not respond ({code})") from error
            else:
                raise
        except BotoCoreError as error:
            raise UnknownError(
                f"{what}: AWS could not be reached ({type(error).__name__})"
            ) from error


def error_code(error: ClientError) -> str:
    """AWS's error code; ``Unknown`` if the response has none."""
    return str(error.response.get("Error", {}).get("Code") or "Unknown")


def is_passing(error: ClientError) -> bool:
    """True for throttling and server errors, which are temporary."""
    code = error_code(error)
    status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    throttled = code == "TooManyRequestsException" or "Throttl" in code
    return throttled or code in ("RequestLimitExceeded", "ServiceException") or status >= 500
