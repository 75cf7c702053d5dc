"""The documentation has the table that the rows of the settings make."""

from __future__ import annotations

from pathlib import Path

from gpustation.settings.table import markdown


def test_the_page_has_the_table_of_the_settings(root: Path) -> None:
    assert f"\n{markdown()}\n" in (root / "docs/settings.md").read_text()
