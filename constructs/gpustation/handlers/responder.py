"""Sends the response of every custom resource of the library to CloudFormation.

Without a response the stack waits until the service timeout, so one is sent in any case, also
shortly before Lambda's timeout. Source of the protocol and its limits: "Custom resource
request/response objects", AWS documentation.
"""

from __future__ import annotations

import http.client
import json
import logging
import threading
import time
import urllib.request
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

MAX_REASON = 890
"""Longest reason, in characters, that is shown completely: stack events cut it at about 1,000."""

MAX_RESPONSE_BYTES = 4096
"""Longest response that CloudFormation accepts."""

MAX_PHYSICAL_ID_BYTES = 1024
"""Longest physical id that CloudFormation accepts."""

OUT_OF_TIME_SECONDS = 20.0
"""How long before Lambda's timeout a response is sent without waiting for the result: enough for
one attempt that hangs and a second one."""

_PUT_SECONDS = 10.0
_PUT_PAUSES = (1.0, 2.0, 4.0)

log = logging.getLogger(__name__)
log.setLevel(logging.INFO)

Event = Mapping[str, Any]


@dataclass(frozen=True)
class Response:
    """State of a custom resource after the request.

    Attributes:
        physical_id: Physical id. If it differs from the previous one, the resource is replaced.
        data: Attributes for ``Fn::GetAtt``.
    """

    physical_id: str
    data: dict[str, str] = field(default_factory=dict)


class RefusedError(Exception):
    """The request is refused; ``cdk deploy`` prints the message."""


Fallback = Callable[[Event, str], Response]
"""Returns the response if no decision could be made, for the reason in the second argument."""

Advice = Callable[[Event, str], str]
"""Returns the message of a Delete that failed, for the reason in the second argument."""


def respond(
    event: Event,
    context: Any,
    decide: Callable[[Event], Response],
    fallback: Fallback | None = None,
    on_delete: Callable[[Event], None] | None = None,
    undeleted: Advice | None = None,
) -> None:
    """Runs ``decide`` for Create and Update, and sends exactly one response to CloudFormation.

    Delete succeeds: most of these custom resources own nothing in AWS that would be left, and a
    failure protects nothing. CloudFormation goes on, and deletes this function too, so that a
    second deletion of the stack cannot succeed either, unless it retains the resource. A Delete
    that must not go unnoticed fails, with ``undeleted`` for the message.

    Args:
        event: The request.
        context: Lambda's context, for the remaining time.
        decide: Returns the response, or raises ``RefusedError``.
        fallback: Returns the response after an unexpected error or at the timeout. Default: the
            request fails with a message of one line.
        on_delete: What a Delete does before its response. Default: nothing.
        undeleted: Makes the message of a Delete that fails because of an error of ``on_delete``,
            or of its timeout. Default: both are logged, and the Delete succeeds.
    """
    outbox = _Outbox(event)
    deleting = event["RequestType"] == "Delete"

    def give_up(reason: str) -> None:
        if deleting and undeleted is None:
            log.warning("the deletion goes on: %s", reason)
            outbox.send("SUCCESS", Response(outbox.physical_id))
        elif deleting and undeleted is not None:
            outbox.send("FAILED", Response(outbox.physical_id), undeleted(event, reason))
        elif fallback is None:
            outbox.send("FAILED", Response(outbox.physical_id), reason)
        else:
            outbox.send("SUCCESS", fallback(event, reason))

    where = getattr(context, "log_group_name", "the function's log group")
    remedy = "" if deleting else "; deploy again"
    slow = f"AWS did not respond within the function's timeout, see {where}{remedy}"
    watchdog = _start_watchdog(context, lambda: give_up(slow))
    try:
        if deleting:
            _delete(event, on_delete, must_end=undeleted is not None)
            response = Response(outbox.physical_id)
        else:
            response = decide(event)
    except RefusedError as refusal:
        if deleting:
            give_up(str(refusal))
        else:
            outbox.send("FAILED", Response(outbox.physical_id), str(refusal))
    # All exceptions: without a response the stack would hang
    except Exception as error:
        log.exception("unexpected error")
        text = " ".join(f"{type(error).__name__}: {error}".split())[:600]
        give_up(f"unexpected error, see {where}: {text}")
    else:
        outbox.send("SUCCESS", response)
    finally:
        if watchdog is not None:
            watchdog.cancel()


