"""What CloudFormation says about a stack."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from gpustation.aws.calls import UnknownError, call_aws

if TYPE_CHECKING:
    from mypy_boto3_cloudformation import CloudFormationClient


def is_rolling_back(cloudformation: CloudFormationClient, event: Any) -> bool:
    """True while the stack goes back to what it was: then nothing may be refused any more.

    When the status cannot be had the answer is true as well: a refusal in a rollback would leave
    the stack stuck, an unchecked update is only unchecked.
    """
    try:
        stacks = call_aws(
            "stack status", lambda: cloudformation.describe_stacks(StackName=event["StackId"])
        )
    except (UnknownError, ClientError):
        return True
    found = [stack["StackStatus"] for stack in stacks.get("Stacks", []) if "StackStatus" in stack]
    return not found or "ROLLBACK" in found[0]
