"""The resource on which GetParametersByPath is authorized: the path, as if it were a parameter."""

from __future__ import annotations

import json
from typing import Any

from ministack.core import iam_actions
from ministack.core.responses import get_account_id, get_region

OPERATION = "AmazonSSM.GetParametersByPath"


def install() -> None:
    """Upstream the call is authorized on `*`, so that only a policy for everything allows it."""
    plain = iam_actions.extract_resource_arn

    def extract_resource_arn(service: str, *request: Any) -> str:
        headers, body = request[2], request[3]
        if service == "ssm" and headers.get("x-amz-target") == OPERATION:
            path = str(json.loads(body).get("Path", "")).strip("/")
            return f"arn:aws:ssm:{get_region()}:{get_account_id()}:parameter/{path}"
        arn: str = plain(service, *request)
        return arn

    iam_actions.extract_resource_arn = extract_resource_arn
