"""What IAM must know for images: actions, ARNs, the tags of what a call names, AWS's policies."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any
from urllib.parse import unquote

from ministack.core import iam_actions
from ministack.core.responses import get_account_id
from ministack.services import ec2, iam

BUILDER = "imagebuilder"
_TAG = {"StringEquals": {"aws:ResourceTag/CreatedBy": "EC2 Image Builder"}}
_LOG_CALLS = ["logs:CreateLogStream", "logs:CreateLogGroup", "logs:PutLogEvents"]
_IMAGE_CALLS = [
    *("ec2:EnableImage", "ec2:DeregisterImage", "ec2:EnableImageDeprecation"),
    *("ec2:DescribeImageAttribute", "ec2:DisableImage", "ec2:DisableImageDeprecation"),
]
POLICIES: dict[str, list[tuple[list[str], str, dict[str, Any]]]] = {
    "EC2InstanceProfileForImageBuilder": [
        (["imagebuilder:GetComponent"], "*", {}),
        (["s3:GetObject"], "arn:aws:s3:::ec2imagebuilder*", {}),
        (_LOG_CALLS, "arn:aws:logs:*:*:log-group:/aws/imagebuilder/*", {}),
    ],
    "service-role/EC2ImageBuilderLifecycleExecutionPolicy": [
        (_IMAGE_CALLS, "arn:aws:ec2:*::image/*", _TAG),
        (["ec2:DeleteSnapshot"], "arn:aws:ec2:*::snapshot/*", _TAG),
        (["tag:GetResources"], "*", {}),
    ],
}
"""AWS's policies for roles of Image Builder, in what they allow that is asked for here."""


def install() -> None:
    """Correct ministack's reading of calls, and add the policies."""
    for name, statements in POLICIES.items():
        rows = [
            {"Effect": "Allow", "Action": actions, "Resource": resource, "Condition": condition}
            for actions, resource, condition in statements
        ]
        document = json.dumps({"Version": "2012-10-17", "Statement": rows})
        record = iam._make_aws_managed_record(name, document)
        iam._aws_managed_policies[record["Arn"]] = record
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
        service: str, action: str, body: bytes, asked: Mapping[str, Any]
    ) -> dict[str, Any]:
        context: dict[str, Any] = plain_context(service, action, body, asked)
        return {**(_tags_of(asked) if service == "ec2" else {}), **context}

    iam_actions.extract_iam_action = extract_iam_action
    iam_actions.extract_resource_arn = extract_resource_arn
    iam_actions.request_tag_context = request_tag_context


def _builder_arn(body: bytes, query: Mapping[str, Any]) -> str:
    """The resource of Image Builder that a call names; a list names none."""
    named = [value[0] if isinstance(value, list) else value for value in query.values()]
    named += [value for value in json.loads(body or b"{}").values() if isinstance(value, str)]
    arns = [unquote(one) for one in named if unquote(one).startswith("arn:aws:imagebuilder:")]
    return arns[0] if arns else "*"


def _tags_of(asked: Mapping[str, Any]) -> dict[str, str]:
    """The tags of the image or snapshot that a call names, as condition keys."""
    named = str(ec2._p(asked, "ImageId") or ec2._p(asked, "SnapshotId"))
    tags = ec2._tags.get(named, [])
    return {f"aws:ResourceTag/{tag['Key']}".lower(): tag["Value"] for tag in tags}
