"""Cancels the spot request of a machine when its stack, or its generation, is deleted."""

from __future__ import annotations

import logging
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

PATIENCE_SECONDS = 120.0
"""How long a cancellation is tried: with the last try it is less than the function's timeout."""

PAUSE_SECONDS = 10.0

log = logging.getLogger(__name__)
log.setLevel(logging.INFO)


def on_event(event: dict[str, Any], context: object) -> None:
    """Entry point of the Lambda function."""
    respond(
        event,
        context,
        exists,
        on_delete=lambda request: cancel(request, _client()),
        undeleted=advice,
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

    It tries for ``PATIENCE_SECONDS``, as the deletion of the stack goes on when this one fails.

    Raises:
        RefusedError: A request is still there: terminating its machine would launch another.
    """
    tags = {
        SPOT_TAG: event["StackId"],
        GENERATION_TAG: event["ResourceProperties"].get("Generation", "1"),
    }
    deadline = monotonic() + PATIENCE_SECONDS
    while why := _try_to_cancel(ec2, tags, sleep, monotonic):
        if monotonic() + PAUSE_SECONDS >= deadline:
            raise RefusedError(why)
        log.warning("tried again in %.0f s: %s", PAUSE_SECONDS, why)
        sleep(PAUSE_SECONDS)


def _try_to_cancel(
    ec2: EC2Client,
    tags: dict[str, str],
    sleep: Callable[[float], None],
    monotonic: Callable[[], float],
) -> str:
    """Why a request is left; empty if none is."""
    try:
        left = cancel_requests(ec2, tags, sleep=sleep, monotonic=monotonic)
    except UnknownError as unknown:
        return str(unknown)
    except ClientError as error:
        return f"{error.operation_name}: {error_code(error)}"
    return f"still there: {', '.join(left)}" if left else ""


def advice(event: Event, why: str) -> str:
    """What a person does after a Delete that failed; nothing else in the stack waits for it."""
    _, _, _, region, _, stack = event["StackId"].split(":")
    name = stack.split("/")[1]
    return (
        f"the machine's spot request was not cancelled ({why}), and the machine is deleted all the "
        f"same: EC2 launches another one. `gpustation leftovers --region {region}` lists both, and "
        "a stack that failed, with the commands that remove them. By hand: cancel the request, "
        "terminate that machine; if the stack itself was to go, aws cloudformation delete-stack "
        f"--region {region} --stack-name {name} --retain-resources {event['LogicalResourceId']}"
    )
