"""Changes values in the text of a JSON document, and no other byte of it."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

_BLANK = re.compile(r"[ \t\r\n]*")
_DECODER = json.JSONDecoder()
_INDENT = "  "
"""Indentation of an object's first member where the document shows none."""


@dataclass(frozen=True)
class Member:
    """A member of an object: its value, and where key and value stand in the text."""

    value: Any
    key_start: int
    start: int
    end: int


@dataclass(frozen=True)
class Object:
    """An object in the text, from its ``{`` to after its ``}``."""

    members: Mapping[str, Member]
    start: int
    end: int


def read_object(text: str, start: int) -> Object:
    """The object that starts at this position.

    Raises:
        ValueError: There is none, or it has two members of one name.
    """
    if text[start : start + 1] != "{":
        raise ValueError("it is not an object")
    members: dict[str, Member] = {}
    at = _after_blank(text, start + 1)
    while text[at] != "}":
        key_start = at
        key, at = _DECODER.raw_decode(text, at)
        begin = _after_blank(text, _after_blank(text, at) + 1)  # after the colon
        value, at = _DECODER.raw_decode(text, begin)
        if key in members:
            raise ValueError(f"it has {key!r} twice")
        members[key] = Member(value, key_start, begin, at)
        at = _after_blank(text, at)
        if text[at] == ",":
            at = _after_blank(text, at + 1)
    return Object(members, start, at + 1)


def with_member(text: str, container: Object, key: str, value: Any) -> str:
    """The text with a member of the object added, or with its value changed."""
    written = json.dumps(value)
    member = container.members.get(key)
    if member is not None:
        return text[: member.start] + written + text[member.end :]
    new = f"{json.dumps(key)}: {written}"
    first = min((one.key_start for one in container.members.values()), default=None)
    if first is not None:  # before the others, separated as the first is from the brace
        blank = text[container.start + 1 : first]
        return text[:first] + f"{new},{blank or ' '}" + text[first:]
    line_end = "\r\n" if "\r\n" in text else "\n"
    outer = _indentation(text, container.start)
    inner = f"{line_end}{outer}{_indentation_step(text)}"
    return f"{text[: container.start]}{{{inner}{new}{line_end}{outer}}}{text[container.end :]}"


def _after_blank(text: str, at: int) -> int:
    found = _BLANK.match(text, at)
    return found.end() if found else at


def _indentation(text: str, at: int) -> str:
    """Blanks at the beginning of the line of a position."""
    line = text[text.rfind("\n", 0, at) + 1 : at]
    return line[: len(line) - len(line.lstrip(" \t"))]


def _indentation_step(text: str) -> str:
    """Indentation of the document's first indented line."""
    found = re.search(r"\n([ \t]+)\S", text)
    return found[1] if found else _INDENT
