"""What Image Builder does as a role: reads objects, writes a log, deletes an image."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError
from ministack.core.responses import get_region

from localaws.machines.host import ActionError, Fetch

Clients = Callable[[str], Any]
FLUSH_SECONDS, FLUSH_LINES = 1.0, 1000


class Log:
    """A build's log, as on AWS: without permission there is no log, and the build continues.

    Args:
        access: Makes the role's clients.
        group: Log group.
        stream: Log stream.
    """

    def __init__(self, access: Clients, group: str, stream: str) -> None:
        self._logs = access("logs")
        self._place = {"logGroupName": group, "logStreamName": stream}
        self._lines: list[dict[str, Any]] = []
        self._flushed = 0.0
        # Denied the creation of a group, even an existing one, the service gives up (roadmap, #109)
        may_make = self._try(partial(self._logs.create_log_group, logGroupName=group))
        self._open = may_make and self._try(partial(self._logs.create_log_stream, **self._place))

    def write(self, line: str) -> None:
        """Add a line."""
        self._lines.append({"timestamp": int(time.time() * 1000), "message": line or " "})
        late = time.monotonic() - self._flushed > FLUSH_SECONDS
        if late or len(self._lines) >= FLUSH_LINES:
            self.flush()

    def flush(self) -> None:
        """Send what was added."""
        if self._open and self._lines:
            call = partial(self._logs.put_log_events, **self._place, logEvents=self._lines)
            self._open = self._try(call)
        self._lines, self._flushed = [], time.monotonic()

    def _try(self, call: Callable[[], Any]) -> bool:
        try:
            call()
        except ClientError as error:
            return str(error.response["Error"]["Code"]) == "ResourceAlreadyExistsException"
        return True


def clients(given: dict[str, str]) -> Clients:
    """Clients with a role's session; without a session every call is refused."""
    # Never nothing: boto3 would look for credentials of this computer
    session = boto3.session.Session(
        given.get("access_key", "no-role"),
        given.get("secret_key", "no-role"),
        given.get("session_token"),
        get_region(),
    )
    endpoint = f"http://localhost:{os.environ['GATEWAY_PORT']}"
    # boto3's overloads want a literal service name
    make: Any = session.client
    # Deleting a snapshot deletes a machine's disk, which takes minutes on a busy computer
    return partial(make, endpoint_url=endpoint, config=Config(read_timeout=600))


def fetcher(access: Clients) -> Fetch:
    """Reads objects from S3 as the role."""
    s3 = access("s3")

    def fetch(bucket: str, key: str) -> bytes:
        try:
            return bytes(s3.get_object(Bucket=bucket, Key=key)["Body"].read())
        except ClientError as error:
            raise ActionError(f"s3://{bucket}/{key}: {error}") from error

    return fetch


def remove_image(access: Clients, image_id: str, snapshots: list[str]) -> None:
    """Deregister an image and delete its snapshots; some may have been deleted before.

    Raises:
        ClientError: The role may not.
    """
    ec2 = access("ec2")
    calls = [partial(ec2.deregister_image, ImageId=image_id)]
    calls += [partial(ec2.delete_snapshot, SnapshotId=snapshot) for snapshot in snapshots]
    for call in calls:
        try:
            call()
        except ClientError as error:
            code = str(error.response["Error"]["Code"])
            if not code.startswith(("InvalidAMIID.", "InvalidSnapshot.NotFound")):
                raise
