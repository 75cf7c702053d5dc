"""One call to AWS: what is waited for, and what its failures mean."""

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
"""Throttling is retried by the SDK, with back-off: a throttle is never an answer."""

DENIED = frozenset(
    {
        *("AccessDenied", "AccessDeniedException", "UnauthorizedOperation"),
        "DependencyAccessDeniedException",
    }
)
"""What IAM answers, in the spellings of the services."""

MEANINGS = {
    "AuthFailure": "the account may not use EC2 in this region: a new account is still being "
    "verified (up to 24 hours), or the region is not enabled for it",
    "DependencyAccessDeniedException": "the first request of an account creates the service-linked "
    "role of Service Quotas, and this was denied; an administrator runs: aws iam "
    "create-service-linked-role --aws-service-name servicequotas.amazonaws.com",
    "OptInRequired": "the account is not signed up for EC2 yet: finish its registration with a "
    "payment method (a new account waits up to 24 hours), or enable the region for it",
}
"""Codes that say nothing to a person, in words, with the remedy."""

NEW_ROLE_SECONDS = 60.0
"""How long a role's fresh policy may take until every service obeys it (aws-cdk #37675)."""


NOT_UNDERSTOOD = (ArithmeticError, AttributeError, LookupError, TypeError, ValueError)
"""What reading an answer raises that lacks what the documentation promises."""


class UnknownError(Exception):
    """A fact could not be had; the text says why. Never to be read as zero or as enough."""


def call_aws(what: str, call: Callable[[], T]) -> T:
    """Makes the call; waits for a fresh permission; says in words what cannot be had.

    Args:
        what: The fact that is asked for, for the text of the error.
        call: Makes one request; the SDK inside retries throttling.

    Raises:
        UnknownError: After denial for ``NEW_ROLE_SECONDS``, throttling that lasted, a network
            fault, or an account that may not ask at all. Other errors of the service are the
            caller's: they are answers.
    """
    deadline = time.monotonic() + NEW_ROLE_SECONDS
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
                raise UnknownError(f"{what}: AWS did not answer ({code})") from error
            else:
                raise
        except BotoCoreError as error:
            raise UnknownError(f"{what}: AWS was not reached ({type(error).__name__})") from error


def error_code(error: ClientError) -> str:
    """AWS's code of the error; an answer that names none is called ``Unknown``."""
    return str(error.response.get("Error", {}).get("Code") or "Unknown")


def is_passing(error: ClientError) -> bool:
    """True for throttling and server faults, which say nothing about the thing asked for."""
    code = error_code(error)
    status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    throttled = code == "TooManyRequestsException" or "Throttl" in code
    return throttled or code in ("RequestLimitExceeded", "ServiceException") or status >= 500
