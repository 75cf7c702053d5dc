from __future__ import annotations

import ast
import re

import pytest
from cloud_bench import archive_of
from machine_bench import STUBS, USERDATA

BASH = sorted(
    [
        *USERDATA.rglob("*.sh"),
        USERDATA / "phases/50-start-jupyter/gpustation-jupyter-url",
        STUBS / "stub.sh",
    ]
)


def test_scripts_archive_is_small() -> None:
    assert len(archive_of(USERDATA)) < 2_000_000


def test_agent_is_of_python_3_8() -> None:
    source = (USERDATA / "bootstrap/agent.py").read_text()
    ast.parse(source, feature_version=(3, 8))
    assert source.isascii()


@pytest.mark.parametrize("stub", sorted(path.name for path in STUBS.iterdir()))
def test_every_stub_is_one_file(stub: str) -> None:
    assert (STUBS / stub).resolve() == STUBS / "stub.sh"


PYTHON = re.compile(r"(?<![\w./-])(?:python3|\"\$\w+(?:/\w+)*/bin/python\")(?=\s)(?!\s+-I\b)")


def test_roots_python_imports_nothing_from_where_it_happens_to_be() -> None:
    """``-I`` leaves out the current folder, PYTHONPATH and packages of a user's own."""
    files = [*BASH, *USERDATA.rglob("*.service")]
    found = [
        f"{path.relative_to(USERDATA)}: {line.strip()}"
        for path in files
        if path.is_relative_to(USERDATA)
        for line in path.read_text().splitlines()
        if PYTHON.search(re.sub(r"(^|\s)#.*", "", line))
        and not re.search(r"command -v|for word in|wanted=|--python ", line)
    ]
    assert found == []
    assert PYTHON.search("x=$(python3 -c 1)")
    assert PYTHON.search('run "$env/bin/python" -m pip')
    assert not PYTHON.search("run python3 -I -m venv x")
