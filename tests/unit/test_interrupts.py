"""Signals: what was made is removed first, and no further signal cuts that."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import threading
from collections.abc import Iterator

import pytest

from gpustation.console.interrupts import Interrupted, end, held, listening, status_of

SIGNALS = [signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT]


@pytest.fixture(autouse=True)
def handlers_are_set_back() -> Iterator[None]:
    before = [signal.getsignal(number) for number in SIGNALS]
    yield
    assert [signal.getsignal(number) for number in SIGNALS] == before


def send(number: int) -> None:
    os.kill(os.getpid(), number)


@pytest.mark.parametrize("number", SIGNALS)
def test_a_listening_command_ends_at_once_with_the_signals_status(number: signal.Signals) -> None:
    with pytest.raises(Interrupted) as ended, listening():
        send(number)
    assert ended.value.status == status_of(ended.value) == 128 + number


@pytest.mark.parametrize("number", SIGNALS)
def test_held_work_ends_where_it_says_so_and_answers_every_signal(
    number: signal.Signals, capfd: pytest.CaptureFixture[str]
) -> None:
    done: list[str] = []
    with pytest.raises(Interrupted) as ended, listening(), held("making it") as hold:
        send(number)
        done.append("the call whose answer counts")
        hold.what = "removing it"
        try:
            hold.pause(60)
        finally:
            send(signal.SIGINT)
            send(number)
            done.append("the clean-up")
    assert done == ["the call whose answer counts", "the clean-up"]
    assert ended.value.status == 128 + number
    assert capfd.readouterr().err.splitlines() == [
        f"{number.name}: making it",
        "SIGINT: removing it",
        f"{number.name}: removing it",
    ]


def test_a_signal_after_the_last_check_is_not_lost() -> None:
    with pytest.raises(Interrupted), held("it"):
        send(signal.SIGTERM)


def test_a_fault_after_the_signal_is_told_beside_it(capfd: pytest.CaptureFixture[str]) -> None:
    def fail() -> None:
        try:
            raise ValueError("the disk\nis full")
        finally:
            send(signal.SIGTERM)

    with pytest.raises(Interrupted) as ended, held("it"):
        fail()
    assert end("mine", ended.value) == 128 + signal.SIGTERM
    assert capfd.readouterr().err.splitlines()[-1] == "mine: interrupted (the disk is full)"


def test_a_fault_without_a_signal_is_its_own() -> None:
    with pytest.raises(ValueError, match="no"), held("it"):
        raise ValueError("no")


def test_a_command_that_is_ending_is_not_interrupted_again() -> None:
    with listening():
        try:
            send(signal.SIGINT)
        except KeyboardInterrupt as first:
            send(signal.SIGTERM)
            assert status_of(first) == 130
        else:
            pytest.fail("the signal did nothing")


def test_what_nohup_ignores_stays_ignored() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with listening(), held("it"):
            send(signal.SIGHUP)
    finally:
        signal.signal(signal.SIGHUP, before)


def test_a_pause_without_a_signal_only_waits() -> None:
    with held("it") as hold:
        hold.pause(0.01)


def test_other_threads_may_hold_something_too() -> None:
    faults: list[BaseException] = []

    def work() -> None:
        try:
            with listening(), held("it") as hold:
                hold.check()
        except BaseException as error:
            faults.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert faults == []


CHILD = textwrap.dedent(
    """
    import os, sys
    from gpustation.console import interrupts
    reader, writer = os.pipe()
    os.dup2(writer, 1)
    os.close(reader)
    os.close(writer)
    interrupts.say("nobody reads this")
    interrupts.say("nor this")
    os.close(2)
    interrupts.warn("nor this")
    """
)


def test_a_closed_terminal_stops_nothing_and_changes_no_exit_status() -> None:
    # Without PYTHONUNBUFFERED, which keeps nothing back for the end
    known = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    known["PYTHONPATH"] = os.pathsep.join(path for path in sys.path if path)
    done = subprocess.run([sys.executable, "-c", CHILD], env=known, check=False, timeout=300)
    assert done.returncode == 0


ENDING = textwrap.dedent(
    """
    import atexit, os, signal
    from gpustation.console import interrupts
    atexit.register(lambda: [os.kill(os.getpid(), number) for number in interrupts.SIGNALS])
    interrupts.leave(5)
    """
)


def test_a_signal_to_a_command_that_has_ended_does_not_change_its_status() -> None:
    done = subprocess.run(
        [sys.executable, "-c", ENDING], capture_output=True, text=True, check=False, timeout=300
    )
    assert (done.returncode, done.stderr) == (5, "")
