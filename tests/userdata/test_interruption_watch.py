"""What a spot machine does with EC2's notice, before and after the stop."""

from __future__ import annotations

import os
import signal
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
from interruption_bench import FOLDER, PERSON, Service, Spot, turn, until

RAN = 'echo "$GPUSTATION_ACTION $GPUSTATION_TIME $GPUSTATION_SECONDS_LEFT" >>"${0%/etc/*}/ran"'


@pytest.fixture
def started(machine_code: Any) -> Callable[[], Any]:
    """Starts the service."""

    def start() -> Any:
        watcher = machine_code.watcher.Watcher(machine_code.notice.Metadata())
        watcher.begin()
        return watcher

    return start


def files_of(spot: Spot) -> list[str]:
    return sorted(path.name for path in spot.home.iterdir())


def test_without_a_notice_nobody_is_told_anything(spot: Spot, started: Any) -> None:
    spot.hook("save", RAN)
    watcher = started()
    for _ in range(3):
        turn(watcher)
    assert spot.read("ran") == spot.read("wall") == spot.message == ""
    assert files_of(spot) == [] and not spot.public and not spot.record


def test_a_notice_runs_the_hooks_and_warns_people(
    spot: Spot, service: Service, started: Any
) -> None:
    spot.hook("save", RAN)
    watcher = started()
    turn(watcher)
    at = service.announce(120)
    turn(watcher)

    action, written, left = spot.read("ran").split()
    assert (action, written) == ("stop", at)
    assert int(left) == 97
    public = spot.root / "run/gpustation/interruption.json"
    assert (spot.public["schema"], spot.public["action"], spot.public["time"]) == (1, "stop", at)
    assert 60 < spot.public["at"] - time.time() <= 120
    assert stat.S_IMODE(public.stat().st_mode) == 0o644
    clock = at[11:19]
    assert f"EC2 STOPS THIS SPOT MACHINE AT {clock} UTC" in spot.read("wall")
    assert spot.message == spot.read("wall")
    (name,) = files_of(spot)
    assert name == f"EC2-INTERRUPTS-THIS-MACHINE-AT-{clock.replace(':', '.')}-UTC.txt"
    assert "its disk is kept" in (spot.home / name).read_text()
    assert os.geteuid() != 0 or (spot.home / name).stat().st_uid == PERSON
    assert spot.record["hooks"] == {"save": "ok"}
    until(lambda: spot.read("synced"))


@pytest.mark.parametrize(
    ("action", "words"),
    [
        ("terminate", "EC2 DELETES THIS SPOT MACHINE AT"),
        ("hibernate", "EC2 HIBERNATES THIS SPOT MACHINE AT"),
        ("rebuild", "EC2 DOES 'rebuild' TO THIS SPOT MACHINE AT"),
    ],
)
def test_people_are_told_what_is_done(
    spot: Spot, service: Service, started: Any, action: str, words: str
) -> None:
    watcher = started()
    service.announce(120, action)
    turn(watcher)
    assert words in spot.read("wall")
    assert ("its disk goes with it" in spot.read("wall")) == (action == "terminate")


def test_the_same_notice_runs_the_hooks_once(spot: Spot, service: Service, started: Any) -> None:
    spot.hook("save", RAN)
    watcher = started()
    service.announce(120)
    for _ in range(3):
        turn(watcher)
    assert len(spot.read("ran").splitlines()) == len(spot.read("wall").splitlines()) == 1


def test_nor_after_the_service_was_started_again(
    spot: Spot, service: Service, started: Any
) -> None:
    spot.hook("save", RAN)
    service.announce(120)
    turn(started())
    (spot.root / "run/gpustation/interruption.json").unlink()
    turn(started())
    assert len(spot.read("ran").splitlines()) == 1
    assert spot.public["action"] == "stop", "a training still looks for it"


def test_nor_after_the_service_was_killed_while_they_ran(
    spot: Spot, service: Service, started: Any
) -> None:
    spot.hook("save", RAN)
    service.announce(120)
    started().look()  # and no more
    until(lambda: spot.read("ran"))
    turn(started())
    assert len(spot.read("ran").splitlines()) == 1
    assert spot.record["hooks"] is None


def test_another_announced_time_is_another_notice(
    spot: Spot, service: Service, started: Any
) -> None:
    spot.hook("save", RAN)
    watcher = started()
    times = [service.announce(120)]
    turn(watcher)
    times.append(service.announce(600))
    turn(watcher)
    assert [line.split()[1] for line in spot.read("ran").splitlines()] == times
    assert spot.public["time"] == spot.record["time"] == times[1]
    assert len(files_of(spot)) == 1


def test_another_time_while_hooks_run_waits_for_them(
    spot: Spot, service: Service, started: Any
) -> None:
    os.mkfifo(spot.root / "go")
    spot.hook("save", f"{RAN}; read -r _ <{spot.root}/go")
    watcher = started()
    first = service.announce(120)
    watcher.look()
    second = service.announce(600)
    watcher.look()
    assert spot.public["time"] == second
    until(lambda: spot.read("ran"))
    assert [line.split()[1] for line in spot.read("ran").splitlines()] == [first]
    for _ in range(2):
        (spot.root / "go").write_text("\n")
        while watcher._run:
            watcher.tend()
        watcher.look()
    assert [line.split()[1] for line in spot.read("ran").splitlines()] == [first, second]


