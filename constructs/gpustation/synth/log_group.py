"""Log groups that are deleted with their stack."""

from __future__ import annotations

from aws_cdk import RemovalPolicy
from aws_cdk import aws_logs as logs
from constructs import Construct

from gpustation.synth.acknowledge import acknowledge_checkov

LOG_DAYS = 30
"""Retention of log events, in days."""


def add_log_group(
    scope: Construct, construct_id: str, *, name: str | None = None
) -> logs.CfnLogGroup:
    """Adds a log group that ``cdk destroy`` deletes.

    Args:
        scope: Construct that owns it.
        construct_id: ID unique within the scope.
        name: Name of the group, if the service that writes to it requires one. Default: generated
            by CloudFormation.
    """
    log_group = logs.CfnLogGroup(
        scope, construct_id, log_group_name=name, retention_in_days=LOG_DAYS
    )
    log_group.apply_removal_policy(RemovalPolicy.DESTROY)
    acknowledge_checkov(
        log_group,
        {
            "CKV_AWS_158": "CloudWatch encrypts it anyway; nothing secret is in it, and a key of "
            "one's own is 1 USD a month"
        },
    )
    return log_group
