"""Whoever else listens on Jupyter's port gets no token; the sockets are real."""

from __future__ import annotations

import http.server
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from machine_bench import USERDATA

TOKEN = "the-persons-token"


class Jupyter(http.server.ThreadingHTTPServer):
    """Answers as Jupyter does, and keeps what it was sent."""

    def __init__(self, host: str = "127.0.0.1") -> None:
        super().__init__((host, 0), _Handler)
        self.sent: list[str] = []
        self.without = 403


class _Handler(http.server.BaseHTTPRequestHandler):
    server: Jupyter

    def do_GET(self) -> None:
        token = self.headers.get("Authorization", "")
        self.server.sent.append(token)
        self.send_response(200 if token == f"token {TOKEN}" else self.server.without)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def jupyter() -> Iterator[Jupyter]:
    with Jupyter() as server:
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        yield server
        server.shutdown()


def own_group() -> str:
    """The control group of this process, as systemctl shows a unit's."""
    rows = Path("/proc/self/cgroup").read_text().splitlines()
    return rows[-1].split(":", 2)[2]


def wait(folder: Path, port: int, group: str) -> subprocess.CompletedProcess[str]:
    """Run it for a unit of that control group."""
    systemctl = folder / "systemctl"
    systemctl.write_text(f"#!/bin/sh\necho '{group}'\n")
    systemctl.chmod(0o755)
    (folder / "token").write_text(TOKEN)
    return subprocess.run(
        [
            *(sys.executable, "-I", USERDATA / "phases/70-check-jupyter/await_jupyter.py"),
            *("gpustation-jupyter.service", str(port), folder / "token"),
        ],
        env={"PATH": f"{folder}:{os.environ['PATH']}", "GPUSTATION_JUPYTER_SECONDS": "0"},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


def test_jupyter_itself_is_asked_with_and_without_its_token(
    tmp_path: Path, jupyter: Jupyter
) -> None:
    done = wait(tmp_path, jupyter.server_port, own_group())
    assert done.returncode == 0, done.stderr
    assert jupyter.sent == [f"token {TOKEN}", ""]


@pytest.mark.parametrize("group", ["/system.slice/gpustation-jupyter.service", ""])
def test_a_stranger_gets_no_token_and_is_named(
    tmp_path: Path, jupyter: Jupyter, group: str
) -> None:
    """Also while the unit does not run, which has no control group then."""
    done = wait(tmp_path, jupyter.server_port, group)
    assert done.returncode == 1
    assert jupyter.sent == []
    name = Path("/proc/self/comm").read_text().strip()
    (line,) = done.stderr.splitlines()
    assert line.startswith(f"port {jupyter.server_port} is taken by {name} (process {os.getpid()} ")
    assert "--jupyter-port" in line


def test_a_stranger_at_another_address_of_the_port_is_one_too(tmp_path: Path) -> None:
    """0.0.0.0 answers on the loopback where nobody else does."""
    with Jupyter("0.0.0.0") as everywhere:
        done = wait(tmp_path, everywhere.server_port, "/elsewhere")
    assert f"port {everywhere.server_port} is taken by " in done.stderr
    assert everywhere.sent == []


def test_a_name_in_odd_characters_is_shown_plain(tmp_path: Path) -> None:
    script = (
        "import socket\n"
        "open('/proc/self/comm', 'wb').write(b'a\\x1b[2J\\xff')\n"
        "s = socket.create_server(('127.0.0.1', 0))\n"
        "print(s.getsockname()[1], flush=True)\n"
        "input()\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as odd:
        assert odd.stdout is not None
        done = wait(tmp_path, int(odd.stdout.readline()), "/elsewhere")
        odd.communicate("\n")
    assert "is taken by a?[2J? (process " in done.stderr


def test_nobody_there_is_said_so(tmp_path: Path) -> None:
    with Jupyter() as gone:
        port = gone.server_port
    done = wait(tmp_path, port, own_group())
    assert f"http://127.0.0.1:{port}/api/contents?content=0 answered nothing" in done.stderr


def test_one_that_answers_to_everybody_is_refused(tmp_path: Path, jupyter: Jupyter) -> None:
    jupyter.without = 200
    done = wait(tmp_path, jupyter.server_port, own_group())
    assert "answered 200 without a token, not 403" in done.stderr
