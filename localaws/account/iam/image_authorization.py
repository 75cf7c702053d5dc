"""What IAM must know about images: actions of Image Builder, ARNs, and tags of images."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any
from urllib.parse import unquote

from ministack.core import iam_actions
from ministack.core.responses import get_account_id
from ministack.services import ec2

BUILDER = "imagebuilder"


def install() -> None:
    """Correct how ministack's IAM reads a call.

    Upstream it does not know Image Builder, gives images and snapshots of EC2 an account in their
    ARN, and knows no tags of theirs for `aws:ResourceTag`.
    """
    plain_arn, plain_context = iam_actions.extract_resource_arn, iam_actions.request_tag_context
    plain_action = iam_actions.extract_iam_action

    def extract_iam_action(service: str, method: str, path: str, *request: Any) -> str | None:
        if service == BUILDER:
            return f"{BUILDER}:{path.strip('/')}"
        action: str | None = plain_action(service, method, path, *request)
        return action

    def extract_resource_arn(service: str, *request: Any) -> str:
        if service == BUILDER:
            return _builder_arn(*request[3:5])
        arn: str = plain_arn(service, *request)
        if service == "ec2" and arn.split(":")[-1].startswith(("image/", "snapshot/")):
            return arn.replace(f":{get_account_id()}:", "::", 1)
        if service == "logs" and ":log-group:" in arn:
            # As AWS names it in its refusals; what GetAtt gives of a group ends with ":*"
            return f"{arn}:log-stream:"
        return arn

    def request_tag_context(
        service: str, action: str, body: bytes, parameters: Mapping[str, Any]
    ) -> dict[str, Any]:
        context: dict[str, Any] = plain_context(service, action, body, parameters)
        return {**(_tags_of(parameters) if service == "ec2" else {}), **context}

    iam_actions.extract_iam_action = extract_iam_action
    iam_actions.extract_resource_arn = extract_resource_arn
    iam_actions.request_tag_context = request_tag_context


def _builder_arn(body: bytes, query: Mapping[str, Any]) -> str:
    """The Image Builder resource that a call names; `*` for a list, which names none."""
    values = [value[0] if isinstance(value, list) else value for value in query.values()]
    values += [value for value in json.loads(body or b"{}").values() if isinstance(value, str)]
    arns = [unquote(value) for value in values]
    return next((arn for arn in arns if arn.startswith("arn:aws:imagebuilder:")), "*")


def _tags_of(parameters: Mapping[str, Any]) -> dict[str, str]:
    """The tags of the image or snapshot that a call names, as condition keys."""
    resource = str(ec2._p(parameters, "ImageId") or ec2._p(parameters, "SnapshotId"))
    tags = ec2._tags.get(resource, [])
    return {f"aws:ResourceTag/{tag['Key']}".lower(): tag["Value"] for tag in tags}
