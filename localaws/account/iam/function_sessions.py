"""Random credentials of Lambda functions: ministack computes theirs from the function's name."""

from __future__ import annotations

from typing import Any

from ministack.core import lambda_runtime
from ministack.services import lambda_svc

from localaws.account.ec2.instance_record import new_session


def install() -> None:
    """Replace ministack's function; upstream the secrets can be computed from the name."""
    for module in (lambda_runtime, lambda_svc):
        module.execution_credentials = credentials


def credentials(config: dict[str, Any]) -> dict[str, str]:
    """Environment variables with a session of the function's role."""
    return open_session(config.get("Role", "").rpartition("/")[2], config["FunctionName"])


def open_session(role: str, name: str = "session") -> dict[str, str]:
    """A new session of a role, as the environment variables that the AWS SDKs read."""
    session = new_session(role, name)
    return {
        "AWS_ACCESS_KEY_ID": session["access_key"],
        "AWS_SECRET_ACCESS_KEY": session["secret_key"],
        "AWS_SESSION_TOKEN": session["session_token"],
    }
