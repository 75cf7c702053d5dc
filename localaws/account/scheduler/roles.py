"""The role of a target: who may use it, and for what."""

from __future__ import annotations

import json
from typing import Any

from ministack.core import iam_evaluator
from ministack.core.responses import get_account_id, get_region
from ministack.services import iam

from localaws.account.errors import ApiError

SERVICE = "scheduler.amazonaws.com"
_NOT_ASSUMED = (
    "The execution role you provide must allow AWS EventBridge Scheduler to assume the role."
)


def group_arn(group: str) -> str:
    """The ARN of a group, which `aws:SourceArn` is for all its schedules."""
    return f"arn:aws:scheduler:{get_region()}:{get_account_id()}:schedule-group/{group}"


def require_trust(role_arn: str, group: str) -> None:
    """Check that the role's trust policy admits Scheduler for a group.

    Raises:
        ApiError: It does not, or the role does not exist.
    """
    role = iam._roles.get(role_arn.rpartition("/")[2])
    if role is None or role["Arn"] != role_arn or not _admits(role, group_arn(group)):
        raise ApiError("ValidationException", _NOT_ASSUMED)


def require_pass(access_key: str, role_arn: str) -> None:
    """Check that the caller may pass the role to Scheduler.

    Raises:
        ApiError: The caller may not.
    """
    action, context = "iam:PassRole", {"iam:passedtoservice": SERVICE}
    refused = iam_evaluator.enforce(access_key, action, "iam", get_region(), role_arn, context)
    if refused is not None:
        raise ApiError(
            "AccessDeniedException",
            f"User is not authorized to perform: {action} on resource: {role_arn}",
            403,
        )


def _admits(role: dict[str, Any], group: str) -> bool:
    document = role["AssumeRolePolicyDocument"]
    document = json.loads(document) if isinstance(document, str) else document
    statements = document["Statement"]
    statements = statements if isinstance(statements, list) else [statements]
    # The evaluator wants a resource, which a trust policy does not have
    trust = {"Statement": [{**statement, "Resource": "*"} for statement in statements]}
    context = iam_evaluator.EvalContext(
        principal_arn=SERVICE,
        principal_type="AWSService",
        principal_account=get_account_id(),
        action="sts:AssumeRole",
        resource_arn=role["Arn"],
        region=get_region(),
        service_context={"aws:sourcearn": group, "aws:sourceaccount": get_account_id()},
    )
    result = iam_evaluator.evaluate_resource_policy(trust, context, service=SERVICE)
    return bool(result.decision == "Allow")
