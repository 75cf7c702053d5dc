"""Shows the outputs file of a ``cdk deploy`` as a Markdown table: ``outputs_table.py FILE``."""

from __future__ import annotations

import html
import json
import sys
from pathlib import Path


def table(outputs: dict[str, dict[str, str]]) -> str:
    """One table for each stack, with every value as code, whatever is in it."""
    parts = []
    for stack, values in outputs.items():
        rows = "\n".join(f"| {name} | {_code(value)} |" for name, value in values.items())
        parts.append(f"### {stack}\n\n| output | value |\n|---|---|\n{rows}\n")
    return "\n".join(parts)


def _code(value: str) -> str:
    """HTML instead of backquotes: in it no character of a value means anything to Markdown."""
    told = html.escape(" ".join(value.split()))
    return f"<code>{''.join(_MARKDOWN.get(one, one) for one in told)}</code>"


_MARKDOWN = {one: f"&#{ord(one)};" for one in "|`*_[]\\~"}


if __name__ == "__main__":
    print(table(json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))))
