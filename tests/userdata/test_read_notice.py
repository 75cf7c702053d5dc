"""What a machine says at login of its spend limit."""

from __future__ import annotations

import dataclasses
import importlib.util
import json
from pathlib import Path
from typing import Any

import pytest

from gpustation.aws.spend_notice import Notice
from gpustation.catalog.names import NOTICES
from gpustation.catalog.spending import Month, Spent

PROGRAM = Path(__file__).parents[2] / "userdata/phases/11-tell-limit/read_notice.py"
NOTICE = Notice(Month(2026, 11), 20, Spent(4.5, 0.04, 0.21), 0.531, 1795960800.0, None, None, "")


@pytest.fixture(scope="module")
def program() -> Any:
    spec = importlib.util.spec_from_file_location("read_notice", PROGRAM)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_it_is_read_where_the_limit_writes_it(program: Any) -> None:
    assert f"{NOTICES}/" == program.NOTICES


def words(program: Any, notice: Notice) -> str:
    """As the function writes it and the machine's agent reads it."""
    return str(program.in_words(json.loads(notice.to_json())))


def test_what_is_spent_is_told_with_its_time_and_rate(program: Any) -> None:
    assert words(program, NOTICE) == (
        "4.75 of 20 USD spent in 2026-11 until 2026-11-29 14:00 UTC; an hour cost 0.531 USD then, "
        "at the list price of this region"
    )


def test_a_machine_that_may_not_run_says_why(program: Any) -> None:
    spent = dataclasses.replace(NOTICE, reason="the limit of 20 USD for 2026-11 is spent")
    told = words(program, spent)
    assert told == "THIS MACHINE IS STOPPED AGAIN: the limit of 20 USD for 2026-11 is spent"


def test_before_anything_is_counted_it_says_so(program: Any) -> None:
    assert "nothing is counted yet" in program.in_words({})
