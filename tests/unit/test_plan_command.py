"""The command line of the plan: what it refuses, and how it ends."""

from __future__ import annotations

import os
import signal
from typing import Any

import pytest
from botocore.exceptions import BotoCoreError, ProfileNotFound

from gpustation.console.interrupts import SIGNALS
from gpustation.plan import __main__ as plan
from gpustation.plan.make import PlanError


@pytest.mark.parametrize("text", ["disk_gib", "=100", ""])
def test_a_context_that_is_no_assignment_is_refused(
    text: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        plan.main(["-c", text])
    assert ended.value.code == 2
    assert f"{text!r} is no KEY=VALUE, and the CDK CLI would ignore it" in capsys.readouterr().err


@pytest.mark.parametrize("number", SIGNALS)
def test_a_signal_ends_it_with_its_own_status_and_no_traceback(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], number: signal.Signals
) -> None:
    monkeypatch.setattr(plan, "make_session", lambda: os.kill(os.getpid(), number))
    assert plan.main([]) == 128 + number
    assert capfd.readouterr().err == "plan: interrupted\n"


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (ProfileNotFound(profile="mine"), "plan: The config profile (mine) could not be found\n"),
        (PlanError("no stack"), "plan: no stack\n"),
    ],
)
def test_a_fault_is_one_line_and_status_1(
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    error: BotoCoreError | PlanError,
    line: str,
) -> None:
    def fail() -> Any:
        raise error

    monkeypatch.setattr(plan, "make_session", fail)
    assert plan.main([]) == 1
    assert capfd.readouterr().err == line
