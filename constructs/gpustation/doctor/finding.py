"""The result of a check, and what the checks read."""

from __future__ import annotations

import enum
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import boto3
from botocore.config import Config

BRIEF = Config(
    retries={"mode": "standard", "total_max_attempts": 3}, connect_timeout=5, read_timeout=10
)
"""A check that takes longer is reported as unknown."""


class Mark(str, enum.Enum):
    """What a check found."""

    OK = "ok"
    WARNING = "warning"
    FAILED = "failed"
    UNKNOWN = "unknown"
    """It could not be checked, which is not the same as ok."""

    def __str__(self) -> str:
        return self.value


@dataclass(frozen=True)
class Finding:
    """One line of the result.

    Attributes:
        name: What was checked.
        mark: The result.
        detail: What was found. May contain text of others.
        cure: What to do; empty if there is nothing to do.
    """

    name: str
    mark: Mark
    detail: str
    cure: str = ""


@dataclass
class Subject:
    """What the checks read.

    Attributes:
        session: Credentials and region.
        region: The region; empty if there is none.
        context: Settings of the cdk.json in the current folder; empty without one.
    """

    session: boto3.session.Session
    region: str
    context: Mapping[str, Any]
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def client(self, service: str, config: Config = BRIEF) -> Any:
        """A client in the region."""
        # Creating a client is not thread-safe (boto3 guide, "Multithreading")
        with self._lock:
            # boto3's overloads want a literal service name
            make: Any = self.session.client
            return make(service, region_name=self.region or None, config=config)
