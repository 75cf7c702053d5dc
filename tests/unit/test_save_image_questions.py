"""What the command asks before it reboots a machine or deletes an image."""

from __future__ import annotations

import pytest

from gpustation.catalog import images
from gpustation.catalog.frameworks import DRIVER_BRANCH
from gpustation.cli.ending import confirm
from gpustation.console.errors import CommandError
from gpustation.saved_image.make import Workstation

SETTINGS = {"framework": "mxnet", "driver_kind": "open", "generation": 1}


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
    return monkeypatch


@pytest.mark.parametrize("answer", ["", "n", "no", "nonsense"])
def test_anything_but_yes_does_nothing(terminal: pytest.MonkeyPatch, answer: str) -> None:
    asked: list[str] = []
    terminal.setattr("builtins.input", lambda question: asked.append(question) or answer)
    with pytest.raises(CommandError, match="canceled, nothing was changed"):
        confirm("It reboots. Go on?", yes=False)
    assert asked == ["It reboots. Go on? [y/N] "]


@pytest.mark.parametrize("answer", ["y", "Yes ", "YES"])
def test_yes_goes_on(terminal: pytest.MonkeyPatch, answer: str) -> None:
    terminal.setattr("builtins.input", lambda _question: answer)
    confirm("Go on?", yes=False)


def test_tags_are_those_of_a_baked_image_and_name_the_machine() -> None:
    tags = Workstation("Mine", "i-1", SETTINGS).tags
    assert tags["gpustation"] == "Mine"
    assert tags["gpustation:saved-from"] == "i-1"
    assert tags[images.DRIVER_TAG] == f"{DRIVER_BRANCH}-server-open"
    assert tags[images.CUDA_TAG] == "11.8"
    assert tags[images.CAPABILITIES_TAG] == "7.5 8.0 8.6 8.9"
