"""What a component can do to a machine, and what that returns."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

Fetch = Callable[[str, str], bytes]
"""Reads an object from S3, by bucket and key."""


class ActionError(RuntimeError):
    """An action that could not be carried out."""


@dataclass(frozen=True)
class Output:
    """Result of an action.

    Args:
        status: Exit status of the script.
        stdout: What the script printed.
        stderr: What the script printed to standard error.
        failure: Why the action failed. Default: a status other than 0 is the failure.
    """

    status: int = 0
    stdout: str = ""
    stderr: str = ""
    failure: str = ""

    @property
    def reason(self) -> str:
        """Why the action failed; empty if it did not."""
        return self.failure or (f"exit status {self.status}" if self.status else "")


class Host(Protocol):
    """The machine that components run on, as root."""

    def await_boot(self) -> None:
        """Wait until the machine is up."""

    def bash(self, script: str, seconds: float) -> Output:
        """Run a script; after this many seconds it is ended, which is a failure."""

    def write(self, path: str, content: bytes) -> None:
        """Write a file."""

    def fetch(self, bucket: str, key: str) -> bytes:
        """Read an object from S3 as the machine's role."""

    def reboot(self) -> None:
        """Reboot, and wait until the machine is up again."""
