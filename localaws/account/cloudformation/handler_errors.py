"""Errors of resource handlers, in the form in which CloudFormation reports them."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping
from typing import TypeVar

from localaws.account.errors import ApiError

T = TypeVar("T")


def failure(message: str, code: str) -> RuntimeError:
    """A failed handler with CloudFormation's name of the kind of error."""
    return RuntimeError(
        f'Resource handler returned message: "{message}" (RequestToken: {uuid.uuid4()}, '
        f"HandlerErrorCode: {code})"
    )


def call(service: str, codes: Mapping[str, str], default: str, function: Callable[[], T]) -> T:
    """Call a service on behalf of a resource.

    Args:
        service: The service's name in error messages, e.g. `Ec2`.
        codes: HandlerErrorCode by the service's error code.
        default: HandlerErrorCode of every other error.
        function: The call.

    Raises:
        RuntimeError: The service refused the call.
    """
    try:
        return function()
    except ApiError as error:
        raise failure(
            f"{error.message} (Service: {service}, Status Code: {error.status}, "
            f"Request ID: {uuid.uuid4()}) (SDK Attempt Count: 1)",
            codes.get(error.code, default),
        ) from error
