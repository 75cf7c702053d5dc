import ast
import importlib.metadata
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path

PINS = ("", "-checkov", "-checks", "-tests")


def test_fails_when_constructs_becomes_a_package(root: Path, tmp_path: Path) -> None:
    (tmp_path / "tests").mkdir()
    (tmp_path / "constructs").mkdir()
    (tmp_path / "constructs" / "__init__.py").touch()
    shutil.copy(root / "tests" / "conftest.py", tmp_path / "tests")
    (tmp_path / "tests" / "test_nothing.py").write_text("def test_nothing(): pass\n")
    run = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "tests"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 4
    assert "delete constructs/__init__.py" in run.stdout + run.stderr


def test_git_ignores_the_file_that_breaks_everything(root: Path) -> None:
    assert "/constructs/__init__.py" in (root / ".gitignore").read_text().splitlines()


def test_the_tests_import_only_what_their_requirements_install(root: Path) -> None:
    """Packages that only the checks install are missing where nobody has run them."""
    of_module = importlib.metadata.packages_distributions()
    pinned = {
        line.split("==")[0]
        for name in ("requirements.txt", "requirements-tests.txt")
        for line in (root / name).read_text().splitlines()
        if "==" in line
    }
    foreign = set()
    for path in (root / "tests").rglob("*.py"):
        tree = ast.parse(path.read_text())
        for node in tree.body:  # what is imported when the module is
            if isinstance(node, ast.Import):
                modules = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                modules = [node.module or ""]
            else:
                continue
            for top in {module.split(".")[0] for module in modules}:
                owners = {name.lower().replace("_", "-") for name in of_module.get(top, ())}
                if owners and not owners & pinned:
                    foreign.add(f"{path.relative_to(root)}: {top}")
    # It runs inside a machine, with JupyterLab's packages
    assert foreign - {"tests/boot/run_in_jupyter.py: websocket"} == set()


def test_modules_of_tests_have_names_of_their_own(root: Path) -> None:
    """pytest imports them without their folders, so that of two with one name the second fails."""
    names = Counter(path.name for path in (root / "tests").glob("*/test_*.py"))
    assert [name for name, count in names.items() if count > 1] == []


def test_nothing_lies_in_the_root_that_has_no_place_there(root: Path) -> None:
    """What a tool has downloaded into the working folder is easily committed with the rest."""
    listing = subprocess.run(
        ["git", "ls-files"], cwd=root, capture_output=True, text=True, check=True
    ).stdout.splitlines()
    files = {name for name in listing if "/" not in name}
    assert files == {
        *(".gitattributes", ".gitignore", "CHANGELOG.md", "LICENSE", "Makefile", "README.md"),
        *("app.py", "cdk.json", "setup.py", "pyproject.toml", "package.json", "package-lock.json"),
        *(f"requirements{part}.{end}" for part in PINS for end in ("in", "txt")),
    }
