"""The answer to CloudFormation, over a real connection."""

import http.server
import json
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from gpustation.handlers import responder
from gpustation.handlers.responder import Answer, RefusedError, respond
from tests.unit.stubbed_aws import Event

MakeEvent = Callable[..., Event]


class AnswerAddress(http.server.ThreadingHTTPServer):
    """Takes answers as the presigned address does: only with an empty content type."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.answers: list[dict[str, Any]] = []
        self.failures_first = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/answer"


class _Handler(http.server.BaseHTTPRequestHandler):
    server: AnswerAddress

    def do_PUT(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.server.failures_first:
            self.server.failures_first -= 1
            self.send_response(503)
        elif self.headers.get("Content-Type"):
            self.send_response(403)
        else:
            self.server.answers.append(json.loads(body))
            self.send_response(200)
        self.end_headers()

    def log_message(self, *_args: Any) -> None:
        pass


@pytest.fixture
def address() -> Iterator[AnswerAddress]:
    server = AnswerAddress()
    # shutdown() waits for the next poll, which comes every half second unless told otherwise
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


@pytest.fixture
def request_(address: AnswerAddress, event: MakeEvent) -> Event:
    created: Event = event("Create", {}) | {"ResponseURL": address.url}
    return created


def test_success_carries_identity_and_data(address: AnswerAddress, request_: Event) -> None:
    respond(request_, None, lambda _event: Answer("id-1", {"Key": "value"}))
    assert address.answers == [
        {
            "Status": "SUCCESS",
            "Reason": "ok",
            "PhysicalResourceId": "id-1",
            "StackId": request_["StackId"],
            "RequestId": "request-1",
            "LogicalResourceId": "Resource",
            "Data": {"Key": "value"},
        }
    ]


def refuse(text: str) -> Callable[[Any], Answer]:
    def decide(_event: Any) -> Answer:
        raise RefusedError(text)

    return decide


def test_a_refusal_is_the_text_and_nothing_else(address: AnswerAddress, request_: Event) -> None:
    respond(request_, None, refuse('no "room"\nsecond line'))
    assert address.answers[0]["Status"] == "FAILED"
    assert address.answers[0]["Reason"] == 'no "room"\nsecond line'
    assert address.answers[0]["PhysicalResourceId"] == "Resource-refused"


def test_a_failed_update_keeps_the_identity(address: AnswerAddress, request_: Event) -> None:
    update = request_ | {"RequestType": "Update", "PhysicalResourceId": "id-1"}
    respond(update, None, refuse("no"))
    assert address.answers[0]["PhysicalResourceId"] == "id-1"


def test_an_unexpected_fault_is_answered_too(address: AnswerAddress, request_: Event) -> None:
    class Context:
        log_group_name = "/aws/lambda/x"

    respond(request_, Context(), lambda event: Answer(event["NoSuchKey"]))
    assert address.answers[0]["Status"] == "FAILED"
    assert "see /aws/lambda/x: KeyError: 'NoSuchKey'" in address.answers[0]["Reason"]


def test_delete_succeeds_without_asking(address: AnswerAddress, request_: Event) -> None:
    delete = request_ | {"RequestType": "Delete", "PhysicalResourceId": "id-1"}
    respond(delete, None, refuse("must not be asked"))
    assert address.answers[0]["Status"] == "SUCCESS"
    assert address.answers[0]["PhysicalResourceId"] == "id-1"


def test_a_long_reason_is_cut_to_what_is_shown(address: AnswerAddress, request_: Event) -> None:
    respond(request_, None, refuse("x" * 5000))
    assert len(address.answers[0]["Reason"]) == responder.MAX_REASON


def test_an_answer_not_taken_at_once_is_sent_again(
    address: AnswerAddress, request_: Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(responder, "_PUT_PAUSES", (0.0, 0.0, 0.0))
    address.failures_first = 2
    respond(request_, None, lambda _event: Answer("id-1"))
    assert len(address.answers) == 1
