"""What the idle stop says of /scratch, whose content a stop loses."""

from __future__ import annotations

import json
import subprocess
from types import SimpleNamespace
from typing import Any

import pytest
from idle_bench import IDLE, Box

GIB = 1 << 30
STEP = 3
"""Minutes from one sample to the next; more would be a gap."""


@pytest.fixture
def use(box: Box, idle: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Mounts an instance store with so many GiB in use; ``None`` takes it away."""

    def mount(gib: float | None) -> None:
        mark = box.root / "run/gpustation/scratch"
        mark.unlink(missing_ok=True)
        if gib is None:
            return
        box.put("run/gpustation/scratch", "")
        blocks = SimpleNamespace(f_blocks=200 * GIB, f_bfree=(200 - gib) * GIB, f_frsize=1)
        monkeypatch.setattr(idle.collect.os, "statvfs", lambda path: blocks)

    return mount


def _message(box: Box) -> str:
    return (box.root / "run/motd.d/gpustation-idle").read_text()


def test_the_warning_and_the_stop_say_how_much_is_lost(box: Box, watch: Any, use: Any) -> None:
    use(12.34)
    for minute in range(0, 64, STEP):
        watch(minute * 60)
        if minute == 30:
            assert "/scratch" not in _message(box), "as long as it does not stop"
        if minute == 57:
            lost = "nothing moved for 57 min; 12 GiB on /scratch will be lost; this delays it"
            assert lost in (box.root / "wall").read_text()
            assert "12 GiB on /scratch will be lost" in _message(box)
            (notice,) = (box.root / "home/ubuntu").glob("THIS-MACHINE-STOPS-AT-*-UTC.txt")
            assert "12 GiB on /scratch will be lost" in notice.read_text()
    stop = json.loads((box.root / "var/lib/gpustation/last-stop.json").read_text())
    assert stop["reason"] == "nothing moved for 63 min; 12 GiB on /scratch were lost"


def test_nothing_is_said_of_an_empty_scratch(box: Box, watch: Any, use: Any) -> None:
    use(0.05)
    for minute in range(0, 64, STEP):
        watch(minute * 60)
    assert "/scratch" not in (box.root / "wall").read_text()
    stop = json.loads((box.root / "var/lib/gpustation/last-stop.json").read_text())
    assert stop["reason"] == "nothing moved for 63 min"


def test_the_setting_holds_the_stop(box: Box, watch: Any, use: Any) -> None:
    settings = box.root / "var/lib/gpustation/settings.json"
    known = json.loads(settings.read_text())
    settings.write_text(json.dumps({**known, "idle_stop_scratch_gib": 10}))
    use(12)
    verdicts = {minute: watch(minute * 60) for minute in range(0, 124, STEP)}
    assert verdicts[90]["reason"] == "12 GiB on /scratch would be lost"
    assert verdicts[90]["scratch_gib"] == 12
    assert [minute for minute, each in verdicts.items() if each["state"] == "stop"] == [123]


def test_a_scratch_that_cannot_be_read_holds_nothing(
    box: Box, watch: Any, idle: Any, use: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    use(12)

    def fails(path: object) -> None:
        raise OSError("it hangs")

    monkeypatch.setattr(idle.collect.os, "statvfs", fails)
    assert watch(0)["scratch_gib"] is None


def test_the_machines_command_shows_it(
    box: Box, watch: Any, use: Any, idle: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    use(3.21)
    watch(0)
    capsys.readouterr()
    assert idle.person.status() == 0
    assert "/scratch    3.2 GiB in use, lost at every stop" in capsys.readouterr().out
    use(None)
    watch(60)
    capsys.readouterr()
    idle.person.status()
    assert "/scratch" not in capsys.readouterr().out


def test_the_guard_says_it_too(box: Box) -> None:
    """``guard.sh`` does not depend on the watcher, so it looks itself."""
    used = "stat() { echo '100 40 1073741824'; }; export -f stat; "
    box.put("var/lib/gpustation/settings.json", '{"report": ""}')
    box.put("run/gpustation/idle/failing", "1\n")

    def guard() -> str:
        (box.root / "run/gpustation/idle/failing-announced").unlink(missing_ok=True)
        box.put("proc/uptime", "20000.07 1.00\n")
        line = f"{used} bash {IDLE}/guard.sh 180 14400 300"
        done = subprocess.run(["bash", "-c", line], capture_output=True, text=True, check=True)
        return done.stdout.strip()

    assert "/scratch" not in guard()
    box.put("run/gpustation/scratch", "")
    assert "; 60 GiB on /scratch will be lost; this delays it: gpustation keep-awake 2h" in guard()
