"""The metadata service of one machine: IMDSv2 on a loopback port of its own."""

from __future__ import annotations

import base64
import json
import re
import secrets
import socket
import threading
import time
from dataclasses import dataclass, field
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from socketserver import TCPServer
from typing import Any

TOKEN_PATH = "/latest/api/token"
TTL_HEADER = "X-aws-ec2-metadata-token-ttl-seconds"
TOKEN_HEADER = "X-aws-ec2-metadata-token"
HTTP_PORT = 80
MAX_TTL = 21600
"""Six hours, the longest life of a token in AWS's documentation."""
CREDENTIALS_LIFE = 6 * 3600
PUSHED_SECONDS = 60
"""How long EC2 Instance Connect offers a key (EC2 user guide)."""
VERSION_PATH = re.compile(r"^/(?:\d{4}-\d{2}-\d{2}|1\.0)(?=/|$)")
"""All versions of the service are the same here; cloud-init uses several."""
_CREDENTIALS = "/latest/meta-data/iam/security-credentials/"


@dataclass
class MachineFacts:
    """Facts that the metadata service has about its machine."""

    instance_id: str
    instance_type: str
    image_id: str
    account: str
    region: str
    zone: str
    private_ip: str
    public_ip: str
    user_data: str
    role: str = ""
    access_key: str = ""
    secret_key: str = ""
    session_token: str = ""
    token_required: bool = False
    lifecycle: str = "on-demand"
    mac: str = "02:00:00:00:00:01"
    gpus: int = 1
    instance_store: tuple[int, ...] = ()
    """Sizes of the type's NVMe disks in GB. EC2's service does not list them either."""
    pushed: list[tuple[str, str, float]] = field(default_factory=list, init=False)
    """Keys of EC2 Instance Connect: user, key, and the end of its time on the monotonic clock."""

    interruption: tuple[str, str] | None = field(default=None, init=False)
    """What EC2 will do to a spot machine, and when."""

    def push_key(self, user: str, key: str) -> None:
        """Offer a key to the machine's SSH server."""
        self.pushed.append((user, key, time.monotonic() + PUSHED_SECONDS))

    def tree(self) -> dict[str, str]:
        """The documents by path."""
        identity = {
            "accountId": self.account,
            "architecture": "x86_64",
            "availabilityZone": self.zone,
            "imageId": self.image_id,
            "instanceId": self.instance_id,
            "instanceType": self.instance_type,
            "privateIp": self.private_ip,
            "region": self.region,
            "version": "2017-09-30",
        }
        values = {
            "ami-id": self.image_id,
            "instance-id": self.instance_id,
            "instance-life-cycle": self.lifecycle,
            "instance-type": self.instance_type,
            "local-ipv4": self.private_ip,
            "public-ipv4": self.public_ip,
            "placement/availability-zone": self.zone,
            "placement/region": self.region,
            "hostname": self.hostname,
            "local-hostname": self.hostname,
            "mac": self.mac,
            f"network/interfaces/macs/{self.mac}/device-number": "0",
            f"network/interfaces/macs/{self.mac}/mac": self.mac,
            f"network/interfaces/macs/{self.mac}/local-ipv4s": self.private_ip,
            # Without it cloud-init takes the machine for EC2-Classic and uses DHCP at every boot
            f"network/interfaces/macs/{self.mac}/vpc-id": "vpc-0123456789abcdef0",
        }
        tree = {f"/latest/meta-data/{name}": value for name, value in values.items() if value}
        if self.interruption is not None:
            action, when = self.interruption
            notice = json.dumps({"action": action, "time": when})
            tree["/latest/meta-data/spot/instance-action"] = notice
            if action == "terminate":
                tree["/latest/meta-data/spot/termination-time"] = when
        tree["/latest/dynamic/instance-identity/document"] = json.dumps(identity, indent=2)
        for user in {user for user, _, _ in self.pushed}:
            keys = [key for who, key, end in self.pushed if who == user and end > time.monotonic()]
            path = f"/latest/meta-data/managed-ssh-keys/active-keys/{user}"
            tree |= {path: "".join(f"{key}\n" for key in keys)} if keys else {}
        if self.user_data:
            tree["/latest/user-data"] = base64.b64decode(self.user_data).decode("latin-1")
        if self.role:
            tree[_CREDENTIALS] = tree[_CREDENTIALS.rstrip("/")] = self.role
            tree[_CREDENTIALS + self.role] = json.dumps(self._credentials())
        return tree

    @property
    def hostname(self) -> str:
        """The name that EC2's own resolver gives to the private address."""
        return f"ip-{self.private_ip.replace('.', '-')}.ec2.internal"

    def find(self, path: str) -> str | None:
        """The document at a path, or the listing of what is below it; None where nothing is."""
        tree = self.tree()
        path = VERSION_PATH.sub("/latest", path)
        if path == "/":
            return "latest\n2009-04-04\n2021-03-23"
        if path in tree:
            return tree[path]
        folder = path.rstrip("/") + "/"
        names = {name[len(folder) :] for name in tree if name.startswith(folder)} - {""}
        tops = {top + ("/" if rest else "") for top, _, rest in (n.partition("/") for n in names)}
        return "\n".join(sorted(tops)) or None

    def _credentials(self) -> dict[str, str]:
        stamp = "%Y-%m-%dT%H:%M:%SZ"
        return {
            "Code": "Success",
            "Type": "AWS-HMAC",
            "LastUpdated": time.strftime(stamp, time.gmtime()),
            "Expiration": time.strftime(stamp, time.gmtime(time.time() + CREDENTIALS_LIFE)),
            "AccessKeyId": self.access_key,
            "SecretAccessKey": self.secret_key,
            "Token": self.session_token,
        }


