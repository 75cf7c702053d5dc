"""Instances in EC2's authorization: their tags as condition keys, and every instance of a call."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qs

from ministack import app
from ministack.core import iam_actions, iam_evaluator, router
from ministack.core.responses import get_account_id, get_region
from ministack.services import ec2

KEYS = ("aws:ResourceTag", "ec2:ResourceTag")


def install() -> None:
    """Correct how ministack's IAM reads a call of EC2.

    Upstream no condition on an instance's tags is ever met, only the first instance of a call is
    authorized, and a Describe call is authorized on the resource that it names: on AWS it needs
    `*`.
    """
    plain_arn, plain_context = iam_actions.extract_resource_arn, iam_actions.request_tag_context
    plain_service = app.SERVICE_HANDLERS["ec2"]

    def extract_resource_arn(service: str, *request: Any) -> str:
        if service == "ec2" and str(ec2._p(request[4], "Action")).startswith("Describe"):
            return "*"
        arn: str = plain_arn(service, *request)
        return arn

    def request_tag_context(
        service: str, action: str, body: bytes, parameters: Mapping[str, Any]
    ) -> dict[str, Any]:
        context: dict[str, Any] = plain_context(service, action, body, parameters)
        if service != "ec2":
            return context
        first = ec2._p(parameters, "InstanceId.1") or ec2._p(parameters, "InstanceId")
        return {**_tags_of(str(first)), **context}

    async def authorized(
        method: str, path: str, headers: Mapping[str, str], body: bytes, query: Mapping[str, Any]
    ) -> Any:
        parameters = {**parse_qs(body.decode(errors="replace")), **query}
        action = f"ec2:{ec2._p(parameters, 'Action')}"
        named = ec2._parse_member_list(parameters, "InstanceId")
        others = [] if action.startswith("ec2:Describe") else named[1:]
        for name in others:
            key = router.extract_access_key_id(dict(headers), dict(query))
            arn = f"arn:aws:ec2:{get_region()}:{get_account_id()}:instance/{name}"
            refused = iam_evaluator.enforce(key, action, "ec2", get_region(), arn, _tags_of(name))
            if refused is not None:
                request = str(uuid.uuid4())
                return iam_actions.access_denied_response(
                    "ec2", action, refused.principal_arn, request, headers=headers
                )
        return await plain_service(method, path, headers, body, query)

    iam_actions.extract_resource_arn = extract_resource_arn
    iam_actions.request_tag_context = request_tag_context
    app.SERVICE_HANDLERS["ec2"] = authorized


def _tags_of(instance_id: str) -> dict[str, str]:
    """The tags of an instance as condition keys."""
    tags = ec2._tags.get(instance_id, []) if instance_id in ec2._instances else []
    return {f"{key}/{tag['Key']}".lower(): tag["Value"] for key in KEYS for tag in tags}
