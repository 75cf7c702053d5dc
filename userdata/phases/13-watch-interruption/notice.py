"""EC2's notice that it interrupts this spot machine, from the instance metadata service.

The item ``spot/instance-action`` exists from two minutes before EC2 stops, hibernates or terminates
the machine, and EC2 asks to look for it every five seconds (EC2 user guide, "Spot Instance
interruption notices"). Else the answer is 404.
"""

import dataclasses
import json
import os
import re
import time
from datetime import datetime, timezone
from http.client import HTTPException
from typing import Any
from urllib.request import HTTPErrorProcessor, ProxyHandler, Request, build_opener

BASE = os.environ.get("AWS_EC2_METADATA_SERVICE_ENDPOINT") or "http://169.254.169.254"
TOKEN = "/latest/api/token"
ITEM = "/latest/meta-data/spot/instance-action"
#: Seconds for one request.
PATIENCE = 2.0
#: Seconds for which a token is valid, the most that the service gives.
TOKEN_SECONDS = 21600
#: Bytes of an answer.
SIZE = 4096


class UnreadableError(Exception):
    """The metadata service did not say whether there is a notice; the text says why."""


@dataclasses.dataclass(frozen=True)
class Notice:
    """What EC2 announces.

    Attributes:
        action: ``stop``, ``hibernate`` or ``terminate``.
        time: When, as EC2 writes it; EC2 calls it approximate.
        at: The same in seconds since 1970.
    """

    action: str
    time: str
    at: float


def parse(text: str) -> Notice:
    """Return the notice of a document.

    Raises:
        ValueError: It is none.
    """
    try:
        document = json.loads(text)
        action, written = str(document["action"]), str(document["time"])
        # Before Python 3.11 it does not know the Z
        at = datetime.fromisoformat(re.sub(r"Z$", "+00:00", written))
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{text[:200]!r} is no notice: {error!r}") from None
    # Both are shown, and hooks get them
    if not re.fullmatch(r"[a-z-]{1,20}", action) or not re.fullmatch(r"[0-9T:.Z+-]{1,40}", written):
        raise ValueError(f"{text[:200]!r} is no notice")
    if at.tzinfo is None:
        at = at.replace(tzinfo=timezone.utc)
    return Notice(action, written, at.timestamp())


class _EveryAnswer(HTTPErrorProcessor):
    """Returns every response unchanged; no redirect is followed."""

    http_response = https_response = lambda *words: words[-1]


class Metadata:
    """The metadata service, version 2, with one token for hours."""

    def __init__(self) -> None:
        # The machine may have a proxy, which must not get these requests
        self._opener = build_opener(ProxyHandler({}), _EveryAnswer)
        self._token, self._renewed = "", 0.0

    def read(self) -> Notice | None:
        """Return the notice; ``None`` if there is none.

        Raises:
            UnreadableError: The service does not answer, or says something else.
        """
        try:
            status, text = self._item()
            if status == 401:
                # The token is not valid any more, for example because the service was restarted
                self._token = ""
                status, text = self._item()
            if status == 404:
                return None
            if status != 200:
                raise ValueError(f"it answered {status} to GET {ITEM}")
            return parse(text)
        except (OSError, HTTPException, ValueError) as error:
            raise UnreadableError(str(error) or repr(error)) from None

    def _item(self) -> tuple[int, str]:
        if not self._token or time.monotonic() - self._renewed > TOKEN_SECONDS / 2:
            status, text = self._ask("PUT", TOKEN, {f"{_HEADER}-ttl-seconds": str(TOKEN_SECONDS)})
            if status != 200 or not re.fullmatch(r"\S+", text):
                raise ValueError(f"it answered {status} to PUT {TOKEN}")
            self._token, self._renewed = text, time.monotonic()
        return self._ask("GET", ITEM, {_HEADER: self._token})

    def _ask(self, method: str, path: str, headers: dict[str, str]) -> tuple[int, str]:
        request = Request(BASE + path, headers=headers, method=method)
        answer: Any
        with self._opener.open(request, timeout=PATIENCE) as answer:
            return int(answer.status), answer.read(SIZE).decode(errors="replace")


_HEADER = "X-aws-ec2-metadata-token"