def _delete(event: Event, on_delete: Callable[[Event], None] | None, *, must_end: bool) -> None:
    if on_delete is None:
        return
    try:
        on_delete(event)
    except Exception:  # any: what a failure would say is not worth a stack that cannot be deleted
        if must_end:
            raise
        log.exception("unexpected error of a deletion, which goes on")


def _start_watchdog(context: Any, give_up: Callable[[], None]) -> threading.Timer | None:
    """Calls ``give_up`` shortly before Lambda's timeout; ``None`` if the timeout is unknown."""
    if context is None or not hasattr(context, "get_remaining_time_in_millis"):
        return None
    left = context.get_remaining_time_in_millis() / 1000
    watchdog = threading.Timer(max(left - OUT_OF_TIME_SECONDS, 0), give_up)
    watchdog.daemon = True
    watchdog.start()
    return watchdog


class _Outbox:
    """Sends the first response and ignores later ones."""

    def __init__(self, event: Event) -> None:
        self._event = event
        self.physical_id = event.get("PhysicalResourceId", f"{event['LogicalResourceId']}-refused")
        self._lock = threading.Lock()
        self._sent = False

    def send(self, status: str, response: Response, reason: str = "") -> None:
        """Sends a response; blocks while another is sent, as Lambda freezes after the handler."""
        with self._lock:
            if self._sent:
                log.info("ignored a second response: %s %s", status, reason or response.data)
                return
            body = self._body(status, response, reason)
            log.info("%s %s: %s", self._event["RequestType"], status, reason or response.data)
            _put(self._event["ResponseURL"], body)
            self._sent = True

    def _body(self, status: str, response: Response, reason: str) -> bytes:
        body = self._encoded(status, response, reason)
        size, id_size = len(body), len(response.physical_id.encode())
        if size <= MAX_RESPONSE_BYTES and id_size <= MAX_PHYSICAL_ID_BYTES:
            return body
        if status == "SUCCESS":
            reason = (
                f"the response has {size} bytes and its physical id {id_size}, but CloudFormation "
                f"accepts {MAX_RESPONSE_BYTES} and {MAX_PHYSICAL_ID_BYTES}; use shorter values"
            )
            return self._encoded("FAILED", Response(self.physical_id), reason)
        while len(body) > MAX_RESPONSE_BYTES and reason:
            reason = reason[: len(reason) * 3 // 4]
            body = self._encoded(status, response, f"{reason} ...")
        return body

    def _encoded(self, status: str, response: Response, reason: str) -> bytes:
        document = {
            "Status": status,
            "Reason": _cut(reason) or "ok",
            "PhysicalResourceId": response.physical_id,
            "StackId": self._event["StackId"],
            "RequestId": self._event["RequestId"],
            "LogicalResourceId": self._event["LogicalResourceId"],
            "Data": response.data,
        }
        return json.dumps(document).encode()


def _put(url: str, body: bytes) -> None:
    request = urllib.request.Request(
        url,
        data=body,
        headers={"Content-Type": ""},  # the URL is signed for an empty content type
        method="PUT",
    )
    for pause in (*_PUT_PAUSES, None):
        try:
            with urllib.request.urlopen(request, timeout=_PUT_SECONDS):
                return
        except (OSError, http.client.HTTPException) as error:
            if pause is None:
                raise
            log.warning("response not delivered, retrying: %s", error)
            time.sleep(pause)


def _cut(reason: str) -> str:
    return reason if len(reason) <= MAX_REASON else reason[: MAX_REASON - 4] + " ..."
