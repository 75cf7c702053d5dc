"""What a Lambda function writes, as its role: a group that is gone comes back only if it may.

ministack makes the group whatever the role says. AWS delivers the lines as the function's role,
some seconds after the run, so also after a stack has removed the group.
"""

from __future__ import annotations

import contextvars
from collections.abc import Callable
from functools import partial
from typing import Any

from ministack.core import iam_evaluator
from ministack.core.responses import get_account_id, get_region
from ministack.services import cloudwatch_logs, lambda_svc

from localaws.world import World


def install(world: World) -> None:
    """Take the place of ministack's function."""
    plain = lambda_svc._emit_lambda_logs

    def emit(function: dict[str, Any], *about: Any, **more: Any) -> None:
        allowed = _allowed(function.get("config") or function)
        context = contextvars.copy_context()
        world.deliver(
            partial(context.run, _deliver, partial(plain, function, *about, **more), allowed)
        )

    lambda_svc._emit_lambda_logs = emit


def _allowed(config: dict[str, Any]) -> Callable[[], bool]:
    """Whether the lines may be written, by what the role may do at the time of the run.

    IAM forgets a policy within seconds, not at once: what was allowed then is the worst case.
    """
    logging = config.get("LoggingConfig") or {}
    group = logging.get("LogGroup") or f"/aws/lambda/{config['FunctionName']}"
    account, region = get_account_id(), get_region()
    role = str(config.get("Role", "")).rpartition("/")[2]
    policies = iam_evaluator._gather_role_policies(role, account)

    def may(action: str) -> bool:
        about = iam_evaluator.EvalContext(
            principal_arn=f"arn:aws:sts::{account}:assumed-role/{role}/{config['FunctionName']}",
            principal_type="AssumedRole",
            principal_account=account,
            action=f"logs:{action}",
            resource_arn=f"arn:aws:logs:{region}:{account}:log-group:{group}:log-stream:",
            region=region,
        )
        return bool(iam_evaluator.evaluate(about, policies).decision == "Allow")

    writes = may("CreateLogStream") and may("PutLogEvents")
    creates = may("CreateLogGroup")
    return lambda: writes and (creates or group in cloudwatch_logs._log_groups)


def _deliver(write: Callable[[], None], allowed: Callable[[], bool]) -> None:
    if allowed():
        write()
