"""A change of settings in cdk.json: read, shown as a diff, and written in one step."""

from __future__ import annotations

import contextlib
import difflib
import json
import os
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from gpustation.console.errors import CommandError
from gpustation.settings.json_text import read_object, with_member

NAME = "cdk.json"
OTHERS = ("cdk.context.json", "~/.cdk.json")
"""Files from which the CDK CLI takes context too: the project's, by key, and the person's, below
``context``."""
_CONTEXT = "context"
_BYTE_ORDER_MARK = "\ufeff"


@dataclass(frozen=True)
class Change:
    """The file as it is, and as it shall be.

    Attributes:
        path: The file, with symbolic links resolved.
        old: Its text.
        new: Its text after the change.
    """

    path: Path
    old: str
    new: str

    @classmethod
    def read(cls, folder: Path) -> Change:
        """The cdk.json of a folder, without a change.

        Raises:
            CommandError: There is none, or it is not JSON of the form that the CDK CLI reads.
        """
        path = folder / NAME
        try:
            text = path.read_bytes().decode()
            document = json.loads(text.removeprefix(_BYTE_ORDER_MARK))
        except FileNotFoundError as error:
            raise CommandError(
                f"there is no {NAME} in {folder}; run this in the folder of the CDK app"
            ) from error
        except (OSError, ValueError) as error:
            raise CommandError(f"{path} is not JSON ({_one_line(error)}); correct it") from error
        if not isinstance(document, dict) or not isinstance(document.get(_CONTEXT, {}), dict):
            raise CommandError(f"{path}: it and its {_CONTEXT} must be objects; correct it")
        return cls(path.resolve(), text, text)

    @property
    def context(self) -> dict[str, Any]:
        """The settings in the file as it is, and whatever else is in its context."""
        context: dict[str, Any] = json.loads(self.old.removeprefix(_BYTE_ORDER_MARK)).get(
            _CONTEXT, {}
        )
        return context

    @property
    def is_needed(self) -> bool:
        """Whether the change changes anything."""
        return self.old != self.new

    def with_values(self, values: Mapping[str, Any]) -> Change:
        """The change that sets these settings.

        Raises:
            CommandError: The file has a key twice, or another file sets one of them.
        """
        _require_only_here(self.path.parent, values)
        text = self.new
        try:
            # The last is written first, so that they stand in the order given
            for key, value in reversed([*values.items()]):
                text = _with_value(text, key, value)
        except ValueError as error:
            raise CommandError(f"{self.path}: {error}; correct it") from error
        return replace(self, new=text)

    def diff(self) -> Iterator[str]:
        """The change as a unified diff, without line ends."""
        old, new = self.old.splitlines(), self.new.splitlines()
        yield from difflib.unified_diff(old, new, NAME, f"{NAME} (new)", n=2, lineterm="")

    def write(self) -> None:
        """Replace the file by the new one in one step, with the same permissions.

        Raises:
            CommandError: Somebody changed it meanwhile, or it cannot be written.
        """
        try:
            if self.path.read_bytes() != self.old.encode():
                raise CommandError(f"{self.path} was changed meanwhile; run this again")
            _replace(self.path, self.new.encode())
        except OSError as error:
            raise CommandError(
                f"{self.path} cannot be written ({_one_line(error)}); nothing was changed"
            ) from error


def _with_value(text: str, key: str, value: Any) -> str:
    root = read_object(text, _first(text))
    context = root.members.get(_CONTEXT)
    if context is None:
        text = with_member(text, root, _CONTEXT, {})
        context = read_object(text, _first(text)).members[_CONTEXT]
    container = read_object(text, context.start)
    member = container.members.get(key)
    # True equals 1, and is another value here
    if member is not None and json.dumps(member.value) == json.dumps(value):
        return text
    return with_member(text, container, key, value)


def _first(text: str) -> int:
    """Position of the document's first character."""
    after_mark = text.removeprefix(_BYTE_ORDER_MARK)
    return len(text) - len(after_mark.lstrip(" \t\r\n"))


def _require_only_here(folder: Path, values: Mapping[str, Any]) -> None:
    """Check that no other file of the CDK CLI sets one of these settings.

    Raises:
        CommandError: One does; then a person would not know which value counts.
    """
    for name in OTHERS:
        path = Path(name).expanduser() if name.startswith("~") else folder / name
        for key in sorted(values.keys() & _context_of(path)):
            raise CommandError(
                f"{path} sets {key} too; remove it there, so that {NAME} alone decides"
            )


def _context_of(path: Path) -> set[str]:
    try:
        document = json.loads(path.read_bytes().decode("utf-8-sig"))
    except FileNotFoundError:
        return set()
    except (OSError, ValueError) as error:
        raise CommandError(f"{path} cannot be read ({_one_line(error)}); correct it") from error
    context = document.get(_CONTEXT, {}) if path.name == ".cdk.json" else document
    return {*context} if isinstance(context, dict) else set()


def _replace(path: Path, content: bytes) -> None:
    handle, draft = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        Path(draft).chmod(path.stat().st_mode & 0o7777)
        Path(draft).replace(path)
    except BaseException:
        with contextlib.suppress(OSError):
            Path(draft).unlink()
        raise


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())
