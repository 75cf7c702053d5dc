"""Answers CloudFormation for every custom resource of the library.

A custom resource without an answer holds its stack for up to an hour, so whatever happens, one
is sent. Source of the protocol: "Custom resource request/response objects", AWS documentation.
"""

from __future__ import annotations

import json
import logging
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

MAX_REASON = 890
"""Characters of a reason that reach the person whole: stack events cut at about 1,000."""

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


def respond(event: Event, context: Any, decide: Callable[[Event], Answer]) -> None:
    """Runs ``decide`` for Create and Update, and tells CloudFormation what came of it.

    Delete succeeds without asking anybody: the resources behind these custom resources are
    answers, not things, and a Delete that fails would leave the stack undeletable.
    """
    physical_id = event.get("PhysicalResourceId", f"{event['LogicalResourceId']}-refused")
    try:
        answer = Answer(physical_id) if event["RequestType"] == "Delete" else decide(event)
        _send(event, "SUCCESS", answer, "")
    except RefusedError as refusal:
        _send(event, "FAILED", Answer(physical_id), str(refusal))
    # Everything else too: an unexpected fault without an answer would hang the stack
    except Exception as fault:
        log.exception("unexpected fault")
        where = getattr(context, "log_group_name", "the function's log group")
        text = f"{type(fault).__name__}: {fault}"[:600]
        _send(event, "FAILED", Answer(physical_id), f"unexpected fault, see {where}: {text}")


def _send(event: Event, status: str, answer: Answer, reason: str) -> None:
    body = {
        "Status": status,
        "Reason": _cut(reason) or "ok",
        "PhysicalResourceId": answer.physical_id,
        "StackId": event["StackId"],
        "RequestId": event["RequestId"],
        "LogicalResourceId": event["LogicalResourceId"],
        "Data": answer.data,
    }
    log.info("%s %s: %s", event["RequestType"], status, reason or answer.data)
    request = urllib.request.Request(
        event["ResponseURL"],
        data=json.dumps(body).encode(),
        headers={"Content-Type": ""},  # the address is signed for an empty one
        method="PUT",
    )
    for pause in (*_PUT_PAUSES, None):
        try:
            with urllib.request.urlopen(request, timeout=_PUT_SECONDS):
                return
        except (urllib.error.URLError, TimeoutError, ConnectionError) as fault:
            if pause is None:
                raise
            log.warning("answer not delivered, trying again: %s", fault)
            time.sleep(pause)


def _cut(reason: str) -> str:
    return reason if len(reason) <= MAX_REASON else reason[: MAX_REASON - 4] + " ..."
