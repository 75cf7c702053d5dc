"""Reads the public key that a person wants on the machine, and never shows a private one."""

from __future__ import annotations

import base64
import binascii
from pathlib import Path

KEY_TYPES = (
    "ssh-ed25519",
    "ssh-rsa",
    "ecdsa-sha2-nistp256",
    "ecdsa-sha2-nistp384",
    "ecdsa-sha2-nistp521",
    "sk-ssh-ed25519@openssh.com",
    "sk-ecdsa-sha2-nistp256@openssh.com",
)
"""Types that OpenSSH's sshd accepts by default (sshd_config, PubkeyAcceptedAlgorithms)."""

MAX_KEY_CHARACTERS = 3000
"""A 16,384-bit RSA key has about 2,800; the settings parameter holds 4,096 in all."""

_MAX_FILE_CHARACTERS = 100_000
_PRIVATE_MARKS = ("PRIVATE KEY", "PuTTY-User-Key-File")
_REMEDY = "pass the path of a .pub file, or its one line"


def read_public_key(value: str) -> str:
    """Returns the key as one line ``type base64 [comment]``.

    Args:
        value: The line itself, or the path of a file that holds it. A relative path starts at
            the folder of the CDK app; ``~`` is the home folder.

    Raises:
        ValueError: With the rule and the remedy. The text never holds key material.
    """
    text = value.strip()
    _refuse_private(text, "this text")
    if text.split(" ", 1)[0] in KEY_TYPES:
        return _require_key_line(text, "the text")
    if "\n" in text or len(text) > 255 or " AAAA" in text:
        raise ValueError(f"is neither a public key of OpenSSH's types nor a path; {_REMEDY}")
    return _read_file(text)


def _read_file(path_text: str) -> str:
    shown = f'"{path_text}"' if path_text.isprintable() else "this text"
    try:
        path = Path(path_text).expanduser()
        if not path.is_file():  # a pipe or a device would never end
            raise ValueError(f"{shown} names no file; {_REMEDY}")
        with path.open(encoding="utf-8") as file:
            content = file.read(_MAX_FILE_CHARACTERS).strip()
    except (OSError, RuntimeError, UnicodeDecodeError):
        raise ValueError(f"{shown} cannot be read as text; {_REMEDY}") from None
    _refuse_private(content, f"the file {shown}")
    lines = [line for line in content.splitlines() if line and not line.startswith("#")]
    if len(lines) != 1:
        raise ValueError(f"{shown} must hold one public key, it has {len(lines)}; {_REMEDY}")
    return _require_key_line(lines[0].strip(), f"the file {shown}")


def _refuse_private(text: str, where: str) -> None:
    if any(mark in text for mark in _PRIVATE_MARKS):
        raise ValueError(
            f"{where} is a private key, which must never leave your computer; "
            "pass the .pub file beside it"
        )


def _require_key_line(line: str, where: str) -> str:
    parts = line.split(None, 2)
    if len(line) > MAX_KEY_CHARACTERS or not line.isprintable():
        raise ValueError(
            f"{where} must be one printable line of at most {MAX_KEY_CHARACTERS} characters; "
            f"{_REMEDY}"
        )
    if len(parts) < 2 or parts[0] not in KEY_TYPES or not _holds_its_type(parts[1], parts[0]):
        raise ValueError(
            f"{where} is not a complete public key of the types {', '.join(KEY_TYPES)}; {_REMEDY}"
        )
    return " ".join(parts)


def _holds_its_type(encoded: str, key_type: str) -> bool:
    """The wire format repeats the type, and has more behind it: catches a key cut in half."""
    try:
        blob = base64.b64decode(encoded, validate=True)
    except (binascii.Error, ValueError):
        return False
    fields: list[bytes] = []
    while len(blob) >= 4:
        size = int.from_bytes(blob[:4], "big")
        if size > len(blob) - 4:
            return False
        fields.append(blob[4 : 4 + size])
        blob = blob[4 + size :]
    return not blob and len(fields) > 1 and fields[0] == key_type.encode()
