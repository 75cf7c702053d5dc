"""Targets of schedules: a function, or a call of EC2, made as the target's role."""

from __future__ import annotations

import json
import re
from functools import cache
from typing import Any

import botocore.session
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError, ParamValidationError
from ministack.core.responses import get_region

from localaws.account.errors import ApiError
from localaws.account.iam.function_sessions import open_session
from localaws.account.scheduler.roles import require_trust

_FUNCTION = re.compile(r"arn:aws:lambda:[a-z0-9-]+:\d{12}:function:[A-Za-z0-9_:$-]+")
_UNIVERSAL = "arn:aws:scheduler:::aws-sdk:"
_READS = ("get", "describe", "list", "poll", "receive", "search", "scan", "query", "select", "read")
"""Beginnings of operations that Scheduler does not call (user guide, "Universal targets")."""
SECONDS = 30
"""How long a target may take to answer; what AWS grants is not documented."""


def require_known(target: dict[str, Any]) -> None:
    """Check that a target is one that the embedded AWS can invoke.

    Raises:
        ApiError: It is not.
    """
    arn = str(target.get("Arn", ""))
    if _FUNCTION.fullmatch(arn):
        return
    service, _, operation = arn.removeprefix(_UNIVERSAL).partition(":")
    if not arn.startswith(_UNIVERSAL):
        text = f"the embedded AWS knows functions and calls of EC2 as targets, not {arn}"
    elif service != "ec2":
        text = f"the embedded AWS knows universal targets of EC2 only, not {arn}"
    elif operation[:1].isupper() or _api_name(operation) not in _operations(service):
        text = f"Invalid RequestJson provided. Reason: {service} has no operation {operation}"
    elif operation.startswith(_READS):
        text = f"{arn}: Scheduler does not call operations that only read"
    else:
        _require_json(target.get("Input", "{}"))
        return
    raise ApiError("ValidationException", text)


class Targets:
    """Invokes targets by this account's own interfaces, so that IAM decides as for every caller.

    Args:
        endpoint: Address of the embedded AWS.
    """

    def __init__(self, endpoint: str) -> None:
        self._endpoint = endpoint

    def invoke(self, target: dict[str, Any], group: str, text: str) -> str:
        """Invoke a target.

        Args:
            target: As the schedule has it.
            group: Name of the schedule's group, which the role's trust policy may require.
            text: The input.

        Returns:
            Why it failed; empty if it did not.
        """
        try:
            require_trust(target["RoleArn"], group)
            session = open_session(target["RoleArn"].rpartition("/")[2], "scheduler")
            if _FUNCTION.fullmatch(target["Arn"]):
                function = {"FunctionName": target["Arn"], "InvocationType": "Event"}
                self._call("lambda", "Invoke", {**function, "Payload": text.encode()}, session)
            else:
                operation = target["Arn"].rpartition(":")[2]
                self._call("ec2", _api_name(operation), json.loads(text), session)
        except (ApiError, ClientError, BotoCoreError, ParamValidationError, ValueError) as error:
            return f"{error}"
        return ""

    def _call(
        self, service: str, operation: str, request: dict[str, Any], session: dict[str, str]
    ) -> None:
        client = _session().create_client(
            service,
            region_name=get_region(),
            endpoint_url=self._endpoint,
            aws_access_key_id=session["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=session["AWS_SECRET_ACCESS_KEY"],
            aws_session_token=session["AWS_SESSION_TOKEN"],
            config=Config(retries={"total_max_attempts": 1}, read_timeout=SECONDS, proxies={}),
        )
        methods = client.meta.method_to_api_mapping
        method = next(name for name, api in methods.items() if api == operation)
        getattr(client, method)(**request)


@cache
def _session() -> Any:
    return botocore.session.get_session()


@cache
def _operations(service: str) -> frozenset[str]:
    return frozenset(_session().get_service_model(service).operation_names)


def _api_name(operation: str) -> str:
    return operation[:1].upper() + operation[1:]


def _require_json(text: str) -> None:
    try:
        json.loads(text)
    except ValueError as error:
        raise ApiError("ValidationException", "Invalid RequestJson provided.") from error
