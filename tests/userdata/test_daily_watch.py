"""What the watcher tells and does about the daily stop, with a clock that the tests move."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from cloud_bench import PARAMETER, Cloud
from idle_bench import IDLE, Box
from machine_bench import USERDATA

BERLIN = ZoneInfo("Europe/Berlin")
SETTINGS = {"idle_stop_minutes": 0, "report": "/p", "home": "/home/ubuntu"}
AT_22 = {"stop_at": "22:00 Europe/Berlin", "stop_at_patience": 0}


class Evening:
    """A machine in the evening of 2026-06-01, whose clock stands still unless it waits."""

    def __init__(self, box: Box, idle: Any, watch: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        self.box, self.idle, self.run = box, idle, watch
        self.now = self.clock("12:00")
        self.booted = self.now
        self.waited: list[float] = []
        self.deployed: dict[str, Any] | None = None
        monkeypatch.setattr(idle.watch, "time", self)
        monkeypatch.setattr(idle.tell.time, "time", lambda: self.now)
        monkeypatch.setattr(idle.watch, "run", self._deployed)
        self.set(**AT_22)

    @staticmethod
    def clock(text: str) -> float:
        return datetime.fromisoformat(f"2026-06-01 {text}").replace(tzinfo=BERLIN).timestamp()

    def time(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds
        self.waited.append(seconds)

    def set(self, **settings: Any) -> None:
        """The settings that the machine has read at its boot, and those of the stack."""
        self.box.put("var/lib/gpustation/settings.json", json.dumps({**SETTINGS, **settings}))
        self.deployed = settings

    def _deployed(self, *_command: str) -> str:
        if self.deployed is None:
            raise OSError("python3 exited 1: settings parameter p did not answer")
        return f"gpustation: a line of its log\n{json.dumps(self.deployed)}\n"

    def look(self, at: str) -> dict[str, Any]:
        """The verdict of the watcher that looks at this time."""
        self.now = self.clock(at)
        # The bench counts from an uptime of 1000 seconds
        verdict: dict[str, Any] = self.run(self.now - self.booted - 1000)
        return verdict

    def look_each_minute(self, first: str, last: str) -> dict[str, Any]:
        """The last verdict; without a gap, in which something may have moved."""
        start, end = self.clock(first), self.clock(last)
        for minute in range(int(end - start) // 60 + 1):
            moment = datetime.fromtimestamp(start + 60 * minute, BERLIN)
            verdict = self.look(f"{moment:%H:%M:%S}")
        return verdict

    @property
    def calls(self) -> str:
        path = self.box.root / "calls"
        return path.read_text() if path.exists() else ""

    @property
    def reason(self) -> str:
        path = self.box.root / "var/lib/gpustation/last-stop.json"
        return str(json.loads(path.read_text())["reason"]) if path.exists() else ""

    def ask(self, until: str) -> None:
        mark = {"until": int(self.clock(until))}
        self.box.put("run/gpustation/keep-awake/1000", json.dumps(mark))


@pytest.fixture
def evening(box: Box, idle: Any, watch: Any, monkeypatch: pytest.MonkeyPatch) -> Evening:
    return Evening(box, idle, watch, monkeypatch)


def test_the_way_to_the_daily_stop(evening: Evening) -> None:
    """Warned five minutes before, everywhere; stopped in the second, with its reason noted."""
    verdict = evening.look("21:53")
    assert verdict["state"] == "awake"
    assert verdict["daily_stop"] == {
        "rule": "daily stop at 22:00 Europe/Berlin",
        "stops_at": evening.clock("22:00"),
        "latest": evening.clock("22:00"),
    }
    assert evening.look("21:54")["state"] == "warned"
    text = "STOPS AT 2026-06-01 20:00 UTC: daily stop at 22:00 Europe/Berlin"
    for told in ("run/motd.d/gpustation-idle", "wall"):
        assert text in (evening.box.root / told).read_text()
        assert "keep-awake" not in (evening.box.root / told).read_text(), "it would not help"
    home = evening.box.root / "home/ubuntu"
    (notice,) = home.glob("THIS-MACHINE-STOPS-AT-20.00-UTC.txt")
    assert text in notice.read_text()
    assert evening.look("21:58:20")["state"] == "warned"
    assert evening.waited == []
    assert evening.look("21:59:12")["state"] == "stop"
    assert evening.now == evening.clock("22:00"), "it waited for the second"
    assert evening.calls == "systemctl poweroff\n"
    assert evening.reason == "daily stop at 22:00 Europe/Berlin"


@pytest.mark.parametrize("idle_minutes", [0, 60])
def test_work_delays_it_within_the_patience(evening: Evening, idle_minutes: int) -> None:
    evening.set(idle_stop_minutes=idle_minutes, **{**AT_22, "stop_at_patience": 30})
    evening.box.put("smi", "80\n")
    evening.look("21:40")
    assert evening.look("21:55")["state"] == "awake"
    assert evening.look("22:00:10")["state"] == "awake"
    verdict = evening.look("22:24")
    assert verdict["state"] == "warned"
    assert verdict["stops_at"] == evening.clock("22:30")
    assert "delayed by 30 min at most: GPU use of 80 %" in verdict["reason"]
    assert evening.look("22:29:01")["state"] == "stop"
    assert evening.now == evening.clock("22:30")


def test_work_that_begins_in_the_last_minute_delays_it_too(evening: Evening) -> None:
    evening.set(**{**AT_22, "stop_at_patience": 30})
    assert evening.look_each_minute("21:52:12", "21:58:12")["state"] == "warned"

    def work(seconds: float) -> None:
        evening.now += seconds
        evening.box.put("smi", "80\n")

    evening.sleep = work  # type: ignore[method-assign]
    assert evening.look("21:59:12")["state"] == "awake"
    assert evening.now == evening.clock("22:00")
    assert evening.calls == ""
    assert "stays on" in (evening.box.root / "wall").read_text().splitlines()[-1]


def test_a_request_delays_it_within_the_patience(evening: Evening) -> None:
    evening.set(**{**AT_22, "stop_at_patience": 120})
    evening.ask("23:00")
    assert evening.look_each_minute("21:58:30", "22:52:30")["state"] == "awake"
    assert evening.look_each_minute("22:53:30", "22:57:30")["state"] == "warned"
    assert evening.look("22:59:30")["state"] == "stop"
    assert evening.now == evening.clock("23:00")


def test_without_patience_a_request_does_not_delay_it(evening: Evening) -> None:
    evening.ask("23:00")
    assert evening.look("21:54")["state"] == "warned"
    assert evening.look("21:59:30")["state"] == "stop"


def test_a_machine_started_after_it_is_not_stopped_before_the_next_day(evening: Evening) -> None:
    evening.booted = evening.clock("22:00:01")
    for at in ("22:01", "22:04", "23:59"):
        verdict = evening.look(at)
        assert verdict["state"] == "awake"
    assert verdict["daily_stop"]["stops_at"] == evening.clock("22:00") + 24 * 3600


@pytest.mark.parametrize(
    "later", [{"stop_at": "23:00 Europe/Berlin", "stop_at_patience": 0}, {"stop_at": ""}, {}]
)
def test_what_a_deploy_changed_meanwhile_counts(evening: Evening, later: dict[str, Any]) -> None:
    evening.deployed = later
    assert evening.look("21:54")["state"] == "awake"
    assert not (evening.box.root / "wall").exists()
    evening.deployed = None
    assert evening.look("22:00:10")["state"] == "awake", "it is noted for this boot"
    assert evening.calls == ""


def test_a_change_after_the_warning_counts_too(evening: Evening) -> None:
    evening.look("21:54")
    evening.deployed = {"stop_at": "23:00 Europe/Berlin", "stop_at_patience": 0}
    assert evening.look("21:59:30")["state"] == "awake"
    assert evening.calls == ""
    assert not [*(evening.box.root / "home/ubuntu").iterdir()]


def test_settings_of_the_next_boot_replace_what_was_read_again(evening: Evening) -> None:
    evening.deployed = {"stop_at": ""}
    evening.look("21:54")
    evening.set(stop_at="22:10 Europe/Berlin", stop_at_patience=0)
    assert evening.look("22:05")["state"] == "warned"


def test_what_cannot_be_read_again_stops_nothing_and_is_told(evening: Evening) -> None:
    evening.deployed = None
    verdict = evening.look("21:54")
    assert verdict["state"] == "warned"
    assert "could not be read again: python3 exited 1" in verdict["warnings"][0]
    assert evening.look("21:59:30")["state"] == "warned"
    for at in ("22:00:30", "22:04"):
        verdict = evening.look(at)
        assert verdict["state"] == "warned"
        assert "its schedule on AWS stops the machine" in verdict["warnings"][-1]
    assert evening.look("22:06")["state"] == "awake"
    assert evening.calls == ""


def test_without_a_stack_the_machines_own_setting_counts(evening: Evening) -> None:
    (evening.box.root / "etc/gpustation/bootstrap.json").unlink()
    evening.deployed = None
    evening.look("21:54")
    assert evening.look("21:59:30")["state"] == "stop"


def test_an_unknown_time_zone_is_told_and_left_to_the_schedule(evening: Evening) -> None:
    evening.set(stop_at="22:00 US/Somewhere", stop_at_patience=0)
    verdict = evening.look("21:54")
    assert verdict["state"] == "awake"
    assert verdict["daily_stop"] is None
    assert verdict["stops_at"] == 0
    assert "does not know the time zone US/Somewhere" in verdict["warnings"][0]
    assert "its schedule on AWS acts" in verdict["warnings"][0]


def test_the_idle_stop_comes_first_if_it_is_earlier(evening: Evening) -> None:
    evening.set(idle_stop_minutes=60, **AT_22)
    evening.look("12:00")
    for minute in range(1, 60):
        evening.look(f"12:{minute:02}")
    assert evening.look("13:00")["state"] == "stop"
    assert evening.reason == "nothing moved for 60 min"


def run(*words: str) -> str:
    done = subprocess.run(
        [sys.executable, "-I", IDLE, *words], capture_output=True, text=True, check=False
    )
    return done.stdout


def test_the_command_of_the_machine_shows_it(evening: Evening) -> None:
    evening.look("20:00")
    shown = run("status")
    assert "idle stop   off\n" in shown
    at = "2026-06-01 20:00 UTC"
    assert f"daily stop  at 22:00 Europe/Berlin: {at}, {at} at the latest" in shown
    kept = run("keep-awake", "2h")
    assert "idleness does not stop this machine before" in kept
    assert f"but its daily stop at 22:00 Europe/Berlin does, at {at} at the latest" in kept
    answer = json.loads(run("keep-awake", "1h", "--json"))
    assert answer["idle_stop"] is False
    assert answer["daily_stop_at"] == evening.clock("22:00")
    assert "taken back" in run("keep-awake", "off")


def test_the_setting_is_read_from_the_stacks_parameter(box: Box, cloud: Cloud) -> None:
    """With the agent's signed request, to the stand-in of AWS that the set-up's tests use."""
    agent = box.put("opt/gpustation/agent.py", (USERDATA / "bootstrap/agent.py").read_text())
    box.put(
        "etc/gpustation/bootstrap.json",
        json.dumps({"region": "us-east-1", "settings_parameter": PARAMETER}),
    )
    cloud.settings = {**cloud.settings, **AT_22}
    environment = {
        **os.environ,
        "AWS_EC2_METADATA_SERVICE_ENDPOINT": cloud.address,
        "AWS_ENDPOINT_URL": cloud.address,
    }
    command = [sys.executable, "-I", IDLE / "deployed.py"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout.splitlines()[-1]) == AT_22
    agent.unlink()
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "agent.py" in done.stderr
