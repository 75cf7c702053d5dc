"""The private names of ministack that localaws/emulator relies on: look here first."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from localaws.emulator import contact

EMULATOR = Path(contact.__file__).parent


def test_names_and_signatures_are_there() -> None:
    contact.check()


def test_fails_when_the_version_is_another(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(contact, "VERSION", "1.5.34")
    with pytest.raises(RuntimeError, match=r"ministack must be 1\.5\.34.*got 1\.5\.33"):
        contact.check()


def test_fails_when_a_name_is_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(contact.NAMES, "ministack.app", ("app", "gone"))
    with pytest.raises(RuntimeError, match=r"ministack\.app has no gone"):
        contact.check()


def test_every_name_in_use_is_listed() -> None:
    listed = {name for names in contact.NAMES.values() for name in names}
    used = {name for path in EMULATOR.glob("*.py") for name in private_names(path)}
    assert used <= listed, f"add to contact.NAMES: {sorted(used - listed)}"


def test_nothing_else_imports_ministack() -> None:
    root = EMULATOR.parent.parent
    folders = [root / "localaws", root / "constructs", root / "stacks", root / "tests"]
    for path in [one for folder in folders for one in folder.rglob("*.py")]:
        if path.parent == EMULATOR or "stubs" in path.parts:
            continue
        imported = [n for n in imports(path) if n.split(".")[0] == "ministack"]
        assert not imported, f"{path} imports {imported}"
    assert not any(n.split(".")[0] == "ministack" for n in sys.modules if "stubs" in n)


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
