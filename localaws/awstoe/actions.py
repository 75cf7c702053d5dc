"""What the steps of a component can do to a machine."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol


class ActionError(RuntimeError):
    """An action that could not be carried out."""


@dataclass(frozen=True)
class Output:
    """What an action leaves: the exit status of its script, and what that printed.

    Args:
        fault: What went wrong, where the exit status does not say it.
    """

    status: int = 0
    stdout: str = ""
    stderr: str = ""
    fault: str = ""


class Host(Protocol):
    """The machine that components run on, as root."""

    def await_boot(self) -> None:
        """Wait until the machine is up."""

    def bash(self, script: str, seconds: float | None) -> Output:
        """Run a script; one that takes longer than it may is ended, with a fault."""

    def write(self, path: str, content: bytes) -> None:
        """Write a file."""

    def fetch(self, bucket: str, key: str) -> bytes:
        """An object from S3, as the machine's role."""

    def reboot(self) -> None:
        """Reboot, and wait until the machine is up again."""


Fetch = Callable[[str, str], bytes]
"""Gets an object by bucket and key."""
Row = Mapping[str, Any]
Action = Callable[[Host, Any, float | None], Output]


def run(host: Host, action: str, inputs: Any, seconds: float | None) -> Output:
    """Carry out an action by its name.

    Raises:
        ActionError: It could not be done.
    """
    return _ACTIONS[action](host, inputs, seconds)


def _execute_bash(host: Host, inputs: Row, seconds: float | None) -> Output:
    """One script of all commands: its status is that of the last one, unless it says `set -e`."""
    return host.bash("\n".join(inputs["commands"]) + "\n", seconds)


def _execute_binary(host: Host, inputs: Row, seconds: float | None) -> Output:
    words = [inputs["path"], *map(str, inputs.get("arguments") or [])]
    return host.bash(f"exec {shlex.join(words)}\n", seconds)


def _reboot(host: Host, _inputs: Row, _seconds: float | None) -> Output:
    host.reboot()
    return Output()


def _download(host: Host, inputs: list[Row], _seconds: float | None) -> Output:
    for row in inputs:
        scheme, _, place = row["source"].partition("://")
        bucket, _, key = place.partition("/")
        if scheme != "s3" or not key or "*" in key:
            raise ActionError(f"{row['source']}: only s3://BUCKET/KEY is known here")
        target = row["destination"]
        if target.endswith("/"):
            target += key.rpartition("/")[2]
        host.write(target, host.fetch(bucket, key))
    return Output()


def _each(script: Callable[[Row], str]) -> Action:
    """An action that is a script for each of its inputs."""

    def action(host: Host, inputs: list[Row], seconds: float | None) -> Output:
        return host.bash("".join(["set -euo pipefail\n", *map(script, inputs)]), seconds)

    return action


def _file(mode: str) -> Action:
    def script(row: Row) -> str:
        path = shlex.quote(row["path"])
        content = shlex.quote(str(row.get("content", "")))
        lines = [f'mkdir -p -- "$(dirname -- {path})"', f"printf %s {content} {mode} {path}"]
        return "".join(f"{line}\n" for line in [*lines, *_ownership(row)])

    return _each(script)


def _ownership(row: Row) -> list[str]:
    """Commands for an entry's permissions, owner and group."""
    path = shlex.quote(row["path"])
    commands = {"permissions": "chmod", "owner": "chown", "group": "chgrp"}
    return [
        f"{command} -- {shlex.quote(_octal(row[name]))} {path}"
        for name, command in commands.items()
        if name in row
    ]


def _octal(value: Any) -> str:
    """Permissions as text; YAML reads 0644 as a number in base eight."""
    return f"{value:04o}" if isinstance(value, int) else str(value)


def _folder(row: Row) -> str:
    lines = [f"mkdir -p -- {shlex.quote(row['path'])}", *_ownership(row)]
    return "".join(f"{line}\n" for line in lines)


_ACTIONS: dict[str, Action] = {
    "AppendFile": _file(">>"),
    "CreateFile": _file(">"),
    "CreateFolder": _each(_folder),
    "DeleteFile": _each(lambda row: f"rm -- {shlex.quote(row['path'])}\n"),
    "DeleteFolder": _each(lambda row: f"rm -r -- {shlex.quote(row['path'])}\n"),
    "ExecuteBash": _execute_bash,
    "ExecuteBinary": _execute_binary,
    "Reboot": _reboot,
    "S3Download": _download,
}
