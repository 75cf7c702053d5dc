"""What the idle stop samples, tells and does: its real programs, on a folder that stands for the
machine and with commands that print what the real ones do.

What only a machine that boots can show is in ``tests/boot/test_idle_stop.py``.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from types import SimpleNamespace
from typing import Any

import pytest
from idle_bench import IDLE, Box


@pytest.fixture
def sample(idle: Any) -> Any:
    """Takes samples one after the other, each with the counters of the one before."""
    counters: dict[str, Any] = {}

    def take() -> Any:
        sampler = idle.collect.Sampler(counters.copy(), 8888)
        seen = sampler.sample(1, 0)
        counters.clear()
        counters.update(json.loads(json.dumps(sampler.counters)))
        return seen

    return take


def test_the_first_sample_has_no_movement(box: Box, sample: Any) -> None:
    box.group("user.slice", 5000)
    box.process(10, "/user.slice/session-1.scope", io=10**9)

    assert sample().moved == dict.fromkeys(
        ("gpu", "input", "cpu", "disk", "network", "kernels"), 0.0
    )


@pytest.mark.parametrize(
    "group", ["user.slice", "system.slice", "docker", "kubepods.slice", "machine.slice"]
)
def test_cpu_of_any_cgroup_counts(box: Box, sample: Any, group: str) -> None:
    sample()
    box.group(group, 7)

    assert sample().moved["cpu"] == pytest.approx(7)


@pytest.mark.parametrize("group", ["init.scope", "gpustation.slice"])
def test_cpu_of_the_idle_stop_itself_does_not_count(box: Box, sample: Any, group: str) -> None:
    sample()
    box.group(group, 7)

    assert sample().moved["cpu"] == 0


def test_cpu_of_upkeep_does_not_count_also_when_it_has_ended(box: Box, sample: Any) -> None:
    box.group("system.slice", 10)
    box.units(cpu=4 * 10**9)
    sample()
    # It went on for 3 s, and a second start used 20 s and ended
    box.group("system.slice", 33)
    box.units(run="a2", cpu=20 * 10**9)
    first = sample().moved["cpu"]
    box.group("system.slice", 34)

    assert first == pytest.approx(3), "what a unit used after its last sample counts"
    assert sample().moved["cpu"] == pytest.approx(1)


def test_what_the_idle_stop_uses_is_not_taken_off_others_work(box: Box, sample: Any) -> None:
    units = (box.root / "units").read_text()

    def idle_stop(run: str, seconds: int) -> None:
        state = f"Id=gpustation-idle.service\nInvocationID={run}\nSlice=gpustation.slice\n"
        box.put("units", f"{units}\n{state}CPUUsageNSec={seconds * 10**9}\n")

    idle_stop("i1", 5)
    box.group("gpustation.slice", 5)
    sample()
    idle_stop("i2", 6)
    box.group("gpustation.slice", 11)
    box.group("system.slice", 3)
    assert sample().moved["cpu"] == pytest.approx(3)


@pytest.mark.parametrize(
    "command",
    [
        "/home/ubuntu/.vscode-server/bin/x/node --type=extensionHost",
        "sshd: ubuntu@pts/0",
        "sshd-session: ubuntu@notty",
        "/usr/lib/openssh/sftp-server",
        "/usr/bin/ssm-session-worker a b",
    ],
)
def test_carriers_do_not_count_but_what_they_start_does(
    box: Box, sample: Any, command: str
) -> None:
    sample()
    box.process(20, "/user.slice/session-1.scope", command, cpu=9, io=10**9)
    box.group("user.slice", 9)
    carrier = sample()
    box.process(21, "/user.slice/session-1.scope", "python3 train.py", cpu=5, io=50, parent=20)
    box.group("user.slice", 14)
    child = sample()

    if "sftp" in command:
        assert carrier.moved["disk"] == 10**9, "a file that is copied to the machine"
    else:
        assert (carrier.moved["cpu"], carrier.moved["disk"]) == (pytest.approx(0), 0)
        assert (child.moved["cpu"], child.moved["disk"]) == (pytest.approx(5), 50)


def test_work_of_a_login_without_a_session_counts(box: Box, sample: Any) -> None:
    """With ``UsePAM no`` what a person runs is in the unit of sshd."""
    units = (box.root / "units").read_text()

    def ssh(seconds: int, uid: int) -> None:
        state = f"Id=ssh.service\nInvocationID=s\nCPUUsageNSec={seconds * 10**9}\n"
        box.put("units", f"{units}\n{state}")
        box.group("system.slice", seconds)
        box.process(25, "/system.slice/ssh.service", "python3 train.py", cpu=seconds, io=50)
        os.chown(box.root / "proc/25", uid, uid)

    ssh(1, 0)
    sample()
    ssh(9, 0)
    assert sample().moved["cpu"] == 0, "it is root's, and so part of sshd"
    ssh(17, 1000)
    seen = sample()
    assert (seen.moved["cpu"], seen.moved["disk"]) == (pytest.approx(8), 50)


def test_the_disk_of_upkeep_and_the_kernel_does_not_count(box: Box, sample: Any) -> None:
    sample()
    box.process(30, "/system.slice/apt-daily.service", "apt-get update", io=10**9)
    box.process(31, "/", "kworker", io=10**9)
    box.process(1, "/init.scope", "/sbin/init", io=10**9)
    assert sample().moved["disk"] == 0
    box.process(32, "/system.slice/run-u1.service", "dd", io=10**6)
    assert sample().moved["disk"] == 10**6


def test_the_network_counts_without_session_manager(box: Box, sample: Any) -> None:
    sample()
    rules = (box.root / "rules").read_text()
    assert "tcp dport { 22 } accept" in rules and "iif lo accept" in rules
    box.put("moved", "9000")
    box.put(
        "established",
        '0 0 10.0.0.4:50 1.2.3.4:443 users:(("ssm-session-wor",pid=9,fd=3)) '
        "bytes_acked:3000 bytes_received:1000 segs_out:10 segs_in:10\n"
        '0 0 10.0.0.4:51 1.2.3.4:443 users:(("python3",pid=8,fd=3)) bytes_acked:700\n',
    )

    assert sample().moved["network"] == 9000 - 4000 - 20 * 52


def test_downloads_of_an_upgrade_do_not_count(box: Box, sample: Any) -> None:
    sample()
    box.put("moved", "9000")
    box.units(run="a2")
    assert sample().moved["network"] == 0, "it began and ended since"
    box.put("moved", "19000")
    box.units(apt="activating", run="a2")
    assert sample().moved["network"] == 0, "it runs"
    box.put("moved", "29000")
    box.units(run="a2")
    assert sample().moved["network"] == 10000


def test_another_port_of_sshd_replaces_the_rules(box: Box, sample: Any) -> None:
    sample()
    box.put("moved", "500")
    box.put("listening", 'LISTEN 0 128 0.0.0.0:2222 0.0.0.0:* users:(("sshd",pid=1,fd=3))\n')

    assert sample().moved["network"] == 500, "what the old rules had counted"
    assert "tcp dport { 22, 2222 } accept" in (box.root / "rules").read_text()


def test_rules_that_somebody_removed_are_unknown_once_and_come_back(box: Box, sample: Any) -> None:
    sample()
    (box.root / "moved").unlink()
    gone = sample()
    assert gone.moved["network"] is None and "nft" in gone.faults["network"]
    assert sample().moved["network"] == 0
    box.put("moved", "700")
    assert sample().moved["network"] == 700


def test_the_highest_gpu_counts(box: Box, sample: Any) -> None:
    box.put("smi", "0\n97\n3\n")
    assert sample().moved["gpu"] == 97


@pytest.mark.parametrize("printed", ["", "[N/A]\n", "0\nNo devices were found\n"])
def test_a_gpu_that_does_not_say_is_unknown(box: Box, sample: Any, printed: str) -> None:
    box.put("smi", printed)
    seen = sample()
    assert seen.moved["gpu"] is None
    assert "nvidia-smi should print percentages" in seen.faults["gpu"]


def test_a_driver_that_hangs_is_asked_once(
    box: Box, idle: Any, sample: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(idle.system, "COMMAND_SECONDS", 0.3)
    smi = box.root.parent / "bin/nvidia-smi"
    smi.write_text('#!/bin/bash\necho x >>"$GPUSTATION_ROOT/asked"\nsleep 30\n')
    assert "did not end within" in sample().faults["gpu"]
    # In the folder, its process is there for ever, as one that cannot be killed would be
    monkeypatch.setattr(
        idle.collect, "read_process", lambda path: SimpleNamespace(pid=int(path.name), started=7)
    )
    sample()
    assert "nvidia-smi hangs" in sample().faults["gpu"]
    assert len((box.root / "asked").read_text()) == 4


def test_typed_input_counts_once(box: Box, sample: Any) -> None:
    terminal = box.root / "dev/pts/0"
    os.utime(terminal, (1000, 1000))
    sample()
    os.utime(terminal, (1040, 1000))
    assert sample().moved["input"] == 1
    assert sample().moved["input"] == 0
    os.utime(terminal, (1040, 2000))
    assert sample().moved["input"] == 0, "output is not input"


KERNEL = "/opt/env/bin/python -m ipykernel_launcher -f /run/jupyter/kernel-ab.json"
ANSWER = {"x86_64": "7 0x7ffc 0x1 0xa 0x0 0x0 0x0 0x7ffc 0x7f12\n", "aarch64": "73 0x7ffc 0x1 0x\n"}


@pytest.mark.parametrize("unit", ["gpustation-jupyter.service", "run-notebook.service"])
@pytest.mark.parametrize(
    ("command", "call", "asks", "cpu", "counts"),
    [
        (KERNEL, ANSWER[os.uname().machine], 96 * 60, 1.4, False),
        (KERNEL.replace("kernel-ab", "kernel-v3f"), ANSWER[os.uname().machine], 3100, 1.4, False),
        (KERNEL, ANSWER[os.uname().machine], 60, 1.4, True),
        (KERNEL, ANSWER[os.uname().machine], 96 * 60, 6.0, True),
        (KERNEL, ANSWER[os.uname().machine], 110 * 60, 1.4, True),
        (KERNEL, "230 0x1 0x1 0x7ffc 0x0 0x0 0x0 0x7ffc 0x7f12\n", 96 * 60, 1.4, True),
        (KERNEL, "running\n", 96 * 60, 1.4, True),
        ("python3 train.py", ANSWER[os.uname().machine], 96 * 60, 1.4, True),
    ],
    ids=["input", "busy-cpu", "computes-at-times", "computes", "reads", "sleeps", "runs", "other"],
)
def test_a_kernel_that_waits_in_input_is_no_work(
    box: Box, sample: Any, unit: str, command: str, call: str, asks: int, cpu: float, counts: bool
) -> None:
    def at(seconds: int, asked: int, used: float) -> Any:
        box.put("proc/uptime", f"{1000 + seconds}.00 1.00\n")
        box.process(80, f"/system.slice/{unit}", command, cpu=5 + used)
        box.put("proc/80/status", f"Name:\tpython\nvoluntary_ctxt_switches:\t{500 + asked}\n")
        box.put("proc/80/syscall", call)
        box.group("system.slice", 8 + used)
        return sample().moved["cpu"]

    assert at(0, 0, 0) == 0
    assert at(60, asks, cpu) == pytest.approx(cpu if counts else 0)
    assert at(120, asks, cpu + 0.3) == pytest.approx(0.3), "not twice"


def test_who_is_there(box: Box, sample: Any) -> None:
    box.put("sessions", "1 1000 ubuntu - pts/0\n2 1000 ubuntu - -\n3 0 root\n4 1000 ubuntu\n")
    for name, kind, state in (
        ("1", "user", "active"),
        ("2", "user", "closing"),
        ("3", "background", "active"),
        ("4", "manager", "active"),
    ):
        box.put(f"session-{name}", f"Class={kind}\nState={state}\n")
    box.put("tabs", "0 0 127.0.0.1:8888 127.0.0.1:5\n0 0 127.0.0.1:8888 127.0.0.1:6\n")
    box.process(40, "/system.slice/x.service", "ssm-session-worker a")

    assert sample().present == [
        "1 open session",
        "2 open connections to Jupyter",
        "1 Session Manager session",
    ]


def test_a_login_that_logind_does_not_know_of_is_somebody(box: Box, sample: Any) -> None:
    box.process(41, "/system.slice/ssh.service", "sshd-session: ubuntu [priv]")
    box.process(42, "/system.slice/ssh.service", "sshd-session: root [preauth]")
    assert sample().present == []
    box.process(43, "/system.slice/ssh.service", "sshd-session: ubuntu@notty")
    box.process(44, "/system.slice/ssh.service", "sshd: ubuntu@pts/0")
    assert sample().present == ["2 open sessions"]


def test_who_is_there_is_somebody_if_it_cannot_be_found_out(box: Box, sample: Any) -> None:
    (box.root / "sessions").unlink()
    (present,) = sample().present
    assert present.startswith("unknown (loginctl exited 1")


def test_without_systemctl_nothing_of_the_programs_is_known(box: Box, sample: Any) -> None:
    (box.root / "units").unlink()
    seen = sample()
    assert [name for name, value in seen.moved.items() if value is None] == [
        *("cpu", "disk", "network"),
    ]
    assert "systemctl exited 1" in seen.faults["cpu"]


def test_the_way_to_a_stop(box: Box, watch: Any) -> None:
    """Quiet for an hour: warned at 55 minutes, everywhere; stopped at 60, with its reason."""
    notices = box.root / "home/ubuntu"
    for minute in range(61):
        verdict = watch(minute * 60)
        assert verdict["state"] == ("awake" if minute < 55 else "warned" if minute < 60 else "stop")
        if minute == 56:
            message = (box.root / "run/motd.d/gpustation-idle").read_text()
            assert "STOPS AT" in message and "keep-awake 2h" in message
            (notice,) = notices.glob("THIS-MACHINE-STOPS-AT-*-UTC.txt")
            assert "STOPS AT" in notice.read_text()
            assert "STOPS AT" in (box.root / "wall").read_text()
    stop = json.loads((box.root / "var/lib/gpustation/last-stop.json").read_text())
    assert stop["reason"] == "nothing moved for 60 min"
    assert (box.root / "calls").read_text() == "systemctl poweroff\n"
    # At the boot's begin, at the warning, at the stop, and with its reason
    assert len(watch.reports) == 5


def test_movement_takes_everything_back(box: Box, watch: Any) -> None:
    for minute in range(57):
        watch(minute * 60)
    box.put("smi", "80\n")
    assert watch(57 * 60)["state"] == "awake"
    assert not [*(box.root / "home/ubuntu").iterdir()]
    assert (box.root / "wall").read_text().splitlines()[-1].endswith("stays on: GPU use of 80 %")
    assert "awake until" in (box.root / "run/motd.d/gpustation-idle").read_text()


def test_the_next_boot_tells_the_reason_of_the_last_stop_and_the_one_after_does_not(
    box: Box, watch: Any, idle: Any
) -> None:
    box.put("var/lib/gpustation/last-stop.json", '{"at": 0, "reason": "nothing moved for 60 min"}')
    watch(60)
    message = box.root / "run/motd.d/gpustation-idle"
    assert "stopped itself at 1970-01-01 00:00 UTC: nothing moved" in message.read_text()
    assert not (box.root / "var/lib/gpustation/last-stop.json").exists()
    for path in (box.root / "run/gpustation/idle").iterdir():
        path.unlink()
    watch(60)
    assert "stopped itself" not in message.read_text()


def test_a_damaged_memory_begins_again(box: Box, watch: Any) -> None:
    for minute in range(58):
        watch(minute * 60)
    box.put("run/gpustation/idle/memory.json", '{"samples": [{"at"')
    assert watch(60 * 60)["state"] == "awake"


def test_only_roots_file_changes_the_times(box: Box, idle: Any) -> None:
    times = box.put("etc/gpustation/idle-times.json", '{"window": 60, "tick": 6}')
    changed = idle.policy.read_policy({"idle_stop_minutes": 60})
    times.chmod(0o666)
    ignored = idle.policy.read_policy({"idle_stop_minutes": 60})
    assert (changed.window, changed.tick, ignored.window) == (60, 6, 3600)


def test_a_request_keeps_it_awake_and_is_told(box: Box, watch: Any, idle: Any) -> None:
    watch(0)
    assert idle.person.main(["keep-awake", "2h"]) == 0
    for minute in range(1, 70):
        verdict = watch(minute * 60)
    assert verdict["state"] == "awake"
    assert verdict["keep_awake_until"] == pytest.approx(time.time() + 7200, abs=60)
    assert idle.person.main(["keep-awake", "off"]) == 0
    assert watch(71 * 60)["state"] == "warned"


@pytest.mark.parametrize(
    ("mark", "words"),
    [
        ('{"until": 99999999999}', "asked for more than 24 h"),
        ("until tomorrow", "is not valid"),
        ('{"until": "9"}', "not a number"),
        ("{}", "is not valid"),
        (None, "it is not a file"),
        ("link", "is not valid"),
    ],
)
def test_a_request_that_is_none_is_ignored_with_a_warning(
    box: Box, watch: Any, idle: Any, mark: str | None, words: str
) -> None:
    folder = box.root / "run/gpustation/keep-awake"
    folder.mkdir(parents=True)
    if mark is None:
        os.mkfifo(folder / "1000")
    elif mark == "link":
        (folder / "1000").symlink_to(box.put("secret", '{"until": 9}'))
    else:
        (folder / "1000").write_text(mark)
    verdict = watch(0)
    assert verdict["keep_awake_until"] is None
    assert words in verdict["warnings"][-1]


def test_an_expired_request_is_nothing(box: Box, watch: Any) -> None:
    box.put("run/gpustation/keep-awake/1000", json.dumps({"until": int(time.time()) - 1}))
    assert watch(0)["warnings"] == []


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        *(("45m", 2700), ("2h", 7200), ("24h", 86400), ("25h", None), ("0m", None)),
        *(("2", None), ("1441m", None), ("-1h", None), ("2 h", None), ("٣h", None)),
    ],
)
def test_durations(idle: Any, text: str, seconds: int | None) -> None:
    assert idle.person.duration(text) == seconds


def run(box: Box, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-I", IDLE, *words], capture_output=True, text=True, check=False
    )


def test_the_command_of_the_machine(box: Box, watch: Any) -> None:
    assert "idle stop  off" in run(box, "status").stdout
    assert json.loads(run(box, "keep-awake", "2h", "--json").stdout) == {
        "idle_stop": False,
        "until": None,
        "daily_stop_at": None,
    }
    watch(0)
    shown = run(box, "status")
    assert shown.returncode == 0
    assert "after 60 min in which nothing moves" in shown.stdout
    assert "the first window of this boot" in shown.stdout
    until = json.loads(run(box, "keep-awake", "2h", "--json").stdout)["until"]
    assert until == pytest.approx(time.time() + 7200, abs=60)
    assert "idleness does not stop this machine before 20" in run(box, "keep-awake", "1h").stdout
    wrong = run(box, "keep-awake", "2days")
    assert (wrong.returncode, wrong.stdout) == (2, "")
    assert "such as 45m or 2h" in wrong.stderr
    assert run(box, "stop").returncode == 2
    assert "keep-awake" in run(box, "--help").stdout


def test_an_old_verdict_is_told_as_old(box: Box, watch: Any) -> None:
    watch(0)
    path = box.root / "run/gpustation/idle/verdict.json"
    verdict = json.loads(path.read_text())
    path.write_text(json.dumps({**verdict, "decided_at": verdict["decided_at"] - 600}))
    shown = run(box, "status")
    assert shown.returncode == 1
    assert "no verdict for 10 min" in shown.stdout


def test_what_the_guard_tells_is_in_the_status_in_place_of_an_old_prediction(
    box: Box, watch: Any
) -> None:
    watch(0)
    assert "stops " in run(box, "status").stdout
    box.put("run/motd.d/gpustation-guard", "gpustation: nothing decides; it stops in 4 h\n")
    shown = run(box, "status")
    assert shown.returncode == 1
    rows = {line[:10].strip(): line[12:] for line in shown.stdout.splitlines()}
    assert rows["warning"] == "nothing decides; it stops in 4 h"
    assert "stops" not in rows
    (box.root / "run/gpustation/idle/verdict.json").unlink()
    assert "nothing decides; it stops in 4 h" in run(box, "status").stdout


class Guard:
    """Runs guard.sh at a second of the uptime, with 180 s, 4 h and 5 min."""

    def __init__(self, box: Box) -> None:
        self.box = box
        box.put("var/lib/gpustation/settings.json", '{"report": ""}')
        box.put("run/gpustation/idle/decided", "1000\n")

    def at(self, seconds: int) -> str:
        self.box.put("proc/uptime", f"{1000 + seconds}.07 1.00\n")
        words = ["bash", IDLE / "guard.sh", "180", "14400", "300"]
        done = subprocess.run(words, capture_output=True, text=True, check=True)
        return done.stdout.strip()

    @property
    def stopped(self) -> bool:
        return (self.box.root / "calls").exists()


@pytest.fixture
def guard(box: Box) -> Guard:
    return Guard(box)


def test_the_guard_warns_after_three_minutes_without_a_verdict(box: Box, guard: Guard) -> None:
    message = box.root / "run/motd.d/gpustation-guard"
    assert guard.at(180) == ""
    assert "nothing decides whether this machine is idle" in guard.at(181)
    assert "it stops in 4 h" in message.read_text()
    assert guard.at(360) == "", "once"
    box.put("run/gpustation/idle/decided", "1500\n")
    assert guard.at(540) == "the idle stop works again"
    assert not message.exists()


def test_the_guard_stops_the_machine_after_hours_and_a_warning(box: Box, guard: Guard) -> None:
    guard.at(200)
    guard.at(200 + 14399)
    assert not guard.stopped
    assert "stops in 5 min: nothing decided for 240 min" in guard.at(200 + 14400)
    guard.at(200 + 14699)
    assert not guard.stopped
    guard.at(200 + 14700)
    assert guard.stopped
    stop = json.loads((box.root / "var/lib/gpustation/last-stop.json").read_text())
    assert stop["reason"] == "nothing decided for 245 min whether it was idle"


def test_the_guard_respects_a_request(box: Box, guard: Guard) -> None:
    guard.at(200)
    box.put("run/gpustation/keep-awake/1000", json.dumps({"until": int(time.time()) + 3600}))
    assert guard.at(200 + 20000) == ""
    guard.at(200 + 30000)
    assert not guard.stopped


def test_the_guard_takes_damaged_files_for_none(box: Box, guard: Guard) -> None:
    box.put("run/gpustation/idle/decided", "soon; rm -rf /\n")
    assert "nothing decides" in guard.at(181)
