"""The secrets of one embedded AWS: new at every start, known only to its owner and the child."""

from __future__ import annotations

import hmac
import json
import secrets
from dataclasses import asdict, dataclass, field

KEY_ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"


@dataclass(frozen=True)
class Credentials:
    """The secrets that requests need.

    Args:
        access_key_id: Of the account's root; 20 characters, as AWS's are.
        secret_access_key: Signs the requests of the account's root.
        control: Required for `/_localaws/`.
    """

    access_key_id: str
    secret_access_key: str = field(repr=False)
    control: str = field(repr=False)

    @classmethod
    def new(cls) -> Credentials:
        """New random secrets."""
        key = "".join(secrets.choice(KEY_ALPHABET) for _ in range(12))
        return cls(f"LOCALAWS{key}", secrets.token_urlsafe(30), secrets.token_urlsafe(32))

    def to_json(self) -> str:
        """One line, for the child's standard input."""
        return json.dumps(asdict(self))

    def opens_control(self, authorization: str) -> bool:
        """Whether an Authorization header has the secret of the controls."""
        return hmac.compare_digest(authorization.encode(), f"Bearer {self.control}".encode())
