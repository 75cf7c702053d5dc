"""An account and region as a search asks them: every page of every call, and every failure kept."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from threading import Lock
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError
from botocore.utils import parse_timestamp

from gpustation.leftovers.result import NotChecked

AT_A_TIME = 8
"""Calls that are under way together, where each thing needs one of its own."""
TRIES = 6
"""Of a call that is throttled, with botocore's growing pauses."""

GONE = {
    "NoSuchEntity",
    "ResourceNotFoundException",
    "ResourceNotFound",
    "InvalidResourceId",
}
"""Codes of a thing that went between two calls: then it is no leftover."""
_ACTIONS = {"s3:ListBuckets": "s3:ListAllMyBuckets"}
"""Where IAM calls an action otherwise than the API calls its operation."""


class Account:
    """The calls of one search.

    Args:
        session: Credentials.
        region: Region that is searched.
    """

    def __init__(self, session: boto3.session.Session, region: str) -> None:
        self.region = region
        self.not_checked: list[NotChecked] = []
        self._session = session
        self._clients: dict[tuple[str, str], Any] = {}
        self._lock = Lock()

    def client(self, service: str, region: str = "") -> Any:
        """A client, made once."""
        key = (service, region or self.region)
        # Making a client is not safe among threads, using one is (boto3 guide, "Multithreading")
        with self._lock:
            if key not in self._clients:
                config = Config(retries={"mode": "standard", "max_attempts": TRIES})
                # boto3's overloads want a literal service name
                make: Any = self._session.client
                self._clients[key] = make(service, region_name=key[1], config=config)
            return self._clients[key]

    def ask(
        self, service: str, operation: str, member: str, *, region: str = "", **arguments: Any
    ) -> Any:
        """A member of a call's answer, all pages of it in one list.

        Args:
            service: Service, as boto3 calls it.
            operation: Method of its client.
            member: Member of the answer.
            region: Another region than the one that is searched.
            **arguments: Arguments of the call.

        Returns:
            The member; an empty list where the answer has none or the thing is gone; ``None``
            when the call failed, which is then in ``not_checked``.
        """
        client = self.client(service, region)
        try:
            if not client.can_paginate(operation):
                return getattr(client, operation)(**arguments).get(member, [])
            pages = client.get_paginator(operation).paginate(**arguments)
            return [row for page in pages for row in page.get(member, [])]
        except ClientError as error:
            if error.response["Error"]["Code"] in GONE:
                return []
            self._note(client, operation, error)
        except BotoCoreError as error:
            self._note(client, operation, error)
        return None

    def list(self, service: str, operation: str, member: str, **arguments: Any) -> list[Any]:
        """As ``ask``, and an empty list when the call failed."""
        return self.ask(service, operation, member, **arguments) or []

    def each(self, rows: Iterable[Any], call: Callable[[Any], Any]) -> Iterator[tuple[Any, Any]]:
        """Every row with what a call of its own says of it, several calls at a time."""
        kept = list(rows)
        with ThreadPoolExecutor(AT_A_TIME) as pool:
            yield from zip(kept, pool.map(call, kept), strict=True)

    def _note(self, client: Any, operation: str, error: ClientError | BotoCoreError) -> None:
        service = client.meta.service_model
        name = f"{service.signing_name}:{client.meta.method_to_api_mapping[operation]}"
        reason = str(error)
        if isinstance(error, ClientError):
            told = error.response["Error"]
            reason = f"{told['Code']}: {told['Message']}"
        found = NotChecked(_ACTIONS.get(name, name), client.meta.region_name, reason)
        if (found.action, found.region) not in [(n.action, n.region) for n in self.not_checked]:
            self.not_checked.append(found)


def tags_of(raw: Any) -> dict[str, str]:
    """Tags in any of the forms in which the services give them."""
    if isinstance(raw, Mapping):
        return {str(key): str(value) for key, value in raw.items()}
    return {tag["Key"]: tag["Value"] for tag in raw or []}


def moment(raw: Any) -> datetime | None:
    """A time in any of the forms in which the services give it; nothing where they give none."""
    if raw is None or isinstance(raw, datetime):
        return raw
    return parse_timestamp(raw)
