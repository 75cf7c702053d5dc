"""The command and the library start without Node.js, which only the CDK needs."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

WITHOUT_CDK = """
import sys, gpustation, gpustation.cli.app
for words in {words}:
    assert gpustation.cli.app.main(words) in {statuses}, words
loaded = [name for name in ("aws_cdk", "jsii", "constructs") if name in sys.modules]
assert not loaded, loaded
"""
HELPS = [
    ["--help"],
    *([*verb.split(), "--help"] for verb in ("plan", "leftovers", "doctor", "image")),
]
HELPS += [["image", verb, "--help"] for verb in ("save", "undo", "list", "use", "delete")]
HELPS += [["bench", "compare", "--help"]]
# Without credentials each one ends where it would ask AWS
COMMANDS = [["leftovers", "--region", "us-east-1"]]
COMMANDS += [["image", "list"], ["image", "delete", "ami-0123456789abcdef0", "--yes"]]
COMMANDS += [["image", "save", "--yes"], ["image", "undo", "ami-0123456789abcdef0", "--yes"]]


@pytest.mark.parametrize(("words", "statuses"), [(HELPS, (0,)), (COMMANDS, (3,))])
def test_starts_no_node(words: list[list[str]], statuses: tuple[int, ...], tmp_path: Path) -> None:
    """In a process of its own: the tests' own has loaded the CDK. Nothing is on its PATH."""
    environment = {
        "PATH": str(tmp_path),
        "HOME": str(tmp_path),
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_REGION": "us-east-1",
    }
    program = WITHOUT_CDK.format(words=words, statuses=statuses)
    run = subprocess.run(
        [sys.executable, "-c", program],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stdout + run.stderr
