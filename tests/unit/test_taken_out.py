"""The table of rules that are taken out fits the code and the tests."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from tests.taken_out import RULES, Rule


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.name)
def test_a_rule_and_its_tests_are_there(root: Path, tmp_path: Path, rule: Rule) -> None:
    copy = tmp_path / rule.path
    copy.parent.mkdir(parents=True)
    copy.write_text((root / rule.path).read_text())
    before = rule.take_out(tmp_path)
    assert copy.read_text() != before
    ast.parse(copy.read_text())
    assert rule.tests
    for test in rule.tests:
        path, *_, name = test.split("::")
        assert f"def {name.partition('[')[0]}(" in (root / path).read_text()
