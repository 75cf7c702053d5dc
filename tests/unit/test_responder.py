"""The answer to CloudFormation, over a real connection."""

import http.server
import json
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from gpustation.handlers import image_choice, quota_check, responder
from gpustation.handlers.responder import RefusedError, Response, respond
from tests.unit.stubbed_aws import Event

MakeEvent = Callable[..., Event]


class AnswerAddress(http.server.ThreadingHTTPServer):
    """Takes answers as the presigned address does: only with an empty content type."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.answers: list[dict[str, Any]] = []
        self.sizes: list[int] = []
        self.failures_first = 0
        self.hang_up = False
        """Failures are no answer at all, instead of status 503."""

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/answer"


class _Handler(http.server.BaseHTTPRequestHandler):
    server: AnswerAddress

    def do_PUT(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.server.failures_first:
            self.server.failures_first -= 1
            if self.server.hang_up:
                self.wfile.write(b"no HTTP\r\n\r\n")
                return
            self.send_response(503)
        elif self.headers.get("Content-Type"):
            self.send_response(403)
        else:
            self.server.answers.append(json.loads(body))
            self.server.sizes.append(len(body))
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
    respond(request_, None, lambda _event: Response("id-1", {"Key": "value"}))
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


def refuse(text: str) -> Callable[[Any], Response]:
    def decide(_event: Any) -> Response:
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

    respond(request_, Context(), lambda event: Response(event["NoSuchKey"]))
    assert address.answers[0]["Status"] == "FAILED"
    assert "see /aws/lambda/x: KeyError: 'NoSuchKey'" in address.answers[0]["Reason"]


def test_delete_succeeds_without_asking(address: AnswerAddress, request_: Event) -> None:
    delete = request_ | {"RequestType": "Delete", "PhysicalResourceId": "id-1"}
    respond(delete, None, refuse("must not be asked"))
    assert address.answers[0]["Status"] == "SUCCESS"
    assert address.answers[0]["PhysicalResourceId"] == "id-1"


@pytest.mark.parametrize("must_end", [False, True])
def test_a_delete_out_of_time_fails_only_where_it_must_end(
    address: AnswerAddress, request_: Event, must_end: bool
) -> None:
    class Context:
        def get_remaining_time_in_millis(self) -> float:
            return responder.OUT_OF_TIME_SECONDS * 1000

    def hang(_event: Any) -> None:
        while not address.answers:
            time.sleep(0.01)

    delete = request_ | {"RequestType": "Delete", "PhysicalResourceId": "id-1"}
    undeleted = (lambda _event, why: f"still there: {why}") if must_end else None
    respond(delete, Context(), refuse("no"), on_delete=hang, undeleted=undeleted)
    (answer,) = address.answers
    assert answer["Status"] == ("FAILED" if must_end else "SUCCESS")
    assert answer["Reason"].startswith("still there: AWS did not respond" if must_end else "ok")
    assert "deploy again" not in answer["Reason"]


def test_the_log_has_the_reason_or_the_data(
    address: AnswerAddress, request_: Event, caplog: pytest.LogCaptureFixture
) -> None:
    """It is what remains when the answer of a handler is doubted."""
    caplog.set_level("INFO")
    respond(request_, None, lambda _event: Response("id-1", {"Message": "enough"}))
    respond(request_, None, refuse("too small"))
    lines = [line for line in caplog.messages if "SUCCESS" in line or "FAILED" in line]
    assert "enough" in lines[0] and "too small" in lines[1]


def test_a_long_reason_is_cut_to_what_is_shown(address: AnswerAddress, request_: Event) -> None:
    respond(request_, None, refuse("x" * 5000))
    assert len(address.answers[0]["Reason"]) == responder.MAX_REASON


@pytest.mark.parametrize("hang_up", [False, True])
def test_an_answer_not_taken_at_once_is_sent_again(
    address: AnswerAddress, request_: Event, monkeypatch: pytest.MonkeyPatch, hang_up: bool
) -> None:
    monkeypatch.setattr(responder, "_PUT_PAUSES", (0.0, 0.0, 0.0))
    address.failures_first, address.hang_up = 2, hang_up
    respond(request_, None, lambda _event: Response("id-1"))
    (answer,) = address.answers
    assert answer["Status"] == "SUCCESS"


def test_an_answer_that_nobody_takes_does_not_become_another_one(
    address: AnswerAddress, request_: Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(responder, "_PUT_PAUSES", (0.0, 0.0, 0.0))
    address.failures_first = 4
    with pytest.raises(OSError, match="503"):  # Lambda then runs the function again
        respond(request_, None, lambda _event: Response("id-1"))
    assert address.answers == []


@pytest.mark.parametrize("letter", ["x", "\n", "ü", "\x00"])
def test_a_reason_is_cut_to_what_cloudformation_takes(
    address: AnswerAddress, request_: Event, letter: str
) -> None:
    update = request_ | {"RequestType": "Update", "PhysicalResourceId": "i" * 1024}
    respond(update, None, refuse(letter * 5000))
    (answer,) = address.answers
    assert answer["Status"] == "FAILED"
    assert answer["PhysicalResourceId"] == "i" * 1024
    assert answer["Reason"].startswith(letter * 200)
    assert address.sizes[0] <= responder.MAX_RESPONSE_BYTES


@pytest.mark.parametrize(
    "answer", [Response("i" * 1025), Response("id", {"Message": "x" * 4096})], ids=["id", "data"]
)
def test_an_answer_that_cloudformation_would_not_take_fails_in_one_line(
    address: AnswerAddress, request_: Event, answer: Response
) -> None:
    respond(request_, None, lambda _event: answer)
    assert address.answers[0]["Status"] == "FAILED"
    assert "CloudFormation accepts 4096 and 1024" in address.answers[0]["Reason"]
    assert address.sizes[0] <= responder.MAX_RESPONSE_BYTES


class LittleTime:
    """Lambda's context, a tenth of a second before the answer is due."""

    log_group_name = "/aws/lambda/x"

    def get_remaining_time_in_millis(self) -> int:
        return int(responder.OUT_OF_TIME_SECONDS * 1000) + 100