def test_a_notice_that_is_withdrawn_is_taken_back(
    spot: Spot, service: Service, started: Any
) -> None:
    spot.hook("save", RAN)
    watcher = started()
    service.announce(120)
    turn(watcher)
    service.item = None
    for _ in range(2):
        turn(watcher)
    assert spot.public and spot.message, "one wrong answer takes nothing back"
    turn(watcher)
    assert spot.message == "" and not spot.public and files_of(spot) == []
    assert spot.read("wall").splitlines()[-1].endswith("its notice is gone")
    spot.boot("second")
    turn(started())
    assert spot.message == "", "nobody interrupted it"


def test_no_answer_takes_no_notice_back(spot: Spot, service: Service, started: Any) -> None:
    watcher = started()
    service.announce(120)
    turn(watcher)
    service.answers = [500] * 5
    for _ in range(5):
        turn(watcher)
    assert spot.public and spot.message


def test_the_next_notice_after_one_that_was_withdrawn_counts(
    spot: Spot, service: Service, started: Any
) -> None:
    spot.hook("save", RAN)
    watcher = started()
    service.announce(120)
    turn(watcher)
    service.item = None
    for _ in range(3):
        turn(watcher)
    service.announce(300)
    turn(watcher)
    assert len(spot.read("ran").splitlines()) == 2
    assert "withdrawn_at" not in spot.record


