"""Cancels the spot request of a machine when its stack, or its generation, is deleted."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import boto3
from botocore.exceptions import ClientError

from gpustation.aws.calls import RETRIES, UnknownError, error_code
from gpustation.aws.spot import cancel_requests
from gpustation.catalog.capacity import GENERATION_TAG
from gpustation.catalog.spot import SPOT_TAG
from gpustation.handlers.responder import Event, RefusedError, Response, respond

if TYPE_CHECKING:
    from mypy_boto3_ec2 import EC2Client


def on_event(event: dict[str, Any], context: object) -> None:
    """Entry point of the Lambda function."""
    respond(
        event, context, exists, on_delete=lambda request: cancel(request, _client()), must_end=True
    )


def _client() -> EC2Client:
    return boto3.client("ec2", config=RETRIES)


def exists(event: Event) -> Response:
    """The response to Create and Update, which do nothing."""
    physical_id = f"spot-request-of-{event['ResourceProperties']['InstanceId']}"
    return Response(event.get("PhysicalResourceId") or physical_id)


def cancel(
    event: Event,
    ec2: EC2Client,
    sleep: Callable[[float], None] = time.sleep,
    monotonic: Callable[[], float] = time.monotonic,
) -> None:
    """Cancels the requests of this generation of the stack.

    Raises:
        RefusedError: A request is still there: terminating its machine would launch another.
    """
    tags = {
        SPOT_TAG: event["StackId"],
        GENERATION_TAG: event["ResourceProperties"].get("Generation", "1"),
    }
    try:
        left = cancel_requests(ec2, tags, sleep=sleep, monotonic=monotonic)
        why = f"still there: {', '.join(left)}" if left else ""
    except UnknownError as unknown:
        why = str(unknown)
    except ClientError as error:
        why = f"{error.operation_name}: {error_code(error)}"
    if why:
        region = ec2.meta.region_name
        raise RefusedError(
            f"the machine's spot request was not cancelled ({why}); without that, EC2 would launch "
            "another machine after the deletion of this one. Cancel it, then delete again: aws ec2 "
            f"describe-spot-instance-requests --region {region} --filters "
            f"Name=tag:{SPOT_TAG},Values={event['StackId']} --query "
            "SpotInstanceRequests[].SpotInstanceRequestId; aws ec2 cancel-spot-instance-requests "
            f"--region {region} --spot-instance-request-ids ID"
        )
