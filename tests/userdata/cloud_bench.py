"""A small AWS for one machine: metadata service, SSM, S3 and signal addresses, on loopback.

Written from the services' documentation and not with botocore, so that the agent's requests
meet something that shares no code with it.
"""

from __future__ import annotations

import copy
import hashlib
import io
import json
import re
import tarfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

REGION = "us-east-1"
PARAMETER = "/gpustation/GpuWorkstation/settings"
BUCKET = "cdk-assets-111122223333-us-east-1"
KEY = "scripts (1)+~ä.tar"
TOKEN = "token-of-the-metadata-service"
ROLE = "GpuInstanceRole"
KEYS = {"AccessKeyId": "ASIAEXAMPLE", "SecretAccessKey": "secret/key", "Token": "session+token=="}
#: As long as the presigned address of a wait condition's handle.
SIGNATURE = "&".join(f"X-Amz-{name}={'a%2F' * 25}" for name in ("Credential", "Date", "Signature"))


def archive_of(folder: Path, extra: dict[str, bytes] | None = None) -> bytes:
    """The scripts asset: a plain tar of userdata/, without what travels in the user data."""
    files = {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and not {"bootstrap", "__pycache__"} & set(path.parts)
    }
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for name, content in {**files, **(extra or {})}.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return buffer.getvalue()


class Cloud(ThreadingHTTPServer):
    """The server's state: what it serves, what shall fail, and what it was sent."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.archive = b""
        self.settings: dict[str, Any] = {}
        self.signals: list[tuple[str, dict[str, Any]]] = []
        self.requests: list[str] = []
        #: What PutParameter was sent.
        self.written: list[dict[str, Any]] = []
        #: Path pattern to [times left, status, body]; 0 as a status cuts the connection.
        self.faults: dict[str, list[Any]] = {}
        #: Where answers of 3xx point.
        self.redirects_to = ""
        #: By how much this clock differs from the machine's, or the whole header Date.
        self.seconds_ahead = 0
        self.date: str | None = None
        #: Path and signing time of each signed request.
        self.stamps: list[tuple[str, str]] = []

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def remember(self) -> dict[str, Any]:
        """What `recall` brings back: what it serves and was sent, and what shall fail."""
        names = ("archive", "settings", "signals", "requests", "faults", "redirects_to")
        names += ("seconds_ahead", "date", "stamps")
        return {name: copy.deepcopy(getattr(self, name)) for name in names}

    def recall(self, known: dict[str, Any]) -> None:
        """Be as it was."""
        vars(self).update(copy.deepcopy(known))

    def serve_scripts(self, archive: bytes) -> None:
        """Offer these scripts, and name them in the settings."""
        self.archive = archive
        digest = hashlib.sha256(archive).hexdigest()
        self.settings["scripts"] = {"bucket": BUCKET, "key": KEY, "sha256": digest}

    def signal_address(self, step: str) -> str:
        return f"{self.address}/signal/{step}?{SIGNATURE}"


class Handler(BaseHTTPRequestHandler):
    """Answers as AWS does, faults first."""

    server: Cloud

    def log_message(self, format: str, *args: object) -> None:
        """Keep quiet."""

    def handle_any(self) -> None:
        self.server.requests.append(f"{self.command} {self.path}")
        if stamp := self.headers.get("X-Amz-Date"):
            self.server.stamps.append((self.path, stamp))
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        for pattern, fault in self.server.faults.items():
            if fault[0] and re.search(pattern, self.path):
                fault[0] -= 1
                if fault[1] == 0:
                    self.close_connection = True
                    return
                self.answer(fault[1], fault[2])
                return
        if self.path.startswith("/latest/"):
            self.metadata()
        elif self.path.startswith("/signal/"):
            self.signal(body)
        elif self.path == "/" and self.command == "POST":
            self.parameter(body)
        else:
            self.object()

    do_GET = do_PUT = do_POST = handle_any

    def answer(self, status: int, body: str | bytes) -> None:
        data = body.encode() if isinstance(body, str) else body
        self.send_response(status)
        self.send_header("Content-Length", str(len(data)))
        if 300 <= status < 400:
            self.send_header("Location", self.server.address + self.server.redirects_to)
        self.end_headers()
        self.wfile.write(data)

    def date_time_string(self, timestamp: float | None = None) -> str:
        """The header Date."""
        if self.server.date is not None:
            return self.server.date
        return super().date_time_string(int(time.time() + self.server.seconds_ahead))

    def metadata(self) -> None:
        path = self.path.removeprefix("/latest/")
        roles = "meta-data/iam/security-credentials/"
        if path == "api/token" and self.command == "PUT":
            known = self.headers.get("X-aws-ec2-metadata-token-ttl-seconds")
            self.answer(200 if known else 400, TOKEN if known else "")
        elif self.headers.get("X-aws-ec2-metadata-token") != TOKEN:
            self.answer(401, "")
        elif path == roles:
            self.answer(200, ROLE)
        elif path == roles + ROLE:
            self.answer(200, json.dumps({"Code": "Success", **KEYS}))
        else:
            self.answer(404, "")

    def is_signed(self, service: str) -> bool:
        found = self.headers.get("Authorization", "")
        wanted = rf"AWS4-HMAC-SHA256 Credential=ASIAEXAMPLE/\d{{8}}/{REGION}/{service}/aws4_request"
        if re.match(wanted, found) and self.headers.get("X-Amz-Security-Token") == KEYS["Token"]:
            return True
        self.answer(403, "<Error><Code>AccessDenied</Code></Error>")
        return False

    def parameter(self, body: bytes) -> None:
        if not self.is_signed("ssm"):
            return
        if self.headers.get("X-Amz-Target") == "AmazonSSM.PutParameter":
            self.server.written.append(json.loads(body))
            self.answer(200, json.dumps({"Version": len(self.server.written)}))
            return
        if json.loads(body) != {"Name": PARAMETER}:
            self.answer(400, json.dumps({"__type": "ParameterNotFound"}))
            return
        value = json.dumps(self.server.settings)
        self.answer(200, json.dumps({"Parameter": {"Name": PARAMETER, "Value": value}}))

    def object(self) -> None:
        if not self.is_signed("s3"):
            return
        if self.path != f"/{BUCKET}/scripts%20%281%29%2B~%C3%A4.tar":
            self.answer(404, "<Error><Code>NoSuchKey</Code></Error>")
            return
        self.answer(200, self.server.archive)

    def signal(self, body: bytes) -> None:
        # A presigned address was signed for an empty content type: any other is refused.
        if self.command != "PUT" or self.headers.get("Content-Type") != "":
            self.answer(403, "<Error><Code>SignatureDoesNotMatch</Code></Error>")
            return
        step = self.path.removeprefix("/signal/").partition("?")[0]
        sent = json.loads(body.decode("ascii"))
        if sorted(sent) != ["Data", "Reason", "Status", "UniqueId"]:
            self.answer(400, "")
            return
        self.server.signals.append((step, sent))
        self.answer(200, "")


@contextmanager
def running_cloud() -> Iterator[Cloud]:
    """Serve until the end of the block."""
    with Cloud() as cloud:
        thread = threading.Thread(target=cloud.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield cloud
        finally:
            cloud.shutdown()
            thread.join()
