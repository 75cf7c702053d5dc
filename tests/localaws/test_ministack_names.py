"""The private names of ministack that localaws relies on: look here first."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from localaws.account import ministack_names

ROOT = Path(__file__).resolve().parents[2]
INSIDE = {
    path
    for name in ("account", "image_builder")
    for path in (ROOT / "localaws" / name).rglob("*.py")
}
"""The files that may touch ministack's inside."""


def test_names_and_signatures_are_there() -> None:
    ministack_names.check()


def test_fails_when_the_version_is_another(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ministack_names, "VERSION", "1.5.34")
    with pytest.raises(RuntimeError, match=r"ministack must be 1\.5\.34.*got 1\.5\.33"):
        ministack_names.check()


def test_fails_when_a_name_is_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(ministack_names.NAMES, "ministack.app", ("app", "gone"))
    with pytest.raises(RuntimeError, match=r"ministack\.app has no gone"):
        ministack_names.check()


def test_every_name_in_use_is_listed() -> None:
    listed = {name for names in ministack_names.NAMES.values() for name in names}
    used = {name for path in INSIDE for name in private_names(path)}
    assert used <= listed, f"add to ministack_names.NAMES: {sorted(used - listed)}"


def test_every_listed_name_is_in_use() -> None:
    text = "\n".join(path.read_text() for path in INSIDE if path.name != "ministack_names.py")
    unused = [
        f"{module}.{name}"
        for module, names in ministack_names.NAMES.items()
        for name in names
        if not re.search(rf"\b{re.escape(name)}\b", text)
    ]
    assert not unused


def test_nothing_else_imports_ministack() -> None:
    folders = [ROOT / name for name in ("localaws", "constructs", "stacks", "tests")]
    for path in [path for folder in folders for path in folder.rglob("*.py")]:
        if path in INSIDE or "stubs" in path.parts:
            continue
        imported = [name for name in imports(path) if name.split(".")[0] == "ministack"]
        assert not imported, f"{path} imports {imported}"


def private_names(path: Path) -> Iterator[str]:
    """Private attributes of modules, not of our own objects."""
    modules = {"ec2", "iam", "ssm", "stacks", "provisioners", "cloudformation"}
    modules |= {"changesets", "custom_resource", "handlers", "helpers", "wait_conditions"}
    for node in ast.walk(ast.parse(path.read_text())):
        owner = node.value if isinstance(node, ast.Attribute) else None
        if isinstance(owner, ast.Name) and owner.id in modules:
            assert isinstance(node, ast.Attribute)
            if node.attr.startswith("_"):
                yield node.attr


def imports(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module or ""
