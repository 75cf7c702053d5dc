"""EC2's notice, as the metadata service gives it, and what else it may answer."""

from __future__ import annotations

import json
import socket
from types import SimpleNamespace
from typing import Any

import pytest
from interruption_bench import ITEM, Service

TOKEN = "/latest/api/token"


def test_without_a_notice_there_is_none_and_one_token_is_enough(
    service: Service, machine_code: Any
) -> None:
    metadata = machine_code.notice.Metadata()
    assert [metadata.read() for _ in range(3)] == [None] * 3
    assert service.requests == [f"PUT {TOKEN}", *[f"GET {ITEM}"] * 3]


def test_a_notice_has_its_action_and_time(service: Service, machine_code: Any) -> None:
    service.item = json.dumps({"action": "stop", "time": "2026-11-29T14:35:10Z"})
    notice = machine_code.notice.Metadata().read()
    assert (notice.action, notice.time, notice.at) == ("stop", "2026-11-29T14:35:10Z", 1795962910)


def test_a_token_that_is_not_valid_any_more_is_renewed_in_the_same_look(
    service: Service, machine_code: Any
) -> None:
    metadata = machine_code.notice.Metadata()
    metadata.read()
    service.announce(120)
    service.revoked = 1
    assert metadata.read().action == "stop"
    assert service.requests.count(f"PUT {TOKEN}") == 2


def test_a_token_is_renewed_long_before_its_end(
    service: Service, machine_code: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    metadata, now = machine_code.notice.Metadata(), [1000.0]
    monkeypatch.setattr(machine_code.notice, "time", SimpleNamespace(monotonic=lambda: now[0]))
    for hours in (0, 2.9, 3.1):
        now[0] = 1000 + hours * 3600
        metadata.read()
    assert service.requests.count(f"PUT {TOKEN}") == 2


def test_a_refused_token_is_asked_for_once_in_a_look(service: Service, machine_code: Any) -> None:
    metadata = machine_code.notice.Metadata()
    metadata.read()
    service.requests.clear()
    service.answers = [401, 401, 401]
    with pytest.raises(machine_code.notice.UnreadableError, match="401"):
        metadata.read()
    assert service.requests == [f"GET {ITEM}", f"PUT {TOKEN}", f"GET {ITEM}"]


@pytest.mark.parametrize("status", [302, 403, 500, 503])
def test_any_other_answer_is_no_answer(service: Service, machine_code: Any, status: int) -> None:
    service.answers = [status]
    metadata = machine_code.notice.Metadata()
    with pytest.raises(machine_code.notice.UnreadableError, match=str(status)):
        metadata.read()
    assert metadata.read() is None


@pytest.mark.parametrize(
    "document",
    [
        "",
        "<html>",
        "[]",
        "7",
        '{"action": "stop"}',
        '{"time": "2026-11-29T14:35:10Z"}',
        '{"action": "stop", "time": "soon"}',
        '{"action": "stop", "time": null}',
        '{"action": "STOP; reboot", "time": "2026-11-29T14:35:10Z"}',
        '{"action": "", "time": "2026-11-29T14:35:10Z"}',
    ],
)
def test_what_is_no_notice_is_not_taken_for_one(
    service: Service, machine_code: Any, document: str
) -> None:
    service.item = document
    with pytest.raises(machine_code.notice.UnreadableError, match="no notice"):
        machine_code.notice.Metadata().read()


def test_a_service_that_refuses_connections_is_no_answer(
    machine_code: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{unused.getsockname()[1]}"
    monkeypatch.setattr(machine_code.notice, "BASE", address)
    with pytest.raises(machine_code.notice.UnreadableError, match="refused"):
        machine_code.notice.Metadata().read()


def test_a_service_that_never_answers_is_given_up(
    service: Service, machine_code: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(machine_code.notice, "PATIENCE", 0.2)
    service.silent.set()
    with pytest.raises(machine_code.notice.UnreadableError, match="timed out"):
        machine_code.notice.Metadata().read()


def test_no_proxy_gets_the_token(
    service: Service, machine_code: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    assert machine_code.notice.Metadata().read() is None