class MetadataServer:
    """Serves one machine's facts until it is closed.

    Args:
        facts: Read at every request.
        listener: A bound socket in the network of the machine, which nobody else reaches. Default:
            a port of this computer's loopback, and a path that only the machine knows.
    """

    def __init__(self, facts: MachineFacts, listener: socket.socket | None = None) -> None:
        self.facts = facts
        self._prefix = "" if listener else f"/{secrets.token_urlsafe(16)}"
        self._tokens: dict[str, float] = {}
        self._server = _Server(listener or _loopback(), self._handler())
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()

    @property
    def url(self) -> str:
        """Its address, for AWS_EC2_METADATA_SERVICE_ENDPOINT."""
        return f"http://127.0.0.1:{self._server.server_port}{self._prefix}"

    def close(self) -> None:
        """Stop serving."""
        self._server.shutdown()
        self._server.server_close()

    def new_token(self, ttl: str | None) -> str | None:
        """A token that is valid for so many seconds; None for an invalid number."""
        if ttl is None or not ttl.isdigit() or not 1 <= int(ttl) <= MAX_TTL:
            return None
        token = secrets.token_urlsafe(40)
        self._tokens[token] = time.monotonic() + int(ttl)
        return token

    def admits(self, token: str | None) -> bool:
        """Whether a request with this token, or none, is answered."""
        if token is None:
            return not self.facts.token_required
        return self._tokens.get(token, 0.0) > time.monotonic()

    def path(self, path: str, headers: Message[str, str]) -> str | None:
        """The document's path, of a request by the machine itself; None for any other request."""
        address, port = self._server.server_address[:2]
        hosts = {f"{address!s}:{port}"} | ({str(address)} if port == HTTP_PORT else set())
        mine = headers.get("Host") in hosts and headers.get("Origin") is None
        return path.removeprefix(self._prefix) if mine and path.startswith(self._prefix) else None

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        service = self

        class Handler(BaseHTTPRequestHandler):
            def do_PUT(self) -> None:
                path = service.path(self.path, self.headers)
                # As EC2: no token for the clients of a proxy on the machine
                if path is None or "X-Forwarded-For" in self.headers:
                    self._answer(403, "")
                    return
                token = service.new_token(self.headers.get(TTL_HEADER))
                status = 400 if token is None else 200
                self._answer(status if path == TOKEN_PATH else 405, token or "")

            def do_GET(self) -> None:
                path = service.path(self.path, self.headers)
                if path is None:
                    self._answer(403, "")
                    return
                if not service.admits(self.headers.get(TOKEN_HEADER)):
                    self._answer(401, "")
                    return
                text = service.facts.find(path)
                self._answer(404 if text is None else 200, text or "")

            def _answer(self, status: int, text: str) -> None:
                body = text.encode("latin-1")
                self.send_response(status)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: Any) -> None:
                """Nothing: the console log is the machine's own."""

        return Handler


class _Server(ThreadingHTTPServer):
    """Serves on a socket that is bound already, perhaps in another network namespace."""

    def __init__(self, listener: socket.socket, handler: type[BaseHTTPRequestHandler]) -> None:
        TCPServer.__init__(self, listener.getsockname(), handler, bind_and_activate=False)
        self.socket.close()
        self.socket = listener
        self.server_name, self.server_port = listener.getsockname()[:2]
        self.server_activate()


def _loopback() -> socket.socket:
    made = socket.socket()
    made.bind(("127.0.0.1", 0))
    return made
