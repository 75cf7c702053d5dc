"""Prints the outputs file of a ``cdk deploy`` as a Markdown table: ``outputs_table.py FILE``."""

from __future__ import annotations

import html
import json
import sys
from pathlib import Path


def table(outputs: dict[str, dict[str, str]]) -> str:
    """Return one table per stack, with every value as code, whatever it contains."""
    parts = []
    for stack, values in outputs.items():
        rows = "\n".join(f"| {name} | {_code(value)} |" for name, value in values.items())
        parts.append(f"### {stack}\n\n| output | value |\n|---|---|\n{rows}\n")
    return "\n".join(parts)


def _code(value: str) -> str:
    """Return HTML instead of backquotes, in which no character has a meaning in Markdown."""
    escaped = html.escape(" ".join(value.split()))
    return f"<code>{''.join(_MARKDOWN.get(character, character) for character in escaped)}</code>"


_MARKDOWN = {character: f"&#{ord(character)};" for character in "|`*_[]\\~"}


if __name__ == "__main__":
    print(table(json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))))
