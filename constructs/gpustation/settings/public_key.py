"""Reads and validates an SSH public key. Messages never contain the value: it may be private."""

from __future__ import annotations

import base64
import binascii
import dataclasses
import hashlib
import os
import re
import stat
from pathlib import Path

from gpustation.console.shown_text import PRIVATE_KEY_MARKS

KEY_TYPES = (
    "ssh-ed25519",
    "ssh-rsa",
    "ecdsa-sha2-nistp256",
    "ecdsa-sha2-nistp384",
    "ecdsa-sha2-nistp521",
    "sk-ssh-ed25519@openssh.com",
    "sk-ecdsa-sha2-nistp256@openssh.com",
)
"""Key types that sshd accepts by default (sshd_config, PubkeyAcceptedAlgorithms)."""

RSA_BITS = (1024, 16_384)
"""Size that sshd accepts (sshkey.h, SSH_RSA_MINIMUM_MODULUS_SIZE, OPENSSH_RSA_MAX_MODULUS_BITS)."""

MAX_KEY_CHARACTERS = 3000
"""A 16,384-bit RSA key with its comment has 2,900; the settings parameter is limited to 4,096."""

MAX_COMMENT = 100
"""Longest comment that is kept, in characters."""

MAX_FILE_BYTES = 16 * 1024
"""Larger than any file with one public key and comments."""

_POINT_BYTES = {"nistp256": 65, "nistp384": 97, "nistp521": 133}
_UNCOMPRESSED = 4
_REMEDY = "pass the path of a .pub file, or its one line"
_NEW_KEY = "create another with `ssh-keygen -t ed25519`"


@dataclasses.dataclass(frozen=True)
class PublicKey:
    """A public key for ``authorized_keys``.

    Attributes:
        line: ``type base64 [comment]``.
        warning: Message if the comment was shortened; otherwise empty.
    """

    line: str
    warning: str = ""


def read_public_key(value: str) -> PublicKey:
    """Reads a key in OpenSSH's format.

    Args:
        value: The key's line, or the path of a file that contains it. A relative path is relative
            to the folder of the CDK app; ``~`` is the home folder.

    Raises:
        ValueError: With the rule and the remedy, but without the value.
    """
    text = value.strip()
    if "\n" in text or any(w in KEY_TYPES or w.startswith("AAAA") for w in text.split()):
        return _read_text(text)
    if len(text) > 255:
        raise ValueError(f"is neither an OpenSSH public key nor a path; {_REMEDY}")
    _refuse_private(text)
    return _read_text(_decoded(_read_file(text)))


def _read_file(path_text: str) -> bytes:
    try:
        path = Path(path_text).expanduser()
        reason = _obstacle(path.stat())
        if not reason:
            with path.open("rb") as file:
                return file.read(MAX_FILE_BYTES)
    except (FileNotFoundError, NotADirectoryError):
        reason = "is not an existing file"
    except PermissionError:
        reason = "is a file that you may not read"
    except (OSError, RuntimeError, ValueError):  # unknown home folder, invalid name
        reason = "is not a readable file"
    raise ValueError(f"{reason}; {_REMEDY}")


def _obstacle(status: os.stat_result) -> str:
    """Reason not to open a file, as reading a pipe or a device may block; empty if none."""
    if stat.S_ISDIR(status.st_mode):
        return "is a folder"
    if not stat.S_ISREG(status.st_mode):
        return "is a pipe or a device, not a file"
    if status.st_size == 0:  # also files in /proc, some of which have no end
        return "is an empty file"
    if status.st_size > MAX_FILE_BYTES:
        return f"is larger than {MAX_FILE_BYTES // 1024} KiB, too large for a public key"
    return ""


def _decoded(content: bytes) -> str:
    """Decodes a file. Only comments can be other than ASCII, so decoding errors do not matter."""
    if content.startswith((b"\xff\xfe", b"\xfe\xff")):  # PowerShell's redirection writes UTF-16
        return content.decode("utf-16", errors="replace")
    return content.decode("utf-8", errors="replace")


