"""What the command asks before it reboots a machine or deletes an image."""

from __future__ import annotations

import io

import pytest

from gpustation.catalog import images
from gpustation.catalog.frameworks import DRIVER_BRANCH
from gpustation.cli.ending import confirm
from gpustation.console.errors import CommandError
from gpustation.saved_image.make import Workstation

SETTINGS = {"framework": "mxnet", "driver_kind": "open", "generation": 1}


class Terminal(io.StringIO):
    """Standard input with a person's answer."""

    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize("answer", ["", "n\n", "no\n", "nonsense\n"])
def test_anything_but_yes_does_nothing(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], answer: str
) -> None:
    monkeypatch.setattr("sys.stdin", Terminal(answer))
    with pytest.raises(CommandError, match="canceled, nothing was changed"):
        confirm("It reboots. Go on?", yes=False)
    assert tuple(capsys.readouterr()) == ("", "It reboots. Go on? [y/N] ")


@pytest.mark.parametrize("answer", ["y\n", "Yes \n", "YES\n"])
def test_yes_goes_on(monkeypatch: pytest.MonkeyPatch, answer: str) -> None:
    monkeypatch.setattr("sys.stdin", Terminal(answer))
    confirm("Go on?", yes=False)


def test_tags_are_those_of_a_baked_image_and_name_the_machine() -> None:
    tags = Workstation("Mine", "i-1", SETTINGS).tags
    assert tags["gpustation"] == "Mine"
    assert tags["gpustation:saved-from"] == "i-1"
    assert tags[images.DRIVER_TAG] == f"{DRIVER_BRANCH}-server-open"
    assert tags[images.CUDA_TAG] == "11.8"
    assert tags[images.CAPABILITIES_TAG] == "7.5 8.0 8.6 8.9"
