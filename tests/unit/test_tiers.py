"""Every suite has a tier, and a tier holds what it says."""

from __future__ import annotations

import re
import subprocess
import sys
import types
from pathlib import Path
from typing import Any

import pytest

from tests import tiers


def test_every_suite_has_a_tier(root: Path) -> None:
    folders = {path.parent.name for path in (root / "tests").glob("*/test_*.py")}
    assert folders == set(tiers.SUITES)
    assert set(tiers.SUITES.values()) == set(tiers.TIERS)


def test_make_and_the_documentation_know_the_same_tiers(root: Path) -> None:
    asked = re.findall(r"--tier (\w+)", (root / "Makefile").read_text())
    assert asked == [*tiers.TIERS]
    told = re.findall(r"^\| `make [\w-]+` \|.*\| (\d+) (s|min) \|$", _documentation(root), re.M)
    seconds = [int(number) * (60 if unit == "min" else 1) for number, unit in told]
    assert seconds == [tier.budget_seconds for tier in tiers.TIERS.values()]


def _documentation(root: Path) -> str:
    return (root / "docs" / "testing.md").read_text()


@pytest.mark.parametrize(
    ("node", "suite"),
    [
        ("tests/unit/test_tiers.py::test_a[x/y]", "unit"),
        ("tests/boot/deeper/test_b.py::test_b", "boot"),
        ("tests/test_c.py::test_c", ""),
        ("elsewhere/tests/test_d.py::test_d", ""),
    ],
)
def test_a_suite_is_a_folder_of_the_tests(node: str, suite: str) -> None:
    assert tiers.suite_of(node) == suite


def test_a_module_that_shares_something_stays_on_one_worker() -> None:
    shares, alone = "tests/e2e/test_plan.py", "tests/e2e/test_refusals.py"
    assert tiers._unit(f"{shares}::test_a") == shares
    assert tiers._unit(f"{alone}::test_a") == f"{alone}::test_a"
    assert tiers._unit("tests/unit/test_tiers.py::test_a") == "tests/unit/test_tiers.py"


def test_machines_that_start_from_an_installed_disk_wait_for_it_on_one_worker() -> None:
    names = ["boot/test_outages.py", "boot/test_first_boot.py", "boot/test_signals.py"]
    nodes = [f"tests/{name}::test_{letter}[debian-13]" for name in names for letter in "ab"]
    items: Any = [types.SimpleNamespace(nodeid=node) for node in nodes]
    waits = tiers._waits_for_others(items)
    installed = {node for node in nodes if "first_boot" not in node}
    assert {*waits} == installed, "others need no such disk"
    first = [node for node, later in waits.items() if later < 0]
    assert first == [node for node in nodes if tiers._unit(node) == tiers._unit(nodes[0])]
    assert {waits[node] for node in installed - {*first}} == {tiers.LATER}


@pytest.mark.tier("test")
def test_each_tier_collects_what_is_of_it_and_below(root: Path) -> None:
    """Collected for real: the marks are read by pytest, and the quick tier imports nothing else."""
    counts = [collected(root, tier) for tier in tiers.TIERS]
    quick, test, everything = counts
    assert quick[0] > 0 and quick[1] == 0
    assert test[0] >= quick[0] and 0 < test[1] < everything[1]


def collected(root: Path, tier: str) -> tuple[int, int]:
    """How many of two modules: one of the quick tier, and one of the others."""
    modules = ("tests/unit/test_tiers.py", "tests/userdata/test_image.py")
    command = [sys.executable, "-m", "pytest", "--collect-only", "-q", "--tier", tier, *modules]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=True)
    lines = done.stdout.splitlines()
    first, second = (sum(line.startswith(f"{module}::") for line in lines) for module in modules)
    return first, second
