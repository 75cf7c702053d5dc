"""Read calls to one account: all pages of every response, and a record of every failure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timezone
from threading import Lock
from typing import Any, NamedTuple

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError
from botocore.utils import parse_timestamp

from gpustation.leftovers.result import NotChecked

PARALLEL_CALLS = 8
RETRIES = Config(retries={"mode": "standard", "max_attempts": 6})
"""Throttled calls are retried with botocore's exponential back-off."""

GONE = {"NoSuchEntity", "ResourceNotFoundException", "ResourceNotFound", "InvalidResourceId"}
"""Error codes of a resource that was deleted between two calls: it is not a leftover."""
_NO_STACK = "does not exist"
"""CloudFormation's message, without a specific code, for a physical id that no stack has."""
_ACTIONS = {"s3:ListBuckets": "s3:ListAllMyBuckets"}
"""IAM actions whose name differs from the API operation."""


class Call(NamedTuple):
    """A read operation, and the member of its response that holds the result."""

    service: str
    operation: str
    member: str


class Account:
    """Read calls in one search. Responses are cached, so that a call is made only once.

    Args:
        session: Credentials.
        region: Region that is searched.
    """

    def __init__(self, session: boto3.session.Session, region: str) -> None:
        self.region = region
        self.not_checked: list[NotChecked] = []
        self._session = session
        self._clients: dict[tuple[str, str], Any] = {}
        self._results: dict[str, Any] = {}
        self._lock = Lock()

    def client(self, service: str, region: str = "") -> Any:
        """A cached client."""
        key = (service, region or self.region)
        # Creating a client is not thread-safe, using one is (boto3 guide, "Multithreading")
        with self._lock:
            if key not in self._clients:
                # boto3's overloads want a literal service name
                make: Any = self._session.client
                self._clients[key] = make(service, region_name=key[1], config=RETRIES)
            return self._clients[key]

    def read(
        self, service: str, operation: str, member: str, *, region: str = "", **arguments: Any
    ) -> Any:
        """One member of a response, with the items of all pages in one list.

        Args:
            service: Service, as boto3 names it.
            operation: Method of its client.
            member: Member of the response.
            region: Region. Default: the one that is searched.
            **arguments: Arguments of the call.

        Returns:
            The member; an empty list if the resource no longer exists; ``None`` if the call failed
            or its response is incomplete, which is then in ``not_checked``.
        """
        return self._cached(Call(service, operation, member), region, arguments)

    def list(self, service: str, operation: str, member: str, **arguments: Any) -> list[Any]:
        """As ``read``, with an empty list if the call failed."""
        return self.read(service, operation, member, **arguments) or []

    def tags(self, service: str, operation: str, member: str, **arguments: Any) -> dict[str, str]:
        """The tags of one resource; some services omit the member if there are none."""
        call = Call(service, operation, member)
        return tags_of(self._cached(call, "", arguments, optional=True))

    def each(self, rows: Iterable[Any], call: Callable[[Any], Any]) -> Iterator[tuple[Any, Any]]:
        """Every row with the result of a call for it; several calls run in parallel."""
        rows = [*rows]
        with ThreadPoolExecutor(PARALLEL_CALLS) as pool:
            yield from zip(rows, pool.map(call, rows), strict=True)

    def note(self, failure: NotChecked) -> None:
        """Record something that could not be read, once for each action and region."""
        with self._lock:
            noted = [(other.action, other.region) for other in self.not_checked]
            if (failure.action, failure.region) not in noted:
                self.not_checked.append(failure)

    def action(self, service: str, operation: str) -> str:
        """The IAM action that an operation needs, e.g. ``ec2:DescribeVpcs``."""
        meta = self.client(service).meta
        signing_name = meta.service_model.signing_name
        name = f"{signing_name}:{meta.method_to_api_mapping[operation]}"
        return _ACTIONS.get(name, name)

    def _cached(
        self, call: Call, region: str, arguments: Mapping[str, Any], *, optional: bool = False
    ) -> Any:
        region = region or self.region
        key = repr((call, region, sorted(arguments.items())))
        if key not in self._results:
            self._results[key] = self._result(call, region, arguments, optional)
        return self._results[key]

    def _result(self, call: Call, region: str, arguments: Mapping[str, Any], optional: bool) -> Any:
        try:
            pages = _pages(self.client(call.service, region), call.operation, arguments)
        except ClientError as error:
            code, message = error.response["Error"]["Code"], error.response["Error"]["Message"]
            if code in GONE or ("PhysicalResourceId" in arguments and _NO_STACK in message):
                return []
            return self._failed(call, region, f"{code}: {message}")
        except BotoCoreError as error:
            return self._failed(call, region, str(error))
        if pages[-1].get("IsTruncated"):
            return self._failed(call, region, "the list is cut off: no marker for its next page")
        if not optional and any(call.member not in page for page in pages):
            return self._failed(call, region, f"the response has no {call.member}")
        if len(pages) == 1:
            return pages[0].get(call.member, [])
        return [row for page in pages for row in page.get(call.member, [])]

    def _failed(self, call: Call, region: str, reason: str) -> None:
        self.note(NotChecked(self.action(call.service, call.operation), region, reason))


def tags_of(raw: Any) -> dict[str, str]:
    """Tags as a mapping; services return a mapping, a list of pairs, or nothing."""
    if isinstance(raw, Mapping):
        return {str(key): str(value) for key, value in raw.items()}
    return {tag["Key"]: tag["Value"] for tag in raw or []}


def moment(raw: Any) -> datetime | None:
    """A point in time from a timestamp, ISO 8601 text or milliseconds since 1970; may be absent."""
    if raw is None or isinstance(raw, datetime):
        return raw
    if isinstance(raw, int):
        return datetime.fromtimestamp(raw / 1000, timezone.utc)
    return parse_timestamp(raw)


def _pages(client: Any, operation: str, arguments: Mapping[str, Any]) -> list[Any]:
    if client.can_paginate(operation):
        return [*client.get_paginator(operation).paginate(**arguments)]
    return [getattr(client, operation)(**arguments)]
