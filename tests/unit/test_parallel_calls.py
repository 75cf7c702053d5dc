"""Calls at the same time: results, errors, and a call that never returns."""

from __future__ import annotations

import threading

import pytest

from gpustation.aws.parallel import Calls, DeadlineError


def fail() -> int:
    raise ValueError("no")


def test_results_and_errors_are_by_name() -> None:
    arrived: list[str] = []
    results = Calls({"one": lambda: 1, "bad": fail}, 60).results(arrived.append)
    assert results["one"] == 1
    assert isinstance(results["bad"], ValueError)
    assert sorted(arrived) == ["bad", "one"]


def test_a_call_that_hangs_is_named_and_does_not_hold_the_others() -> None:
    release = threading.Event()
    results = Calls({"hangs": release.wait, "one": lambda: True}, 0.2).results()
    release.set()
    assert results["one"] is True
    assert isinstance(results["hangs"], DeadlineError)
    assert "0.2 s" in str(results["hangs"])


@pytest.mark.parametrize("workers", [1, 2, 9])
def test_fewer_workers_than_calls_make_all_of_them(workers: int) -> None:
    calls = {str(number): (lambda number=number: number) for number in range(5)}
    assert Calls(calls, 60, workers=workers).results() == {str(n): n for n in range(5)}


def test_no_call_is_no_result() -> None:
    assert Calls({}, 60).results() == {}
