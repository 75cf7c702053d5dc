"""Public SSH host keys: parsing untrusted text, fingerprints, and the keys on a console."""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from collections.abc import Iterable
from dataclasses import dataclass

KINDS = (
    "ssh-ed25519",
    "ecdsa-sha2-nistp256",
    "ecdsa-sha2-nistp384",
    "ecdsa-sha2-nistp521",
    "ssh-rsa",
)
"""Key types of OpenSSH's host keys."""
_LINE = re.compile(rf"({'|'.join(KINDS)}) ([A-Za-z0-9+/]{{40,1400}}={{0,2}})(?: .*)?")
_BLOCK = re.compile(
    r"-----BEGIN SSH HOST KEY KEYS-----(.*?)-----END SSH HOST KEY KEYS-----", re.DOTALL
)
"""What cloud-init prints at an instance's first boot (its module keys_to_console)."""


@dataclass(frozen=True, order=True)
class HostKey:
    """A public host key.

    Attributes:
        kind: Its type, e.g. ``ssh-ed25519``.
        blob: The key in base64.
    """

    kind: str
    blob: str

    def __str__(self) -> str:
        return f"{self.kind} {self.blob}"

    @property
    def fingerprint(self) -> str:
        """As ``ssh-keygen -l`` prints it, with the type."""
        digest = hashlib.sha256(base64.b64decode(self.blob)).digest()
        return f"{self.kind} SHA256:{base64.b64encode(digest).decode().rstrip('=')}"


def parse_key(line: str) -> HostKey | None:
    """The key of a line ``TYPE BASE64 [comment]``; ``None`` if it is not a host key."""
    match = _LINE.fullmatch(line.strip())
    if not match:
        return None
    kind, blob = match[1], match[2]
    try:
        data = base64.b64decode(blob, validate=True)
    except binascii.Error:
        return None
    # The key repeats its type, with the length in four bytes before it (RFC 4253, 6.6)
    return HostKey(kind, blob) if data[4 : 4 + len(kind)] == kind.encode() else None


def parse_keys(lines: Iterable[str]) -> tuple[HostKey, ...]:
    """The host keys among some lines, sorted, each once."""
    return tuple(sorted({key for key in map(parse_key, lines) if key is not None}))


def keys_in_console(output: str) -> tuple[HostKey, ...]:
    """The host keys that cloud-init printed on the console; none if it did not, or contradicts.

    Only root can write to the console. Two blocks with different keys, as after
    ``cloud-init clean``, are no proof of either.
    """
    blocks = {parse_keys(block.splitlines()) for block in _BLOCK.findall(output)} - {()}
    return next(iter(blocks)) if len(blocks) == 1 else ()
