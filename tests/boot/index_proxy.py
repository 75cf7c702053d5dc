"""A package index in front of the real one, whose answers can be spoiled."""

from __future__ import annotations

import contextlib
import io
import json
import secrets
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import IO, Any, Literal

from tests.support.package_index import index_url

JSON = "application/vnd.pypi.simple.v1+json"
PASSED_ON = ("Content-Type", "Content-Length", "Content-Range", "Accept-Ranges", "ETag")
CHUNK = 1 << 16

Kind = Literal["503", "cut", "another"]
COMMENT = b"not the file that was locked"


@dataclass
class Fault:
    """What happens to the files whose name starts so.

    Args:
        name: Start of the file's name.
        kind: 503 without a body; cut half way; or another file, a good archive by itself.
        times: How many answers are spoiled.
    """

    name: str
    kind: Kind
    times: int


class IndexProxy(ThreadingHTTPServer):
    """The index; it serves on a loopback port until `close`, to those who were told its path."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.faults: list[Fault] = []
        self.spoiled: list[str] = []
        self.places: dict[str, str] = {}
        self.secret = secrets.token_urlsafe(16)
        self._lock = threading.Lock()
        threading.Thread(target=self.serve_forever, daemon=True).start()

    @property
    def environment(self) -> dict[str, str]:
        """What pip and uv on a machine need to ask here, through the same port there."""
        url = f"{self.url}/simple"
        return {"PIP_INDEX_URL": url, "UV_DEFAULT_INDEX": url}

    @property
    def url(self) -> str:
        """Its address on a machine."""
        return f"http://localhost:{self.server_port}/{self.secret}"

    def close(self) -> None:
        self.shutdown()
        self.server_close()

    def take(self, name: str) -> Kind | None:
        """The fault of this answer, if there is one left."""
        with self._lock:
            for fault in self.faults:
                if fault.times and name.startswith(fault.name) and not name.endswith(".metadata"):
                    fault.times -= 1
                    self.spoiled.append(name)
                    return fault.kind
        return None


class _Handler(BaseHTTPRequestHandler):
    server: IndexProxy
    protocol_version = "HTTP/1.1"

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing."""

    def do_GET(self) -> None:
        _, secret, kind, name = [*self.path.split("/", 3), "", "", ""][:4]
        if secret != self.server.secret:
            self.send_error(403)
            return
        try:
            if kind == "simple":
                self._project(name.strip("/"))
            else:
                self._file(name)
        except urllib.error.HTTPError as error:
            self.send_error(error.code)

    do_HEAD = do_GET

    def _project(self, name: str) -> None:
        with _open(f"{index_url()}/{name}/", {"Accept": JSON}) as answer:
            project = json.load(answer)
        for file in project["files"]:
            self.server.places[file["filename"]] = file["url"]
            file["url"] = f"{self.server.url}/files/{file['filename']}"
        body = json.dumps(project).encode()
        self._head(200, {"Content-Type": JSON, "Content-Length": str(len(body))})
        self.wfile.write(body)

    def _file(self, name: str) -> None:
        place = self.server.places[name.removesuffix(".metadata")]
        if name.endswith(".metadata"):
            place += ".metadata"
        kind = self.server.take(name) if self.command == "GET" else None
        if kind == "503":
            self._head(503, {"Content-Length": "0"})
            return
        asked = {key: self.headers[key] for key in ("Range",) if key in self.headers}
        with _open(place, asked, self.command) as answer:
            known = {key: answer.headers[key] for key in PASSED_ON if key in answer.headers}
            source, length = answer, int(known["Content-Length"])
            if kind == "another":
                data = _with_comment(answer.read())
                source, length = io.BytesIO(data), len(data)
            self._head(answer.status, known | {"Content-Length": str(length)})
            if self.command == "GET":
                self._body(source, length // 2 if kind == "cut" else length)
                self.close_connection = kind == "cut"

    def _body(self, source: IO[bytes], left: int) -> None:
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            while left and (data := source.read(min(CHUNK, left))):
                left -= len(data)
                self.wfile.write(data)

    def _head(self, status: int, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()


def _with_comment(wheel: bytes) -> bytes:
    """The archive with a comment at its end, whose length the last two bytes tell."""
    assert wheel.endswith(b"\0\0")
    return wheel[:-2] + len(COMMENT).to_bytes(2, "little") + COMMENT


@contextlib.contextmanager
def _open(url: str, headers: dict[str, str], method: str = "GET") -> Iterator[Any]:
    with urllib.request.urlopen(
        urllib.request.Request(url, headers=headers, method=method), timeout=60
    ) as answer:
        yield answer
