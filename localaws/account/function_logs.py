"""A Lambda function's log, written with the permissions of the function's role.

ministack writes the log, and creates its group, whatever the role allows. On AWS a role without
``logs:CreateLogGroup`` cannot bring back a group that its stack has deleted.
"""

from __future__ import annotations

from typing import Any

from ministack.core import iam_evaluator
from ministack.core.responses import get_account_id, get_region
from ministack.services import cloudwatch_logs, lambda_svc


def install() -> None:
    """Replace ministack's function by one that asks IAM first."""
    plain = lambda_svc._emit_lambda_logs

    def emit(function: dict[str, Any], *args: Any, **kwargs: Any) -> None:
        if _may_write(function.get("config") or function):
            plain(function, *args, **kwargs)

    lambda_svc._emit_lambda_logs = emit


def _may_write(config: dict[str, Any]) -> bool:
    """Whether the function's role may write its log, and create the group if it is missing."""
    logging = config.get("LoggingConfig") or {}
    group = logging.get("LogGroup") or f"/aws/lambda/{config['FunctionName']}"
    account, region = get_account_id(), get_region()
    role = str(config.get("Role", "")).rpartition("/")[2]
    policies = iam_evaluator._gather_role_policies(role, account)

    def may(action: str) -> bool:
        context = iam_evaluator.EvalContext(
            principal_arn=f"arn:aws:sts::{account}:assumed-role/{role}/{config['FunctionName']}",
            principal_type="AssumedRole",
            principal_account=account,
            action=f"logs:{action}",
            resource_arn=f"arn:aws:logs:{region}:{account}:log-group:{group}:log-stream:",
            region=region,
        )
        return bool(iam_evaluator.evaluate(context, policies).decision == "Allow")

    exists = group in cloudwatch_logs._log_groups
    return may("CreateLogStream") and may("PutLogEvents") and (exists or may("CreateLogGroup"))
