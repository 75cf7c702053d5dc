"""Which hooks run, with what, and what ends them."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from interruption_bench import PERSON, Spot, until

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")


def start(machine_code: Any, seconds: float = 60) -> Any:
    """Start all hooks as the watcher does."""
    commands = machine_code.hooks.commands("stop", "2026-11-29T14:35:10Z", seconds, {})
    return machine_code.hooks.Run(commands, seconds)


def run(machine_code: Any) -> dict[str, str]:
    """Run all hooks; returns their results."""
    started = start(machine_code)
    started.wait()
    return dict(started.results)


def run_until(machine_code: Any, ready: Callable[[], object]) -> dict[str, str]:
    """Run all hooks, with a time that is over soon after some of them are where a test wants them.

    Returns:
        Results; the seconds are left out, as they are those of this computer.
    """
    machine_code.hooks.GRACE = 0.5
    started = start(machine_code, 600)
    until(lambda: started.tend() or ready())
    started._seconds = time.monotonic() - started._began + 1
    started.wait()
    return {name: re.sub(r"\d+ s$", "N s", text) for name, text in started.results.items()}


HANGS = "did not end within N s"


def refused(machine_code: Any) -> dict[str, str]:
    return dict(machine_code.hooks.find_roots().refused)


def test_without_hooks_there_are_no_results(spot: Spot, machine_code: Any) -> None:
    assert run(machine_code) == {}
    spot.hooks.rmdir()
    assert run(machine_code) == {}


def test_hooks_get_what_they_need_and_nothing_else(
    spot: Spot, machine_code: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NOTIFY_SOCKET", "/run/systemd/notify")
    monkeypatch.setenv("https_proxy", "http://proxy:3128")
    spot.hook("save", f"env >{spot.root}/env; pwd >>{spot.root}/env; cat >>{spot.root}/env")
    assert run(machine_code) == {"save": "ok"}
    lines = spot.read("env").splitlines()
    known = dict(line.split("=", 1) for line in lines if "=" in line)
    assert known["GPUSTATION_ACTION"] == "stop"
    assert known["GPUSTATION_TIME"] == "2026-11-29T14:35:10Z"
    assert known["GPUSTATION_SECONDS_LEFT"] == "57"
    assert (known["HOME"], known["https_proxy"]) == ("/root", "http://proxy:3128")
    assert "NOTIFY_SOCKET" not in known and "GPUSTATION_ROOT" not in known
    assert lines[-1] == "/"


def test_one_that_fails_does_not_keep_others_from_running(
    spot: Spot, machine_code: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    spot.hook("10-fails", "echo broken >&2; exit 3")
    spot.hook("20-is-killed", "kill -9 $$")
    spot.hook("30-works", "echo saved")
    (spot.hooks / "15-no-program").write_text("#!/no/such/interpreter\n")
    (spot.hooks / "15-no-program").chmod(0o755)
    results = run(machine_code)
    assert results.pop("15-no-program").startswith("could not be started: ")
    assert results == {"10-fails": "exited 3", "20-is-killed": "was ended by signal 9"} | {
        "30-works": "ok"
    }
    shown = capsys.readouterr().out.splitlines()
    assert {"10-fails: broken", "10-fails: exited 3", "30-works: saved"} <= {*shown}


def test_they_run_side_by_side(spot: Spot, machine_code: Any) -> None:
    """Each waits for the other, which in a sequence none would survive."""
    os.mkfifo(spot.root / "meet")
    spot.hook("1", f"echo here >{spot.root}/meet")
    spot.hook("2", f"read -r line <{spot.root}/meet && [[ $line == here ]]")
    assert run(machine_code) == {"1": "ok", "2": "ok"}


def gone(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True


@pytest.mark.parametrize("deaf", ["", "trap '' TERM\n"], ids=["hears-SIGTERM", "ignores-it"])
def test_one_that_hangs_is_ended_with_what_it_started(
    spot: Spot, machine_code: Any, deaf: str
) -> None:
    child = spot.hook(
        "child", f"{deaf}echo $$ >{spot.root}/pid-of-child\nsleep 1000 & wait", folder=spot.root
    )
    spot.hook("hangs", f"{deaf}echo $$ >{spot.root}/pid\n{child} &\nwait")
    spot.hook("works", f"echo >{spot.root}/worked")
    results = run_until(machine_code, lambda: spot.read("pid-of-child") and spot.read("worked"))
    assert (results["hangs"], results["works"]) == (HANGS, "ok")
    pids = [int(spot.read(name)) for name in ("pid", "pid-of-child")]
    until(lambda: all(gone(pid) for pid in pids))


def test_one_that_is_told_to_end_may_still_save(spot: Spot, machine_code: Any) -> None:
    spot.hook(
        "saves",
        f"trap 'echo saved >{spot.root}/saved; exit' TERM\necho >{spot.root}/ready\n"
        "sleep 1000 & wait",
    )
    results = run_until(machine_code, lambda: spot.read("ready"))
    assert results["saves"] == HANGS
    assert spot.read("saved") == "saved\n"


def test_what_a_hook_leaves_in_the_background_keeps_nobody_waiting(
    spot: Spot, machine_code: Any
) -> None:
    spot.hook("starts", f"sleep 1000 & echo $! >{spot.root}/left")
    assert run(machine_code) == {"starts": "ok"}
    left = int(spot.read("left"))
    assert not gone(left)
    os.kill(left, 9)


def test_one_that_prints_without_end_ends(
    spot: Spot, machine_code: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(machine_code.hooks, "say", lambda _: None)
    spot.hook("prints", f"echo >{spot.root}/ready; exec yes")
    assert run_until(machine_code, lambda: spot.read("ready"))["prints"] == HANGS


@pytest.mark.parametrize(
    ("left", "seconds"),
    [(120, 100), (115, 100), (110, 100), (109, 99), (60, 50), (20, 10), (12, 10), (-600, 10)],
)
def test_they_end_in_time(machine_code: Any, left: float, seconds: float) -> None:
    assert machine_code.hooks.seconds_for(left) == seconds


def test_what_others_could_have_written_is_not_run(spot: Spot, machine_code: Any) -> None:
    ran = f"echo >>{spot.root}/ran"
    spot.hook("group", ran, 0o775)
    spot.hook("others", ran, 0o757)
    spot.hook("not-executable", ran, 0o644)
    spot.hook(".hidden", ran)
    spot.hook("backup~", ran)
    (spot.hooks / "link").symlink_to(spot.hook("target", ran, folder=spot.root))
    (spot.hooks / "folder").mkdir()
    os.mkfifo(spot.hooks / "fifo", 0o755)
    assert run(machine_code) == {}
    assert spot.read("ran") == ""
    assert refused(machine_code) == {
        "group": "others can write it",
        "others": "others can write it",
        "not-executable": "it is not executable",
        "link": "it is not a regular file",
        "folder": "it is not a regular file",
        "fifo": "it is not a regular file",
    }


@needs_root
def test_a_hook_of_another_user_is_not_run(spot: Spot, machine_code: Any) -> None:
    path = spot.hook("theirs", f"echo >>{spot.root}/ran")
    os.chown(path, PERSON, PERSON)
    assert run(machine_code) == {}
    assert refused(machine_code) == {"theirs": f"user {PERSON} owns it, and not root"}


@pytest.mark.parametrize("how", ["writable", "link", "owner"])
def test_in_a_folder_of_others_nothing_is_run(spot: Spot, machine_code: Any, how: str) -> None:
    spot.hook("save", f"echo >>{spot.root}/ran")
    if how == "writable":
        spot.hooks.chmod(0o777)
    elif how == "link":
        spot.hooks.rename(spot.root / "elsewhere")
        spot.hooks.symlink_to(spot.root / "elsewhere")
    elif os.geteuid() != 0:
        pytest.skip("only root can give a folder away")
    else:
        os.chown(spot.hooks, PERSON, PERSON)
    assert run(machine_code) == {}
    assert [*refused(machine_code)] == [str(spot.hooks)]
    assert spot.read("ran") == ""


def test_a_persons_hooks_run_with_their_rights(spot: Spot, machine_code: Any) -> None:
    spot.personal_hook("save", 'id -u >saved; id -G >>saved; pwd >>saved; echo "$HOME" >>saved')
    assert run(machine_code) == {"the person's hooks": "ok"}
    uid, groups, folder, home = (spot.home / "saved").read_text().split()
    assert int(uid) == (PERSON if os.geteuid() == 0 else os.geteuid())
    assert os.geteuid() != 0 or groups == str(PERSON)
    assert folder == home == str(spot.home)


def test_a_persons_hooks_are_told_apart_in_the_journal(
    spot: Spot, machine_code: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    spot.personal_hook("fails", "echo oops; exit 4")
    spot.personal_hook("works", "echo fine")
    spot.personal_hook("open", f"echo >{spot.home}/ran", 0o757)
    spot.personal_hook("plain", "true", 0o644)
    assert run(machine_code) == {"the person's hooks": "exited 1"}
    shown = capsys.readouterr().out
    for line in ("fails: oops", "fails: exited 4", "works: fine", "works: ok"):
        assert f"the person's hooks: {line}\n" in shown
    assert "open: is not run: others can write it" in shown
    assert "plain: is not run: it is not executable" in shown
    assert not (spot.home / "ran").exists()


@needs_root
def test_of_a_person_root_runs_not_even_their_python(spot: Spot, machine_code: Any) -> None:
    layer = spot.home / ".local/share/gpustation/env/bin"
    layer.mkdir(parents=True)
    spot.hook("python3", f"id -u >{spot.root}/ran", folder=layer)
    spot.personal_hook("asks", "type -P python3 >python")
    assert run(machine_code) == {"the person's hooks": "ok"}
    assert spot.read("ran") == ""
    assert (spot.home / "python").read_text().strip() == str(layer / "python3")


@needs_root
def test_in_a_home_folder_of_root_there_are_no_personal_hooks(
    spot: Spot, machine_code: Any
) -> None:
    spot.personal_hook("save", f"id -u >{spot.root}/ran")
    os.chown(spot.home, 0, 0)
    assert run(machine_code) == {}
    assert spot.read("ran") == ""


def test_a_person_without_a_home_folder_has_none(spot: Spot, machine_code: Any) -> None:
    spot.home.rmdir()
    assert run(machine_code) == {}


def test_a_persons_hook_that_hangs_is_ended_too(spot: Spot, machine_code: Any) -> None:
    spot.personal_hook("hangs", "echo $$ >hangs; sleep 1000")
    results = run_until(machine_code, lambda: spot.read("home/ubuntu/hangs"))
    assert results == {"the person's hooks": HANGS}
    pid = int((spot.home / "hangs").read_text())
    until(lambda: gone(pid))
