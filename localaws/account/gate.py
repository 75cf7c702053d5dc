"""Serves only processes of this computer that have the secrets, never a browser.

Upstream any signature of root's key is accepted, and every web page may read responses. So every
request is checked here first. A request that does not name the loopback, has an Origin header or
is not signed gets status 403 and does nothing.
"""

from __future__ import annotations

import re
import time
import uuid
from collections.abc import Callable, Mapping
from email.utils import formatdate
from urllib.parse import parse_qs, quote

from ministack import app as ministack_app
from ministack.core.iam_evaluator import AuthError
from ministack.core.router import detect_service
from ministack.core.sigv4 import decode_header_value
from ministack.services.cloudformation import wait_conditions

from localaws.account.asgi import Application, Receive, Scope, Send, answer, read
from localaws.account.iam import signatures
from localaws.credentials import Credentials

CONTROL_PATH = "/_localaws/"
RESPONSE_PATH = "/_ministack/cfn-response/"
INSIDE = ("/_ministack/", "/_localstack/", "/_aws/", "/_alb/")
"""Paths that ministack serves to anybody beside AWS's interfaces."""
LOOPBACK = ("127.0.0.1", "[::1]", "localhost")
BUCKET = r"[a-z0-9][a-z0-9-]{1,61}[a-z0-9]"
"""A bucket's name as a label: the CDK CLI puts it before the host name."""


class Gate:
    """The application behind the checks.

    Args:
        application: Serves the requests that pass.
        credentials: The secrets.
        port: Where the server listens; hosts are the loopback's names with this port.
        response_known: Whether a custom resource's function was given this token to answer with.
        clock: The account's time in seconds since 1970.
    """

    def __init__(
        self,
        application: Application,
        credentials: Credentials,
        port: int,
        response_known: Callable[[str], bool],
        clock: Callable[[], float],
    ) -> None:
        self._clock = clock
        self._application = application
        self._credentials = credentials
        self._plain = {f"{name}:{port}" for name in LOOPBACK}
        self._bucket = re.compile(rf"{BUCKET}\.localhost:{port}")
        self._response_known = response_known

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection as ASGI defines it."""
        if scope["type"] == "lifespan":
            await self._application(scope, receive, send)
        elif scope["type"] == "http":
            clock = time.time if _is_for_stacks(scope) else self._clock
            await self._serve(scope, receive, _dated(_without_cors(send), clock))
        else:
            await receive()
            await send({"type": "websocket.close"})

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = _headers(scope)
        fault = self._foreign(headers)
        path: str = scope["path"]
        if fault is None and path.startswith(CONTROL_PATH):
            fault = self._no_control(scope, headers)
        elif fault is None and path.startswith(INSIDE):
            fault = self._no_address(scope)
        elif fault is None:
            await self._serve_signed(scope, headers, receive, send)
            return
        if fault:
            await answer(send, 403, f"{fault}\n".encode())
        else:
            await self._application(scope, receive, send)

    def _foreign(self, headers: Mapping[str, str]) -> str | None:
        """Why a request is not from a process that means this server; None if it is."""
        host = headers.get("host", "").lower()
        if host not in self._plain and not self._bucket.fullmatch(host):
            return "the Host header must name the loopback and this server's port"
        if "origin" in headers:
            return "requests of web pages are refused: no Origin header may be sent"
        return None

    def _no_control(self, scope: Scope, headers: Mapping[str, str]) -> str | None:
        opened = self._credentials.opens_control(headers.get("authorization", ""))
        if scope["method"] == "POST" and opened:
            return None
        return f"{CONTROL_PATH} takes POST with the secret that LocalAws.control holds"

    def _no_address(self, scope: Scope) -> str | None:
        """Why a path of ministack's own is closed; only addresses that it issued are open."""
        path: str = scope["path"]
        if path.startswith(wait_conditions.SIGNAL_PATH):
            known = wait_conditions.has_handle(path.removeprefix(wait_conditions.SIGNAL_PATH))
        else:
            known = path.startswith(RESPONSE_PATH)
            known = known and self._response_known(path.removeprefix(RESPONSE_PATH))
        return None if scope["method"] == "PUT" and known else "no such address, or not with PUT"

    async def _serve_signed(
        self, scope: Scope, headers: Mapping[str, str], receive: Receive, send: Send
    ) -> None:
        query = parse_qs(scope["query_string"].decode(errors="replace"), keep_blank_values=True)
        caller = signatures.identify(query, headers)
        if isinstance(caller, AuthError):
            fault: AuthError | None = caller
        else:
            raw_path = (scope.get("raw_path") or quote(scope["path"]).encode()).decode("latin-1")
            body = await read(receive)
            fault = caller.fault(scope["method"], raw_path, query, headers, body)
        if fault is None:
            await self._application(scope, _again(body, receive), send)
            return
        service = detect_service(scope["method"], scope["path"], dict(headers), query)
        _, shown, text = ministack_app._credential_failure(
            service, "", str(uuid.uuid4()), fault, dict(headers)
        )
        body = b"" if scope["method"] == "HEAD" else text
        await answer(send, 403, body, [(k.encode(), v.encode()) for k, v in shown.items()])


def _is_for_stacks(scope: Scope) -> bool:
    """Whether a request is signed for CloudFormation, whose times are real.

    The SDK for JavaScript tries every refused call again for 45 s once the date of an answer is
    far from its own clock, and the CDK CLI asks for stacks that do not exist.
    """
    signed = (bytes(value) for name, value in scope["headers"] if name == b"authorization")
    return any(b"/cloudformation/aws4_request" in value for value in signed)


def _headers(scope: Scope) -> dict[str, str]:
    """Headers by their names in lower case; repeated headers are joined as for a signature."""
    headers: dict[str, str] = {}
    for raw_name, raw_value in scope["headers"]:
        name, value = raw_name.decode("latin-1").lower(), decode_header_value(raw_value)
        headers[name] = f"{headers[name]},{value}" if name in headers else value
    return headers


def _without_cors(send: Send) -> Send:
    """Remove the headers that let a web page read a response."""

    async def silent(message: Scope) -> None:
        if message["type"] == "http.response.start":
            kept = [
                (name, value)
                for name, value in message.get("headers", [])
                if not bytes(name).lower().startswith(b"access-control-")
            ]
            message = {**message, "headers": kept}
        await send(message)

    return silent


def _dated(send: Send, clock: Callable[[], float]) -> Send:
    """Add the date by the account's clock, which AWS sends with every response.

    Upstream it is the computer's.
    """

    async def dated(message: Scope) -> None:
        if message["type"] == "http.response.start":
            others = [
                (name, value)
                for name, value in message.get("headers", [])
                if bytes(name).lower() != b"date"
            ]
            date = (b"date", formatdate(clock(), usegmt=True).encode())
            message = {**message, "headers": [*others, date]}
        await send(message)

    return dated


def _again(body: bytes, receive: Receive) -> Receive:
    """Receive a body that was read before, then whatever follows."""
    messages = [{"type": "http.request", "body": body, "more_body": False}]

    async def again() -> Scope:
        return messages.pop() if messages else await receive()

    return again
