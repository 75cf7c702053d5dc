"""A folder that stands for a spot machine, and a metadata service of its own on loopback.

Written from the EC2 user guide's pages on IMDSv2 and on interruption notices.
"""

from __future__ import annotations

import importlib
import json
import os
import shutil
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from machine_bench import USERDATA

FOLDER = USERDATA / "phases/13-watch-interruption"
MODULES = ("system", "people", "notice", "hooks", "record", "watcher", "status")
ITEM = "/latest/meta-data/spot/instance-action"
PERSON = 65532
"""A user id that no computer gives to anybody (those below 65534 are not allocated by useradd)."""
COMMANDS = {
    "wall": 'echo "$1" >>"$GPUSTATION_ROOT/wall"',
    "sync": 'echo >>"$GPUSTATION_ROOT/synced"',
}


class Service(ThreadingHTTPServer):
    """A metadata service.

    Attributes:
        item: The notice; None: there is none.
        answers: Statuses that the next requests for it get, whatever there is.
        silent: Whether it takes requests and answers none.
    """

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.item: str | None = None
        self.answers: list[int] = []
        self.silent = threading.Event()
        self.tokens: list[str] = []
        self.revoked = 0
        self.requests: list[str] = []

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def announce(self, seconds: float, action: str = "stop") -> str:
        """Announce an interruption in so many seconds; returns the time as written."""
        at = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + seconds))
        self.item = json.dumps({"action": action, "time": at})
        return at


class Handler(BaseHTTPRequestHandler):
    """Answers as EC2 does."""

    server: Service

    def log_message(self, *_: object) -> None:
        """Keep quiet."""

    def do_PUT(self) -> None:
        self.server.requests.append(f"PUT {self.path}")
        life = self.headers.get("X-aws-ec2-metadata-token-ttl-seconds", "")
        if self.path != "/latest/api/token" or not 1 <= int(life or 0) <= 21600:
            self.answer(400)
            return
        self.server.tokens.append(f"token-{len(self.server.tokens)}==")
        self.answer(200, self.server.tokens[-1])

    def do_GET(self) -> None:
        server = self.server
        server.requests.append(f"GET {self.path}")
        if server.silent.is_set():
            time.sleep(10)
            return
        known = server.tokens[server.revoked :]
        if self.headers.get("X-aws-ec2-metadata-token") not in known:
            self.answer(401)
        elif server.answers:
            self.answer(server.answers.pop(0))
        elif self.path != ITEM or server.item is None:
            self.answer(404)
        else:
            self.answer(200, server.item)

    def answer(self, status: int, text: str = "") -> None:
        body = text.encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


class Spot:
    """The folder that stands for a machine."""

    def __init__(self, root: Path, service: Service) -> None:
        self.root, self.service = root, service
        self.home = root / "home/ubuntu"
        self.home.mkdir(parents=True)
        self.hooks = root / "etc/gpustation/on-interruption.d"
        self.hooks.mkdir(parents=True)
        self.put("var/lib/gpustation/settings.json", '{"spot": true}')
        self.boot("first")

    def put(self, path: str, text: str) -> Path:
        target = self.root / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text)
        return target

    def boot(self, name: str) -> None:
        """Boot the machine: what is in /run is gone."""
        for path in sorted((self.root / "run").rglob("*"), reverse=True):
            path.unlink() if path.is_file() else path.rmdir()
        self.put("proc/sys/kernel/random/boot_id", f"{name}\n")

    def hook(self, name: str, script: str, mode: int = 0o755, folder: Path | None = None) -> Path:
        path = (folder or self.hooks) / name
        path.write_text(f"#!/bin/bash\n{script}\n")
        path.chmod(mode)
        return path

    def personal_hook(self, name: str, script: str, mode: int = 0o755) -> Path:
        folder = self.home
        for part in (".config", "gpustation", "on-interruption.d"):
            folder = folder / part
            folder.mkdir(exist_ok=True)
        path = self.hook(name, script, mode, folder)
        if os.geteuid() == 0:
            for each in (path, *list(path.parents)[:3]):
                os.chown(each, PERSON, PERSON)
        return path

    def read(self, path: str) -> str:
        """A file's text; empty if there is none."""
        target = self.root / path
        return target.read_text() if target.exists() else ""

    def json(self, path: str) -> dict[str, Any]:
        return dict(json.loads(self.read(path) or "{}"))

    @property
    def record(self) -> dict[str, Any]:
        return self.json("var/lib/gpustation/interruption.json")

    @property
    def public(self) -> dict[str, Any]:
        return self.json("run/gpustation/interruption.json")

    @property
    def message(self) -> str:
        return self.read("run/motd.d/gpustation-interruption")


@pytest.fixture
def service() -> Iterator[Service]:
    with Service() as served:
        thread = threading.Thread(target=served.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        yield served
        served.shutdown()
        thread.join()


@pytest.fixture
def spot(service: Service, monkeypatch: pytest.MonkeyPatch) -> Iterator[Spot]:
    """In a folder that everybody may enter, as a person's hooks run with the person's rights."""
    folder = Path(tempfile.mkdtemp(prefix="spot-machine-"))
    folder.chmod(0o755)
    programs = folder / "bin"
    programs.mkdir()
    for name, script in COMMANDS.items():
        (programs / name).write_text(f"#!/bin/bash\n{script}\n")
        (programs / name).chmod(0o755)
    monkeypatch.setenv("GPUSTATION_ROOT", str(folder / "root"))
    monkeypatch.setenv("AWS_EC2_METADATA_SERVICE_ENDPOINT", service.address)
    monkeypatch.setenv("PATH", f"{programs}:{os.environ['PATH']}")
    made = Spot(folder / "root", service)
    if os.geteuid() == 0:
        os.chown(made.home, PERSON, PERSON)
    yield made
    shutil.rmtree(folder)


@pytest.fixture
def machine_code(spot: Spot, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """The modules, imported as the program does it, for this folder."""
    monkeypatch.syspath_prepend(USERDATA / "idle")
    monkeypatch.syspath_prepend(FOLDER)
    for name in MODULES:
        sys.modules.pop(name, None)
    made = SimpleNamespace(**{name: importlib.import_module(name) for name in MODULES})
    monkeypatch.setattr(made.hooks, "ROOT_USER", os.geteuid())
    yield made
    for name in MODULES:
        sys.modules.pop(name, None)


def until(condition: Callable[[], object], seconds: float = 60) -> None:
    """Wait until a condition holds."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)


def turn(watcher: Any) -> None:
    """One look, and then whatever its hooks and messages take."""
    watcher.look()
    while watcher._run:
        watcher.tend()
        time.sleep(0.01)
    for thread in threading.enumerate():
        if thread.name == "announce":
            thread.join()
