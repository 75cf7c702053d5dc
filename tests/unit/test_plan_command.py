"""The command line of the plan: what it refuses, and how it ends."""

from __future__ import annotations

import os
import signal
from typing import Any

import pytest
from botocore.exceptions import BotoCoreError, ProfileNotFound

from gpustation.aws import session
from gpustation.cli.app import main
from gpustation.console.interrupts import SIGNALS
from gpustation.plan.make import PlanError


@pytest.mark.parametrize("text", ["disk_gib", "=100", ""])
def test_a_context_that_is_no_assignment_is_refused(
    text: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["plan", "-c", text]) == 2
    assert f"{text!r} is not KEY=VALUE, and the CDK CLI would ignore it" in capsys.readouterr().err


@pytest.mark.parametrize("number", SIGNALS)
def test_a_signal_ends_it_with_its_own_status_and_no_traceback(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], number: signal.Signals
) -> None:
    monkeypatch.setattr(session, "make_session", lambda _: os.kill(os.getpid(), number))
    assert main(["plan"]) == 128 + number
    assert capfd.readouterr().err == "plan: interrupted\n"


@pytest.mark.parametrize(
    ("error", "status", "line"),
    [
        (ProfileNotFound(profile="mine"), 3, "The config profile (mine) could not be found"),
        (PlanError("no stack"), 1, "no stack"),
    ],
)
def test_a_fault_is_one_line_and_its_status(
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    error: BotoCoreError | PlanError,
    status: int,
    line: str,
) -> None:
    def fail(_: str) -> Any:
        raise error

    monkeypatch.setattr(session, "make_session", fail)
    assert main(["plan"]) == status
    assert capfd.readouterr().err == f"plan: {line}\n"
