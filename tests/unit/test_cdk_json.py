"""A change of cdk.json touches the values that it is about, and no other byte."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gpustation.console.errors import CommandError
from gpustation.settings.cdk_json import Change
from gpustation.settings.json_text import read_object, with_member

IMAGE = "ami-0123456789abcdef0"
VALUES: dict[str, Any] = {"image": IMAGE, "generation": 2}


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "home"
    folder.mkdir()
    monkeypatch.setenv("HOME", str(folder))
    return folder


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "app"
    made.mkdir()
    return made


def changed(folder: Path, text: str, values: dict[str, Any] = VALUES) -> str:
    (folder / "cdk.json").write_bytes(text.encode())
    change = Change.read(folder).with_values(values)
    change.write()
    return (folder / "cdk.json").read_bytes().decode()


@pytest.mark.parametrize(
    ("old", "new"),
    [
        pytest.param(
            '{\n  "app": "a",\n  "context": {\n    "image": "baked",\n    "generation" : 1,  \n'
            '    "x":[1,2]\n  }\n}\n',
            '{\n  "app": "a",\n  "context": {\n    "image": "ami-0123456789abcdef0",\n'
            '    "generation" : 2,  \n    "x":[1,2]\n  }\n}\n',
            id="values only",
        ),
        pytest.param(
            '{\n\t"context": {\n\t\t"x": 1\n\t}\n}',
            '{\n\t"context": {\n\t\t"image": "ami-0123456789abcdef0",\n\t\t"generation": 2,\n'
            '\t\t"x": 1\n\t}\n}',
            id="tabs",
        ),
        pytest.param(
            '{\r\n    "app": "a"\r\n}\r\n',
            '{\r\n    "context": {\r\n        "image": "ami-0123456789abcdef0",\r\n'
            '        "generation": 2\r\n    },\r\n    "app": "a"\r\n}\r\n',
            id="no context, Windows",
        ),
    ],
)
def test_the_rest_stays_as_it_is(folder: Path, old: str, new: str) -> None:
    assert changed(folder, old) == new


@pytest.mark.parametrize("text", ["{}", '{"context":{}}', '\ufeff{"context": {}}\n', "{ }", "[1]"])
def test_what_has_no_layout_gets_the_right_meaning(folder: Path, text: str) -> None:
    if text == "[1]":
        with pytest.raises(CommandError, match="must be objects"):
            changed(folder, text)
        return
    new = changed(folder, text)
    assert new.startswith("\ufeff") == text.startswith("\ufeff")
    assert json.loads(new.removeprefix("\ufeff"))["context"] == VALUES


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=8,
)


@given(
    st.dictionaries(st.text(), JSON),
    st.text(),
    JSON,
    st.sampled_from([None, 2, "\t"]),
    st.booleans(),
)
def test_any_object_with_any_member(
    document: dict[str, Any], key: str, value: Any, indent: Any, plain: bool
) -> None:
    text = json.dumps(document, indent=indent, ensure_ascii=plain)
    new = with_member(text, read_object(text, 0), key, value)
    assert json.loads(new) == {**document, key: value}


def test_a_value_that_stands_there_already_changes_nothing(folder: Path) -> None:
    text = json.dumps({"context": VALUES})
    (folder / "cdk.json").write_text(text)
    change = Change.read(folder).with_values(VALUES)
    assert not change.is_needed
    assert [*change.diff()] == []


def test_the_diff_shows_the_change(folder: Path) -> None:
    (folder / "cdk.json").write_text('{\n  "context": {\n    "generation": 1\n  }\n}\n')
    lines = [*Change.read(folder).with_values({"generation": 2}).diff()]
    assert [line for line in lines[2:] if line[0] in "+-"] == [
        '-    "generation": 1',
        '+    "generation": 2',
    ]


@pytest.mark.parametrize(
    ("text", "match"),
    [
        (None, "there is no cdk.json"),
        ("{", "is not JSON"),
        ('{"context": [], "app": 1}', "must be objects"),
        ('{"context": {"image": 1, "image": 2}}', "'image' twice"),
        ('{"context": {}, "context": {}}', "'context' twice"),
        (b"\xff{}", "is not JSON"),
    ],
)
def test_what_is_not_understood_is_left_alone(
    folder: Path, text: str | bytes | None, match: str
) -> None:
    path = folder / "cdk.json"
    if text is not None:
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(CommandError, match=match):
        Change.read(folder).with_values(VALUES)


@pytest.mark.parametrize("where", ["cdk.context.json", "~/.cdk.json"])
def test_context_that_is_set_elsewhere_is_refused(folder: Path, home: Path, where: str) -> None:
    (folder / "cdk.json").write_text("{}")
    if where.startswith("~"):
        (home / ".cdk.json").write_text('{"context": {"generation": 3}}')
    else:
        (folder / where).write_text('{"generation": 3}')
    with pytest.raises(CommandError, match=r"sets generation too; remove it there"):
        Change.read(folder).with_values(VALUES)
    Change.read(folder).with_values({"image": IMAGE})


def test_a_file_that_was_changed_meanwhile_is_left_alone(folder: Path) -> None:
    path = folder / "cdk.json"
    path.write_text("{}")
    change = Change.read(folder).with_values(VALUES)
    path.write_text('{"app": "new"}')
    with pytest.raises(CommandError, match="was changed meanwhile"):
        change.write()
    assert path.read_text() == '{"app": "new"}'


def test_a_fault_while_writing_leaves_the_file_whole(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = folder / "cdk.json"
    path.write_text("{}")
    change = Change.read(folder).with_values(VALUES)

    def full(_handle: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(CommandError, match="No space left on device"):
        change.write()
    assert path.read_text() == "{}"
    assert [each.name for each in folder.iterdir()] == ["cdk.json"]


def test_permissions_and_a_symbolic_link_are_kept(folder: Path, tmp_path: Path) -> None:
    target = tmp_path / "shared.json"
    target.write_text("{}")
    target.chmod(0o640)
    (folder / "cdk.json").symlink_to(target)
    Change.read(folder).with_values(VALUES).write()
    assert (folder / "cdk.json").is_symlink()
    assert json.loads(target.read_text())["context"] == VALUES
    assert target.stat().st_mode & 0o777 == 0o640
