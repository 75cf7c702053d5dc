"""What each command's ``--help`` says, without its layout, which differs from Python to Python."""

from __future__ import annotations

import argparse
import re
import runpy
from pathlib import Path

import pytest
from syrupy.assertion import SnapshotAssertion
from syrupy.extensions.json import JSONSnapshotExtension

from gpustation.cli.app import main

ROOT = Path(__file__).resolve().parents[2]
PROGRAMS = {
    "install.sh": "userdata/install/standalone.py",
    "localaws": "localaws/__main__.py",
}
VERBS = (
    *("", "plan", "start", "leftovers", "doctor", "bench", "bench compare"),
    *("image", "image save", "image undo", "image list", "image use", "image delete"),
)
OFFERS = (
    "regions",
    "types",
    "price",
    "cost",
    "quota",
    "quota show",
    "quota request",
    "quota watch",
)


class HelpError(Exception):
    """Carries the parser out of the program that has just built it."""


@pytest.mark.parametrize("command", PROGRAMS)
def test_help(command: str, snapshot: SnapshotAssertion, monkeypatch: pytest.MonkeyPatch) -> None:
    """The text is seen by people: a change shows as a diff that someone has to read."""
    built: list[argparse.ArgumentParser] = []

    def stop(parser: argparse.ArgumentParser, *_: object, **__: object) -> None:
        built.append(parser)
        raise HelpError

    monkeypatch.setattr(argparse.ArgumentParser, "parse_args", stop)
    monkeypatch.setattr("sys.argv", [command, "--help"])
    with pytest.raises(HelpError):
        runpy.run_path(str(ROOT / PROGRAMS[command]), run_name="__main__")
    (parser,) = built
    options = {
        " ".join(action.option_strings) or action.dest: text_of(action)
        for action in parser._actions
    }
    texts = {"description": parser.description, "epilog": parser.epilog, "options": options}
    assert texts == snapshot(extension_class=JSONSnapshotExtension)


@pytest.mark.parametrize("verb", [*VERBS, *OFFERS])
def test_help_of_the_command(
    verb: str,
    snapshot: SnapshotAssertion,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("COLUMNS", "100")
    assert main([*verb.split(), "--help"]) == 0
    assert capsys.readouterr().out.splitlines() == snapshot(extension_class=JSONSnapshotExtension)


def text_of(action: argparse.Action) -> str:
    text = (action.help or "") % {"default": action.default}
    # Some Pythons add it to an option that has a --no- form
    return re.sub(r" \(default: (True|False)\)$", "", text)
