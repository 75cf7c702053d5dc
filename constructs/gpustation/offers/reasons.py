"""Why a call to AWS gave no value, as a clause for tables."""

from __future__ import annotations

from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    ConnectTimeoutError,
    ReadTimeoutError,
)

from gpustation.aws.calls import DENIED, UnknownError, error_code


def reason(error: Exception) -> str:
    """The reason in one line; a missing permission is named."""
    cause = error.__cause__ if isinstance(error, UnknownError) else error
    if isinstance(cause, (ConnectTimeoutError, ReadTimeoutError)):
        return "no answer in time"
    if isinstance(cause, ClientError):
        code = error_code(cause)
        if code in DENIED:
            return f"no permission for {cause.operation_name}"
        return str(error) if cause is not error else f"{cause.operation_name}: {code}"
    if isinstance(error, (BotoCoreError, OSError)):
        return f"not reached ({type(error).__name__})"
    return str(error) or type(error).__name__
