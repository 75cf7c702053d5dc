"""The Python that uv fetches where the system has none for MXNet: from a loopback server of ours.

What is fetched is Debian 12's Python in the shape of python-build-standalone's archive: the real
one lies on releases.astral.sh and github.com, which are not reached from here. Only the real uv
shows how it takes a list of downloads, a hash, and a connection that breaks off.
"""

from __future__ import annotations

import hashlib
import secrets
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from localaws.machines.booted import standalone_python
from tests.boot.phase_machine import Machine

pytestmark = pytest.mark.parametrize("distribution", ["debian-13"], indirect=True)
"""Whose own Python is 3.13."""

ENVIRONMENT = ("environment", "30-build-environment")
COMPUTES = "import mxnet; print(mxnet.nd.ones((2, 2)).sum().asscalar())"


class PythonServer(ThreadingHTTPServer):
    """Serves the list and the archive on a loopback port, to who knows its path; can be spoiled."""

    daemon_threads = True

    def __init__(self, archive: bytes) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.archive = archive
        self.sha256 = hashlib.sha256(archive).hexdigest()
        self.cuts = 0
        self.asked = 0
        self.secret = secrets.token_urlsafe(16)
        threading.Thread(target=self.serve_forever, daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://localhost:{self.server_port}/{self.secret}"

    def close(self) -> None:
        self.shutdown()
        self.server_close()


class _Handler(BaseHTTPRequestHandler):
    server: PythonServer

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing."""

    def do_GET(self) -> None:
        server = self.server
        files = {
            f"/{server.secret}/list.json": standalone_python.downloads(
                f"{server.url}/python.tar.gz", server.sha256
            ).encode(),
            f"/{server.secret}/python.tar.gz": server.archive,
        }
        body = files.get(self.path)
        if body is None:
            self.send_error(403)
            return
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if body is server.archive:
            server.asked += 1
            if server.cuts:
                server.cuts -= 1
                body = body[: len(body) // 2]
        self.wfile.write(body)


@pytest.fixture
def server(machine: Machine) -> Iterator[PythonServer]:
    """The archive of the machine's own root, elsewhere."""
    folder = machine.lower / standalone_python.FOLDER
    made = PythonServer((folder / standalone_python.ARCHIVE).read_bytes())
    machine.reach(made.server_port)
    yield made
    made.close()


def fetch_from(server: PythonServer, seconds: int = 120) -> dict[str, str]:
    return {
        standalone_python.LIST_VARIABLE: f"{server.url}/list.json",
        "GPUSTATION_RETRY_SECONDS": str(seconds),
    }


def test_a_download_that_breaks_off_is_repeated_and_mxnet_computes(
    machine: Machine, server: PythonServer
) -> None:
    # uv tries four times by itself: this outlasts it, and the phase must try again
    machine.phase("system", "10-prepare-system")
    server.cuts = 5
    said = machine.phase(*ENVIRONMENT, variables=fetch_from(server))
    assert "trying again in 5 s" in said
    assert server.cuts == 0 and server.asked == 6
    python = "/opt/gpustation/env/bin/python"
    assert machine.sh(f"{python} -I -c '{COMPUTES}'").splitlines()[-1] == "4.0"
    shown = machine.sh(f"readlink -f {python}; {python} -V").split()
    assert shown[0].startswith("/opt/gpustation/python/cpython-3.11")
    assert shown[2].startswith("3.11.")


def test_another_archive_than_the_list_says_is_refused_at_once(
    machine: Machine, server: PythonServer
) -> None:
    server.sha256 = "0" * 64
    machine.phase(*ENVIRONMENT, 78, fetch_from(server))
    assert "Hash mismatch for `cpython-3.11.18" in machine.record()
    assert "trying again would not help" in machine.record()
    assert server.asked == 1
    assert machine.sh("ls /opt/gpustation/env 2>/dev/null || true") == ""


def test_a_source_that_is_gone_is_named_with_the_mirror_that_can_be_set(
    machine: Machine, server: PythonServer
) -> None:
    server.close()
    machine.phase(*ENVIRONMENT, 2, fetch_from(server, 1))
    said = machine.record()
    assert said.startswith(
        "2 message Python 3.11 for mxnet could not be downloaded from releases.astral.sh"
    )
    assert said.endswith("or python_mirror must name a copy of python-build-standalone's releases")