def _read_text(text: str) -> PublicKey:
    _refuse_private(text)
    # The first line may start with a byte order mark
    stripped = [line.strip("\ufeff \t\r\v\f") for line in re.split(r"[\r\n]+", text)]
    lines = [line for line in stripped if line and not line.startswith("#")]
    if len(lines) != 1:
        raise ValueError(f"must be one public key, got {len(lines)} lines; {_REMEDY}")
    return _read_line(lines[0])


def _refuse_private(text: str) -> None:
    if any(mark in text for mark in PRIVATE_KEY_MARKS):
        raise ValueError(
            "is a private key, which must never leave your computer; pass the .pub file instead"
        )


def _read_line(line: str) -> PublicKey:
    key_type, encoded, comment = [*line.split(None, 2), "", ""][:3]
    if fault := _fault_of_type(key_type) or _fault_of_blob(key_type, encoded):
        raise ValueError(fault)
    kept = re.sub(r"[^A-Za-z0-9@._+-]", "", comment)[:MAX_COMMENT]
    key = f"{key_type} {encoded} {kept}".rstrip()
    if len(key) > MAX_KEY_CHARACTERS:
        raise ValueError(f"must have at most {MAX_KEY_CHARACTERS} characters; {_NEW_KEY}")
    if kept == comment.strip():
        return PublicKey(key)
    return PublicKey(
        key,
        "public_key: its comment is shortened to the characters A-Z a-z 0-9 @ . _ + - and a "
        f"length of {MAX_COMMENT}; the key itself is unchanged",
    )


def _fault_of_type(key_type: str) -> str:
    if key_type in KEY_TYPES:
        return ""
    if key_type == "ssh-dss":
        return f"is a DSA key, which sshd refuses since OpenSSH 7.0; {_NEW_KEY}"
    if re.fullmatch(r"[a-z0-9-]+-cert-v0[01]@openssh\.com", key_type):
        return "is a certificate; pass the .pub file of its key"
    return f"must begin with a key type that sshd accepts, such as ssh-ed25519; {_REMEDY}"


def _fault_of_blob(key_type: str, encoded: str) -> str:
    """Why sshd would reject the key, by its wire format (RFC 4253, RFC 5656, PROTOCOL.u2f)."""
    incomplete = f"is not a complete {key_type} key; {_REMEDY}"
    fields = _fields(encoded)
    if not fields or fields[0] != key_type.encode():
        return incomplete
    if key_type == "ssh-rsa":
        if len(fields) != 3 or any(field[:1] >= b"\x80" for field in fields[1:]):
            return incomplete
        bits = int.from_bytes(fields[2], "big").bit_length()
        if not RSA_BITS[0] <= bits <= RSA_BITS[1]:
            low, high = RSA_BITS
            return f"is an RSA key of {bits} bits, but sshd accepts {low} to {high}; {_NEW_KEY}"
        return ""
    security_key = key_type.startswith("sk-")
    if security_key:
        fields = fields[:-1]  # the application, an arbitrary string
    if "ed25519" in key_type:
        return "" if [len(field) for field in fields[1:]] == [32] else incomplete
    curve = key_type.removesuffix("@openssh.com").rpartition("-")[2]
    complete = (
        len(fields) == 3
        and fields[1] == curve.encode()
        and len(fields[2]) == _POINT_BYTES[curve]
        and fields[2][0] == _UNCOMPRESSED  # the only form that sshd accepts
    )
    return "" if complete else incomplete


def _fields(encoded: str) -> list[bytes]:
    """The fields of a key, each preceded by its length in four bytes; empty if it is truncated."""
    try:
        blob = base64.b64decode(encoded, validate=True)
    except (binascii.Error, ValueError):
        return []
    if base64.b64encode(blob).decode() != encoded:  # excess padding, which sshd rejects
        return []
    fields: list[bytes] = []
    while blob:
        size = int.from_bytes(blob[:4], "big")
        if size > len(blob) - 4:
            return []
        fields.append(blob[4 : 4 + size])
        blob = blob[4 + size :]
    return fields


def fingerprint(line: str) -> str:
    """Type and fingerprint of a key's line, the latter as in ``ssh-keygen -l``; or ``none``."""
    if not line:
        return "none"
    kind, key = line.split()[:2]
    digest = hashlib.sha256(base64.b64decode(key)).digest()
    return f"{kind} SHA256:{base64.b64encode(digest).decode().rstrip('=')}"
