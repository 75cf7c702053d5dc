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
_NOBODYS = "does not exist"
"""What CloudFormation says, without a code of its own, of a physical id that no stack has."""
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
            The member; an empty list where the thing is gone; ``None`` when the call failed or its
            answer is not whole, which is then in ``not_checked``.
        """
        return self._ask(service, operation, member, region, arguments)

    def list(self, service: str, operation: str, member: str, **arguments: Any) -> list[Any]:
        """As ``ask``, and an empty list when the call failed."""
        return self.ask(service, operation, member, **arguments) or []

    def tags(self, service: str, operation: str, member: str, **arguments: Any) -> dict[str, str]:
        """The tags of one thing; a service may leave out the member where there are none."""
        return tags_of(self._ask(service, operation, member, "", arguments, optional=True))

    def each(self, rows: Iterable[Any], call: Callable[[Any], Any]) -> Iterator[tuple[Any, Any]]:
        """Every row with what a call of its own says of it, several calls at a time."""
        kept = list(rows)
        with ThreadPoolExecutor(AT_A_TIME) as pool:
            yield from zip(kept, pool.map(call, kept), strict=True)

    def note(self, found: NotChecked) -> None:
        """Keep something that could not be asked, each call once."""
        with self._lock:
            if (found.action, found.region) not in [(n.action, n.region) for n in self.not_checked]:
                self.not_checked.append(found)

    def _ask(
        self,
        service: str,
        operation: str,
        member: str,
        region: str,
        arguments: Mapping[str, Any],
        *,
        optional: bool = False,
    ) -> Any:
        client = self.client(service, region)
        try:
            if not client.can_paginate(operation):
                pages = [getattr(client, operation)(**arguments)]
            else:
                pages = list(client.get_paginator(operation).paginate(**arguments))
        except ClientError as error:
            told = error.response["Error"]
            nobodys = "PhysicalResourceId" in arguments and _NOBODYS in told["Message"]
            if told["Code"] in GONE or nobodys:
                return []
            return self._note(client, operation, f"{told['Code']}: {told['Message']}")
        except BotoCoreError as error:
            return self._note(client, operation, str(error))
        if pages[-1].get("IsTruncated"):
            return self._note(client, operation, "the list ends early: no mark for its next page")
        if not optional and any(member not in page for page in pages):
            return self._note(client, operation, f"the answer has no {member}")
        if len(pages) == 1:
            return pages[0].get(member, [])
        return [row for page in pages for row in page.get(member, [])]

    def _note(self, client: Any, operation: str, reason: str) -> None:
        service = client.meta.service_model
        name = f"{service.signing_name}:{client.meta.method_to_api_mapping[operation]}"
        self.note(NotChecked(_ACTIONS.get(name, name), client.meta.region_name, reason))


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