def slowly(address: AnswerAddress) -> Callable[[Any], Response]:
    """Decides only when somebody else has answered, as a call that hangs does."""

    def decide(_event: Any) -> Response:
        deadline = time.monotonic() + 10
        while not address.answers and time.monotonic() < deadline:
            time.sleep(0.01)
        return Response("too late")

    return decide


def test_out_of_time_is_answered_in_time_and_once(address: AnswerAddress, request_: Event) -> None:
    respond(request_, LittleTime(), slowly(address))
    (answer,) = address.answers
    assert answer["Status"] == "FAILED"
    assert answer["Reason"].startswith("AWS did not respond within the function's timeout")
    assert "/aws/lambda/x" in answer["Reason"]


def test_out_of_time_a_quota_is_unknown_and_the_deploy_goes_on(
    address: AnswerAddress, request_: Event
) -> None:
    respond(request_, LittleTime(), slowly(address), quota_check.unknown)
    (answer,) = address.answers
    assert answer["Status"] == "SUCCESS"
    assert answer["Data"]["Message"].startswith("UNKNOWN whether the quota suffices: AWS did not")


def test_in_time_nothing_is_answered_later(address: AnswerAddress, request_: Event) -> None:
    respond(request_, LittleTime(), lambda _event: Response("id-1"))
    time.sleep(0.2)
    assert [answer["PhysicalResourceId"] for answer in address.answers] == ["id-1"]


@pytest.mark.parametrize(
    ("on_event", "status"), [(quota_check.on_event, "SUCCESS"), (image_choice.on_event, "FAILED")]
)
def test_without_clients_there_is_an_answer_too(
    address: AnswerAddress,
    request_: Event,
    monkeypatch: pytest.MonkeyPatch,
    on_event: Callable[[Event, object], None],
    status: str,
) -> None:
    """The clients are made before anything is decided; here without a region."""
    for name in ("AWS_REGION", "AWS_DEFAULT_REGION", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_CONFIG_FILE", "/dev/null")
    on_event(request_, None)
    (answer,) = address.answers
    assert answer["Status"] == status
    assert "NoRegionError: You must specify a region." in answer["Reason"] + str(answer["Data"])
