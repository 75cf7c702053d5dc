"""Each verb's ``--help`` has an example that is one, and completion knows the verbs."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator

import pytest
import typer.core
import typer.main

from gpustation.cli.app import main, make_app

GROUPS = ("", "image", "bench", "quota")
"""Commands that only hold others."""

IMPLIED = {"quota show": "quota"}
"""Verbs of a group that may be left out."""


Command = typer.core.TyperCommand | typer.core.TyperGroup


def commands(command: Command, path: str = "") -> Iterator[tuple[str, Command]]:
    yield path, command
    for name, inner in getattr(command, "commands", {}).items():
        yield from commands(inner, f"{path} {name}".strip())


ALL = dict(commands(typer.main.get_command(make_app())))


def test_groups_are_those_that_hold_others() -> None:
    assert {path for path, command in ALL.items() if hasattr(command, "commands")} == {*GROUPS}


@pytest.mark.parametrize("verb", sorted({*ALL} - {*GROUPS}))
def test_the_help_of_each_verb_has_one_example(
    verb: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*verb.split(), "--help"]) == 0
    text = capsys.readouterr().out
    (example,) = re.findall(r"^ *Example:\n +(gpustation .*)$", text, re.MULTILINE)
    words = shlex.split(example)[1:]
    written = IMPLIED.get(verb, verb).split()
    assert words[: len(written)] == written
    # typer checks the example's options and arguments
    ALL[verb].make_context(verb, words[len(written) :])
    assert "Exit status:" in text


SHELLS = {
    "bash": {"COMP_WORDS": "gpustation st", "COMP_CWORD": "1"},
    "zsh": {"_TYPER_COMPLETE_ARGS": "gpustation st"},
    "fish": {"_TYPER_COMPLETE_ARGS": "gpustation st", "_TYPER_COMPLETE_FISH_ACTION": "get-args"},
}


def completed(shell: str, kind: str, **variables: str) -> str:
    """In a process of its own: a shell asks the program by its environment."""
    done = subprocess.run(
        [sys.executable, "-m", "gpustation"],
        env={**os.environ, "_GPUSTATION_COMPLETE": f"{kind}_{shell}", **variables},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    return done.stdout


@pytest.mark.parametrize("shell", SHELLS)
def test_each_shell_completes_verbs(shell: str) -> None:
    answer = completed(shell, "complete", **SHELLS[shell])
    for verb in ("start", "status", "stop"):
        assert re.search(rf"\b{verb}\b", answer)
    assert "leftovers" not in answer


@pytest.mark.parametrize("shell", SHELLS)
def test_each_shell_has_a_script(shell: str) -> None:
    script = completed(shell, "source")
    assert "_GPUSTATION_COMPLETE" in script and "gpustation" in script
