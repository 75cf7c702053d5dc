"""Answers CloudFormation for every custom resource of the library.

A custom resource without an answer holds its stack until its service time-out, so one is sent
whatever happens, also when the function runs out of its time. Source of the protocol and of its
limits: "Custom resource request/response objects", AWS documentation.
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
"""Characters of a reason that reach the person whole: stack events cut at about 1,000."""

MAX_ANSWER_BYTES = 4096
"""The longest answer that CloudFormation takes."""

MAX_PHYSICAL_ID_BYTES = 1024
"""The longest physical id that CloudFormation takes."""

OUT_OF_TIME_SECONDS = 20.0
"""How long before Lambda ends the function the answer is sent without waiting any more: enough
for one try that hangs and one that does not."""

_PUT_SECONDS = 10.0
_PUT_PAUSES = (1.0, 2.0, 4.0)

log = logging.getLogger(__name__)
log.setLevel(logging.INFO)

Event = Mapping[str, Any]


@dataclass(frozen=True)
class Answer:
    """What a custom resource is after the request.

    Attributes:
        physical_id: Its identity; another one than before means that it was replaced.
        data: What ``Fn::GetAtt`` reads.
    """

    physical_id: str
    data: dict[str, str] = field(default_factory=dict)


class RefusedError(Exception):
    """The request is refused; the text is what the person reads in ``cdk deploy``."""


Otherwise = Callable[[Event, str], Answer]
"""Answers in place of a decision that could not be made; the text says why not."""


def respond(
    event: Event,
    context: Any,
    decide: Callable[[Event], Answer],
    otherwise: Otherwise | None = None,
) -> None:
    """Runs ``decide`` for Create and Update, and tells CloudFormation what came of it, once.

    Delete succeeds without asking anybody: the resources behind these custom resources are
    answers, not things, and a Delete that fails would leave the stack undeletable.

    Args:
        event: The request.
        context: Lambda's context; it says how much time is left.
        decide: Makes the answer, or raises ``RefusedError``.
        otherwise: Makes the answer after an unexpected fault, or when the time is up. Default:
            the request fails with one line.
    """
    outbox = _Outbox(event)

    def give_up(why: str) -> None:
        if otherwise is None:
            outbox.send("FAILED", Answer(outbox.physical_id), why)
        else:
            outbox.send("SUCCESS", otherwise(event, why))

    where = getattr(context, "log_group_name", "the function's log group")
    slow = f"AWS did not answer within the function's time, see {where}; deploy again"
    watchdog = _start_watchdog(context, lambda: give_up(slow))
    try:
        is_delete = event["RequestType"] == "Delete"
        answer = Answer(outbox.physical_id) if is_delete else decide(event)
    except RefusedError as refusal:
        outbox.send("FAILED", Answer(outbox.physical_id), str(refusal))
    # Everything else too: an unexpected fault without an answer would hang the stack
    except Exception as fault:
        log.exception("unexpected fault")
        text = " ".join(f"{type(fault).__name__}: {fault}".split())[:600]
        give_up(f"unexpected fault, see {where}: {text}")
    else:
        outbox.send("SUCCESS", answer)
    finally:
        if watchdog is not None:
            watchdog.cancel()


def _start_watchdog(context: Any, answer: Callable[[], None]) -> threading.Timer | None:
    """Answers shortly before Lambda ends the function; None where nobody says when that is."""
    if context is None or not hasattr(context, "get_remaining_time_in_millis"):
        return None
    left = context.get_remaining_time_in_millis() / 1000
    watchdog = threading.Timer(max(left - OUT_OF_TIME_SECONDS, 0), answer)
    watchdog.daemon = True
    watchdog.start()
    return watchdog


class _Outbox:
    """Sends the first answer that it is given, and drops the others."""

    def __init__(self, event: Event) -> None:
        self._event = event
        self.physical_id = event.get("PhysicalResourceId", f"{event['LogicalResourceId']}-refused")
        self._lock = threading.Lock()
        self._sent = False

    def send(self, status: str, answer: Answer, reason: str = "") -> None:
        """Returns once an answer was taken; held meanwhile, as Lambda freezes what returns."""
        with self._lock:
            if self._sent:
                log.info("not sent, another answer was: %s %s", status, reason or answer.data)
                return
            body = self._body(status, answer, reason)
            log.info("%s %s: %s", self._event["RequestType"], status, reason or answer.data)
            _put(self._event["ResponseURL"], body)
            self._sent = True

    def _body(self, status: str, answer: Answer, reason: str) -> bytes:
        body = self._encoded(status, answer, reason)
        size, id_size = len(body), len(answer.physical_id.encode())
        if size <= MAX_ANSWER_BYTES and id_size <= MAX_PHYSICAL_ID_BYTES:
            return body
        if status == "SUCCESS":
            reason = (
                f"the answer has {size} bytes and its id {id_size}, and CloudFormation takes "
                f"{MAX_ANSWER_BYTES} and {MAX_PHYSICAL_ID_BYTES}; take shorter values"
            )
            return self._encoded("FAILED", Answer(self.physical_id), reason)
        while len(body) > MAX_ANSWER_BYTES and reason:
            reason = reason[: len(reason) * 3 // 4]
            body = self._encoded(status, answer, f"{reason} ...")
        return body

    def _encoded(self, status: str, answer: Answer, reason: str) -> bytes:
        answered = {
            "Status": status,
            "Reason": _cut(reason) or "ok",
            "PhysicalResourceId": answer.physical_id,
            "StackId": self._event["StackId"],
            "RequestId": self._event["RequestId"],
            "LogicalResourceId": self._event["LogicalResourceId"],
            "Data": answer.data,
        }
        return json.dumps(answered).encode()


def _put(url: str, body: bytes) -> None:
    request = urllib.request.Request(
        url,
        data=body,
        headers={"Content-Type": ""},  # the address is signed for an empty one
        method="PUT",
    )
    for pause in (*_PUT_PAUSES, None):
        try:
            with urllib.request.urlopen(request, timeout=_PUT_SECONDS):
                return
        except (OSError, http.client.HTTPException) as fault:
            if pause is None:
                raise
            log.warning("answer not delivered, trying again: %s", fault)
            time.sleep(pause)


def _cut(reason: str) -> str:
    return reason if len(reason) <= MAX_REASON else reason[: MAX_REASON - 4] + " ..."
