"""The status of a CloudFormation stack and of its resources."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from gpustation.aws.calls import UnknownError, call_aws

if TYPE_CHECKING:
    from mypy_boto3_cloudformation import CloudFormationClient


CUSTOM = ("Custom::", "AWS::CloudFormation::CustomResource")
"""How the types of custom resources begin."""


def failed_custom_resources(resources: Iterable[Mapping[str, Any]]) -> list[str]:
    """Logical ids of the custom resources whose deletion failed.

    CloudFormation goes on after the failure and deletes their functions, so that the stack can only
    be deleted without them (``RetainResources``).

    Args:
        resources: What the stack lists.
    """
    return sorted(
        row["LogicalResourceId"]
        for row in resources
        if row["ResourceStatus"] == "DELETE_FAILED" and row["ResourceType"].startswith(CUSTOM)
    )


def is_rolling_back(cloudformation: CloudFormationClient, event: Any) -> bool:
    """True while the stack is rolling back, when a custom resource must not fail.

    Also true if the status cannot be read: a failure during a rollback would leave the stack in
    ``UPDATE_ROLLBACK_FAILED``, which is worse than an update without the check.
    """
    try:
        stacks = call_aws(
            "stack status", lambda: cloudformation.describe_stacks(StackName=event["StackId"])
        )
    except (UnknownError, ClientError):
        return True
    statuses = [
        stack["StackStatus"] for stack in stacks.get("Stacks", []) if "StackStatus" in stack
    ]
    return not statuses or "ROLLBACK" in statuses[0]
