"""Prints the table of all settings for the docs: `python -m gpustation.settings.table`."""

from __future__ import annotations

from gpustation.settings.model import Settings, rows
from gpustation.settings.rows import written

HEAD = "| setting | default | meaning | changed later |\n|---|---|---|---|"


def markdown() -> str:
    """The table in Markdown, with a line for each setting in the order of the model."""
    lines = [
        f"| `{name}` | {row.default or _default(name)} | {row.means} | {row.when.docs} |"
        for name, row in rows().items()
    ]
    return "\n".join([HEAD, *lines])


def _default(name: str) -> str:
    value = Settings.model_fields[name].default
    return f"`{value}`" if isinstance(value, str) else written(value)


if __name__ == "__main__":
    print(markdown())
