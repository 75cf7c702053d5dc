"""The secrets of one embedded AWS: new at every start, known to its owner and the child alone."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import secrets
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

KEY_ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"


@dataclass(frozen=True)
class Credentials:
    """What opens one embedded AWS.

    Args:
        access_key_id: Of the account's root; 20 characters, as AWS's are.
        secret_access_key: Signs the requests of the account's root.
        control: Opens `/_localaws/` and signs the tokens of made-up identity providers.
    """

    access_key_id: str
    secret_access_key: str = field(repr=False)
    control: str = field(repr=False)

    @classmethod
    def new(cls) -> Credentials:
        """Random ones."""
        key = "".join(secrets.choice(KEY_ALPHABET) for _ in range(12))
        return cls(f"LOCALAWS{key}", secrets.token_urlsafe(30), secrets.token_urlsafe(32))

    def to_json(self) -> str:
        """One line, for the child's standard input."""
        return json.dumps(asdict(self))

    def opens_control(self, authorization: str) -> bool:
        """Whether an Authorization header may turn the knobs."""
        return hmac.compare_digest(authorization.encode(), f"Bearer {self.control}".encode())

    def web_identity_token(self, claims: Mapping[str, Any]) -> str:
        """A token of any identity provider, with these claims."""
        parts = [json.dumps(part).encode() for part in ({"alg": "HS256", "typ": "JWT"}, claims)]
        signed = ".".join(_base64(part) for part in parts)
        return f"{signed}.{self._signature(signed)}"

    def signed(self, token: str) -> bool:
        """Whether `web_identity_token` made a token."""
        text, _, signature = token.rpartition(".")
        return hmac.compare_digest(signature.encode(), self._signature(text).encode())

    def _signature(self, text: str) -> str:
        return _base64(hmac.digest(self.control.encode(), text.encode(), hashlib.sha256))


def _base64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")