def test_errors_are_told_once_per_change(
    spot: Spot, service: Service, started: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    watcher = started()
    turn(watcher)
    capsys.readouterr()
    service.answers = [500, 500, 500, 503, 503]
    for _ in range(8):
        turn(watcher)
    shown = capsys.readouterr().out.splitlines()
    assert len(shown) == 3
    assert "answered 500" in shown[0] and "answered 503" in shown[1]
    assert shown[2] == "the metadata service answers again"
    assert spot.json("run/gpustation/interruption-look.json")["fault"] == ""


class Countdown:
    """Stands for the event that ends the watch, set after so many waits, and for its clock."""

    def __init__(self, times: int) -> None:
        self.waited: list[float] = []
        self.times = times

    def is_set(self) -> bool:
        return len(self.waited) >= self.times

    def wait(self, seconds: float) -> None:
        self.waited.append(seconds)

    def monotonic(self) -> float:
        return time.monotonic() + sum(self.waited)


def test_it_waits_between_two_looks_whatever_it_is_answered(
    spot: Spot, service: Service, started: Any, machine_code: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    handler = signal.getsignal(signal.SIGTERM)
    watcher = started()
    watcher._ending = countdown = Countdown(times=5)
    clock = SimpleNamespace(monotonic=countdown.monotonic, time=time.time, sleep=time.sleep)
    monkeypatch.setattr(machine_code.watcher, "time", clock)
    service.answers = [500, 401, 401, 404]
    watcher.watch()
    signal.signal(signal.SIGTERM, handler)
    assert len(countdown.waited) == 5
    assert all(0.5 < seconds <= 5 for seconds in countdown.waited)
    assert sum("GET" in request for request in service.requests) <= 2 * 5


def test_systemd_hears_that_it_works(
    spot: Spot, service: Service, machine_code: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    address = str(spot.root / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(address)
        monkeypatch.setenv("NOTIFY_SOCKET", address)
        machine_code.watcher._tell_systemd("WATCHDOG=1")
        assert listener.recv(100) == b"WATCHDOG=1"


@pytest.mark.parametrize(
    ("script", "told"),
    [
        ("true", "hooks: 1 ok"),
        ("exit 3", "hooks failed: save exited 3"),
        ("plain", "hooks failed: save is not run: it is not executable"),
        ("", "no hooks"),
    ],
)
def test_the_next_boot_tells_what_happened_and_the_one_after_it_does_not(
    spot: Spot, service: Service, started: Any, script: str, told: str
) -> None:
    if script:
        spot.hook("save", script, 0o644 if script == "plain" else 0o755)
    service.announce(120)
    turn(started())
    assert len(files_of(spot)) == 1
    service.item = None
    spot.boot("second")
    for _ in range(2):  # the service, and again at the set-up of the boot
        turn(started())
        assert "EC2 interrupted this spot machine at 20" in spot.message
        assert "(stop); started again at 20" in spot.message
        assert spot.message.endswith(f"; {told}\n")
        assert not spot.public and files_of(spot) == []
    spot.boot("third")
    turn(started())
    assert spot.message == ""


def test_hooks_that_the_stop_cut_off_are_told(spot: Spot, service: Service, started: Any) -> None:
    spot.hook("save", "exec sleep 1000")
    service.announce(120)
    watcher = started()
    watcher.look()
    service.item = None
    spot.boot("second")
    turn(started())
    assert spot.message.endswith("; hooks: not finished\n")
    watcher._run._signal(signal.SIGKILL)


def test_a_reboot_before_the_interruption_is_none(
    spot: Spot, service: Service, started: Any
) -> None:
    """A person reboots within the two minutes: the notice is still there."""
    spot.hook("save", RAN)
    service.announce(120)
    turn(started())
    spot.boot("second")
    turn(started())
    assert "EC2 STOPS THIS SPOT MACHINE" in spot.message
    assert spot.public and len(spot.read("ran").splitlines()) == 1
    service.item = None
    spot.boot("third")
    turn(started())
    assert "EC2 interrupted this spot machine" in spot.message


@pytest.mark.parametrize("text", ["", "{", "[]", '{"boot": 7, "at": "x", "time": ["a"]}'])
def test_a_damaged_record_does_no_harm(
    spot: Spot, service: Service, started: Any, text: str
) -> None:
    spot.put("var/lib/gpustation/interruption.json", text)
    spot.hook("save", RAN)
    watcher = started()
    service.announce(120)
    turn(watcher)
    assert len(spot.read("ran").splitlines()) == 1


def test_hooks_run_once_though_nothing_can_be_written(
    spot: Spot, service: Service, started: Any
) -> None:
    """As on a full disk: folders stand where the files would."""
    for path in ("var/lib/gpustation/interruption.json.new", "run/motd.d"):
        (spot.root / path).mkdir(parents=True)
    (spot.root / "run/gpustation").mkdir()
    (spot.root / "run/gpustation/interruption.json.new").mkdir()
    (spot.root / "run/motd.d/gpustation-interruption").mkdir()
    spot.hook("save", RAN)
    watcher = started()
    service.announce(120)
    for _ in range(3):
        turn(watcher)
    assert len(spot.read("ran").splitlines()) == 1
    assert len(spot.read("wall").splitlines()) == 1


def test_terminals_that_hang_keep_no_hook_from_ending(
    spot: Spot, service: Service, started: Any
) -> None:
    os.mkfifo(spot.root / "go")
    wall = spot.root.parent / "bin/wall"
    wall.write_text(f"#!/bin/bash\nread -r _ <{spot.root}/go\n")
    spot.hook("save", RAN)
    watcher = started()
    service.announce(120)
    watcher.look()
    while watcher._run:
        watcher.tend()
    assert spot.record["hooks"] == {"save": "ok"}
    (spot.root / "go").write_text("\n")
    turn(watcher)


def test_each_line_for_the_journal_is_written_in_one_piece(
    spot: Spot, service: Service, started: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The threads of hooks, messages and watch share a stream that nothing buffers."""
    (spot.root.parent / "bin/wall").write_text("#!/bin/bash\nexit 1\n")
    spot.put("run/motd.d", "a file, where there should be a folder")
    spot.hook("fails", "echo oops; exit 4")
    spot.hook("refused", "true", 0o757)
    pieces: list[str] = []
    monkeypatch.setattr("sys.stdout", SimpleNamespace(write=pieces.append, flush=lambda: None))
    watcher = started()
    service.announce(120)
    turn(watcher)
    told = "".join(pieces)
    for words in (
        "hooks in ",
        "hook refused would not run",
        "EC2 STOPS",
        "fails: oops\n",
        "fails: exited 4\n",
        "nobody was told on their terminals",
        "the message at login was not changed",
        "hooks failed: ",
    ):
        assert words in told
    assert [piece for piece in pieces if not piece.endswith("\n") or piece == "\n"] == []


def watching(spot: Spot) -> subprocess.Popen[str]:
    """The program as systemd runs it."""
    return subprocess.Popen(
        [sys.executable, "-I", "-u", FOLDER, "watch"],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def test_it_ends_when_it_is_told_to(spot: Spot, service: Service) -> None:
    process = watching(spot)
    until(lambda: service.requests)
    process.terminate()
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 0, output


@pytest.mark.skipif(os.geteuid() != 0, reason="the program runs hooks of root only")
def test_a_shutdown_lets_hooks_end(spot: Spot, service: Service) -> None:
    os.mkfifo(spot.root / "go")
    spot.hook("save", f"{RAN}; read -r _ <{spot.root}/go; echo >{spot.root}/saved")
    service.announce(120)
    process = watching(spot)
    until(lambda: spot.read("ran"))
    process.terminate()
    looks = len(service.requests)
    (spot.root / "go").write_text("\n")
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 0, output
    assert spot.read("saved") == "\n"
    assert spot.record["hooks"] == {"save": "ok"}
    assert len(service.requests) == looks


def test_nothing_of_it_powers_the_machine_off() -> None:
    """A machine that stops itself is one that EC2 does not start again."""
    for path in FOLDER.iterdir():
        if path.is_file():
            for word in ("poweroff", "shutdown -", "systemctl stop", "halt", "reboot("):
                assert word not in path.read_text(), path.name


def test_what_would_not_run_is_told_beforehand(
    spot: Spot, started: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    spot.hook("save", RAN, 0o644)
    spot.hook("other", RAN)
    started()
    shown = capsys.readouterr().out
    assert f"hooks in {spot.hooks}: 1\n" in shown
    assert "warning: hook save would not run: it is not executable" in shown
