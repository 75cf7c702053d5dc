"""Events and stubbed AWS clients for the handlers of the custom resources."""

import datetime
from collections.abc import Callable
from concurrent.futures import Executor, Future
from typing import Any

import boto3
from botocore.stub import Stubber

STACK_ID = "arn:aws:cloudformation:us-east-1:123456789012:stack/GpuWorkstation/uuid-1"
Event = dict[str, Any]


def make_event(kind: str, new: dict[str, str], old: dict[str, str] | None = None) -> Event:
    """An event as CloudFormation sends it; all property values are text."""
    event: Event = {
        "RequestType": kind,
        "RequestId": "request-1",
        "StackId": STACK_ID,
        "LogicalResourceId": "Resource",
        "ResponseURL": "http://localhost:1/answer",
        "ResourceProperties": new,
    }
    if kind != "Create":
        event["PhysicalResourceId"] = "Resource-passed"
    if old is not None:
        event["OldResourceProperties"] = old
    return event


class StubbedAws:
    """Clients whose answers a test sets beforehand; unused or unexpected calls fail."""

    def __init__(self) -> None:
        keys = {
            "region_name": "us-east-1",
            "aws_access_key_id": "x",
            "aws_secret_access_key": "x",
        }
        names = ("ec2", "ssm", "service-quotas", "cloudformation", "freetier", "pricing")
        self.clients = {name: boto3.client(name, **keys) for name in names}  # type: ignore[call-overload]
        self._asked = {"freetier": False, "pricing": False}
        self.stubbers = {name: Stubber(client) for name, client in self.clients.items()}
        for stubber in self.stubbers.values():
            stubber.activate()

    def answer(
        self, service: str, operation: str, answer: dict[str, Any], expected: Any = None
    ) -> None:
        """The next call of the service gets this answer, if its parameters are as expected."""
        self._asked[service] = True
        self.stubbers[service].add_response(operation, answer, expected)

    def fail(self, service: str, operation: str, code: str, status: int = 400) -> None:
        """The next call of the service fails with this code."""
        self._asked[service] = True
        self.stubbers[service].add_client_error(operation, code, http_status_code=status)

    def asked(self, service: str) -> bool:
        """Whether a client is there: of plan and prices only where a test sets an answer."""
        return self._asked.get(service, True)

    def assert_all_asked(self) -> None:
        """Every answer that was set has been asked for."""
        for stubber in self.stubbers.values():
            stubber.assert_no_pending_responses()


class SerialPool(Executor):
    """Runs what is submitted at once, in order: a Stubber answers in order too."""

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        future: Future[Any] = Future()
        future.set_result(fn(*args, **kwargs))
        return future


LONG_AGO = datetime.datetime(2026, 9, 30, tzinfo=datetime.timezone.utc)
