"""Output of the command on a terminal and in a pipe."""

from __future__ import annotations

import sys

import pytest

from gpustation.console.tables import say_facts, say_note, say_table


def test_a_pipe_gets_tabs_and_no_heading(capsys: pytest.CaptureFixture[str]) -> None:
    say_table(("name", "value"), [("a", 1), ("b", None)])
    say_facts({"state": "running", "address": "", "reason": None, "hours": 0})
    say_note("of 2026-07-20")
    assert capsys.readouterr().out == "a\t1\nb\t-\nstate\trunning\nhours\t0\n"


def test_a_note_does_not_disturb_a_pipe(capfd: pytest.CaptureFixture[str]) -> None:
    say_note("of 2026-07-20")
    assert tuple(capfd.readouterr()) == ("", "of 2026-07-20\n")


def test_a_terminal_gets_a_table(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("NO_COLOR", "1")
    say_table(("name", "value"), [("[bold]a", 1)], right=("value",))
    shown = capsys.readouterr().out
    assert "name" in shown and "[bold]a" in shown
    assert "\x1b[3" not in shown


@pytest.mark.parametrize(("width", "framed"), [("60", True), ("50", False), ("20", False)])
def test_where_a_table_has_no_room_each_row_is_a_block(
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    width: str,
    framed: bool,
) -> None:
    """What was cut before: the numbers of `bench`, on the 80 columns that most terminals have."""
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    monkeypatch.setenv("COLUMNS", width)
    rows = [("g4dn.xlarge", "[bold]pytorch", "because of this and of that")] * 2
    say_table(("machine", "framework", "why it is so"), rows)
    shown = capsys.readouterr().out
    assert ("\u2503" in shown or "|" in shown) == framed
    assert shown.count("g4dn.xlarge") == shown.count("[bold]pytorch") == 2
    if not framed:
        assert "machine       g4dn.xlarge\nframework     [bold]pytorch\n" in shown


def test_a_few_rows_are_columns_where_that_fits(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    monkeypatch.setenv("COLUMNS", "60")
    columns = [f"column {number}" for number in range(9)]
    say_table(columns, [range(9), range(10, 19)])
    shown = capsys.readouterr().out.splitlines()
    assert [word for word in shown[4].split() if word.isalnum()] == ["column", "3", "3", "13"]


@pytest.mark.parametrize("text", ["a\tb", "a\nb", "\x1b[2J", "\u202eabc"])
def test_text_of_others_is_escaped(capsys: pytest.CaptureFixture[str], text: str) -> None:
    say_table(("name",), [(text,)])
    say_facts({"name": text})
    (row, fact) = capsys.readouterr().out.splitlines()
    assert text not in row and text not in fact
    assert row.isprintable() and fact.count("\t") == 1
