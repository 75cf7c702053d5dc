"""The table of ``python -m tests.idle_rules`` follows the idle stop and its scenes."""

from __future__ import annotations

import py_compile
import shutil
from pathlib import Path

import pytest

from tests.boot.idle_scenes import SCENES
from tests.idle_rules.rules import RULES, Cut, CutError, Rule, table

FULL_TIME = {name for name, scene in SCENES.items() if scene.is_full_time}


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: f"{rule.says}: {rule.without}")
def test_a_rule_can_be_taken_out_and_leaves_a_program(
    rule: Rule, root: Path, tmp_path: Path
) -> None:
    shutil.copytree(root / "userdata/idle", tmp_path / "idle")
    rule.apply(tmp_path)
    for cut in rule.cuts:
        py_compile.compile(str(tmp_path / cut.path), str(tmp_path / "compiled"), doraise=True)


@pytest.mark.parametrize("text", ["nowhere", "twice"])
def test_a_text_that_is_not_there_once_is_refused(text: str, tmp_path: Path) -> None:
    (tmp_path / "rule.py").write_text("twice twice\n")
    with pytest.raises(CutError, match="must have this text once"):
        Cut("rule.py", text).apply(tmp_path)


def test_every_scene_guards_a_rule() -> None:
    guards = {name for rule in RULES for name in rule.scenes}
    assert guards == {*SCENES} - FULL_TIME


def test_the_documentation_has_the_table(root: Path) -> None:
    assert table() in (root / "docs/testing.md").read_text()
