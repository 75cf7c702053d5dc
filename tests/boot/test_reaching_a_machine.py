"""``gpustation ssh`` and ``jupyter`` reach a machine that boots, over real OpenSSH, by both routes.

Only a booted machine has an SSH server that asks for pushed keys, and a Jupyter behind a tunnel.
"""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import jsonschema
import pytest

from gpustation.access.report import read_reports
from localaws import LocalAws
from localaws.account.ec2.visitors import VISITOR
from stacks.outputs import WorkstationCommands
from tests.boot.conftest import launched_from
from tests.boot.installed import installed_disk
from tests.boot.workstation import Workstation
from tests.support.cdk_cli import Cdk
from tests.support.desk import Desk
from tests.support.made_once import aws_cli
from tests.support.synthesis import ROOT

PLUGIN = ROOT / "localaws/session_manager"
SCHEMAS = ROOT / "constructs/gpustation/cli/schemas"
SECONDS = 600

pytestmark = pytest.mark.tier("test")


class Person:
    """Somebody with credentials, a state folder, the AWS CLI, and perhaps its plug-in."""

    def __init__(self, aws: LocalAws, folder: Path, plugin: bool = True) -> None:
        path = [str(PLUGIN)] * plugin + [aws_cli(), os.environ["PATH"]]
        state = {"XDG_STATE_HOME": str(folder), "PATH": os.pathsep.join(path)}
        self.environment = aws.environment | state
        self.known_hosts = folder / "gpustation/known_hosts"

    def start(self, *words: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-m", "gpustation", *words],
            cwd=ROOT,
            env=self.environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(self, *words: str, given: str = "") -> tuple[int, str, str]:
        with self.start(*words) as process:
            out, err = process.communicate(given, timeout=SECONDS)
        print(f"$ gpustation {' '.join(words)}\n{out}{err}")
        return process.returncode, out.strip(), err.strip()


@pytest.fixture(scope="module")
def station(
    cloud: LocalAws, cdk: Cdk, distribution: str, tmp_path_factory: pytest.TempPathFactory
) -> Workstation:
    disk = installed_disk(tmp_path_factory, distribution)
    run = cdk.deploy(**launched_from(cloud, disk))
    assert run.status == 0
    made = Workstation(cloud, run.outputs["InstanceId"])
    made.settle()  # its last report comes after its signal
    return made


@pytest.fixture
def person(cloud: LocalAws, tmp_path: Path) -> Person:
    return Person(cloud, tmp_path)


@pytest.fixture
def rule(person: Person, station: Workstation) -> Iterator[None]:
    """Port 22 is open to this computer."""
    assert person.run("allow-my-ip", "--address", VISITOR)[0] == 0
    yield
    assert person.run("allow-my-ip", "--remove")[0] == 0


def test_a_command_runs_once_by_the_open_port_and_its_status_is_passed_on(
    person: Person, rule: None
) -> None:
    status, out, err = person.run("ssh", "--", "cat; id -un; exit 7", given="from here\n")
    assert (status, out.split()) == (7, ["from", "here", "ubuntu"])
    assert "by its public address" in err


def test_without_a_rule_session_manager_carries_it(person: Person, station: Workstation) -> None:
    status, out, err = person.run("ssh", "--", "hostname")
    assert (status, out) == (0, station.sh("hostname"))
    assert "by Session Manager" in err


def test_a_missing_plug_in_is_named(cloud: LocalAws, station: Workstation, tmp_path: Path) -> None:
    status, _, err = Person(cloud, tmp_path, plugin=False).run("ssh", "--", "true")
    assert status == 1 and "session-manager-plugin" in err and "allow-my-ip" in err


def test_a_host_key_that_does_not_match_is_refused_with_the_reason(
    person: Person, station: Workstation
) -> None:
    station.sh("cp -a /etc/ssh /root/ssh; ssh-keygen -A; rm /etc/ssh/ssh_host_*")
    station.sh("ssh-keygen -A && systemctl restart ssh")
    try:
        status, _, err = person.run("ssh", "--", "touch /tmp/reached")
    finally:
        station.sh("rm -rf /etc/ssh; mv /root/ssh /etc/ssh; systemctl restart ssh")
    assert status == 255 and "another host key than the pinned one" in err
    station.sh("! ls /tmp/reached")


def test_without_a_report_the_keys_are_those_of_the_console_or_of_session_manager(
    person: Person, station: Workstation, cloud: LocalAws
) -> None:
    ssm = cloud.client("ssm")
    ((name, report),) = read_reports(ssm).items()
    # The idle stop writes what it decides into the report
    station.sh("systemctl stop gpustation-idle.timer gpustation-idle.service")
    try:
        for _ in range(20):  # the set-up's last report may come seconds after its end
            ssm.put_parameter(Name=name, Value="{}", Overwrite=True)
            time.sleep(3)
            if read_reports(ssm)[name] == "{}":
                break
        status, _, err = person.run("ssh", "--", "true")
    finally:
        ssm.put_parameter(Name=name, Value=report, Overwrite=True)
        station.sh("systemctl start gpustation-idle.timer")
    assert status == 0
    assert "printed on its console" in err or "AWS proves that it is this machine" in err
    assert station.box in person.known_hosts.read_text()


def test_the_tunnel_comes_back_after_a_lost_connection_and_ends_with_ctrl_c(
    person: Person, station: Workstation, rule: None
) -> None:
    station.await_jupyter()
    with person.start("jupyter", "--no-browser") as process:
        assert process.stdout is not None
        url = process.stdout.readline().strip()
        assert re.fullmatch(r"http://localhost:\d+/\?token=[0-9a-f]+", url)
        assert loads(url)
        station.sh("pkill -KILL -u ubuntu sshd")
        await_tunnel(process)
        assert loads(url)
        process.send_signal(signal.SIGINT)
        assert process.wait(SECONDS) == 0
    assert str(person.known_hosts.parent) not in command_lines()


def await_tunnel(process: subprocess.Popen[str]) -> None:
    """Read what `jupyter` says until the tunnel is back."""
    assert process.stderr is not None
    line = ""
    while "the tunnel is back" not in line:
        line = process.stderr.readline()
        assert line


def loads(url: str) -> bool:
    with urllib.request.urlopen(url.replace("/?", "/api/contents?"), timeout=20) as answer:
        return bool(answer.status == 200)


def command_lines() -> str:
    """Of all processes, once those of a tunnel have had a moment to end."""
    time.sleep(1)
    lines = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            lines.append(path.read_text(errors="replace"))
        except OSError:
            continue
    return "\n".join(lines)


def test_a_persons_own_ssh_reaches_it_by_its_name(
    person: Person, station: Workstation, tmp_path: Path
) -> None:
    """As an editor does: plain ssh with the person's configuration."""
    config = tmp_path / "ssh/config"
    config.parent.mkdir()
    config.write_text("Host other\n  User somebody\n")
    options = ("--file", str(config), "--yes")
    assert person.run("ssh-config", *options)[0] == 0
    for _ in range(2):
        done = subprocess.run(
            ["ssh", "-F", config, "GpuWorkstation", "hostname"],
            env=person.environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=SECONDS,
            check=False,
        )
        assert (done.returncode, done.stdout.strip()) == (0, station.sh("hostname")), done.stderr
    assert person.run("ssh-config", "--remove", *options)[0] == 0
    assert config.read_text() == "Host other\n  User somebody\n"


def test_the_machine_tells_its_set_up_its_logs_and_how_full_its_disk_is(
    person: Person, station: Workstation
) -> None:
    station.await_jupyter()
    document = json.loads(person.run("status", "--json")[1])
    set_up = document["workstations"][0]["set_up"]
    assert (set_up["state"], set_up["phase"]) == ("complete", "jupyter-check")
    status, out, _ = person.run("log", "--machine", "--lines", "2")
    assert status == 0
    assert {"==> jupyter", "==> jupyter-check"} <= {*out.splitlines()}
    status, out, _ = person.run("log", "--machine", "--phase", "jupyter", "--json")
    told = json.loads(out)
    jsonschema.validate(told, json.loads((SCHEMAS / "log.json").read_text()))
    (phase,) = told["phases"]
    assert phase["lines"] == station.sh("cat /var/log/gpustation/jupyter.log").splitlines()
    status, _, err = person.run("log", "--machine", "--phase", "no-phase")
    assert status == 1 and "it has those of" in err and "jupyter-check" in err
    status, out, err = person.run("down")
    assert status == 1 and "--yes" in err
    used = int(station.sh("df --block-size=1 --output=used / | tail -n 1")) / 1024**3
    shown = re.search(r"in use +([\d.]+) of [\d.]+ GiB", out)
    assert shown and float(shown[1]) == pytest.approx(used, abs=0.2)


def test_the_machine_is_asked_not_to_stop(person: Person, station: Workstation) -> None:
    status, out, _ = person.run("keep-awake", "2h", "--json")
    assert status == 0
    told = json.loads(out)
    jsonschema.validate(told, json.loads((SCHEMAS / "keep-awake.json").read_text()))
    assert (told["idle_stop"], told["instance_id"]) == (True, station.box)
    status, out, _ = person.run("ssh", "--", "gpustation", "status")
    assert "after 60 min in which nothing moves" in out
    assert "taken back" in person.run("keep-awake", "off")[1]


def test_an_idle_machine_stops_itself_and_everybody_learns_why(
    person: Person, station: Workstation, cloud: LocalAws
) -> None:
    """A real instance: its machine powers itself off, and EC2 stops it, with its disk."""
    times = json.dumps({"window": 20, "cap": 40, "tick": 2, "patience": 60})
    station.await_jupyter()
    station.sh(f"echo '{times}' >/etc/gpustation/idle-times.json; systemctl restart gpustation")
    assert person.run("wait", "--for", "stopped", "--timeout", "300")[0] == 0
    ec2 = cloud.client("ec2")
    ((row,),) = [r["Instances"] for r in ec2.describe_instances()["Reservations"]]
    assert (row["InstanceId"], row["State"]["Name"]) == (station.box, "stopped")
    stopped = dict(line.split("\t", 1) for line in person.run("status")[1].splitlines())
    why = re.search(r"UTC: (nothing moved for \d+ (?:s|min))", stopped["stopped itself"])
    assert why
    (Path(cloud.control.machine_root(station.box)) / "etc/gpustation/idle-times.json").unlink()
    assert person.run("start", "--yes")[0] == 0
    assert why[1] in person.run("ssh", "--", "gpustation status")[1]
    assert why[1] in station.sh("cat /run/motd.d/gpustation-idle")
    assert "STOPS" not in station.sh("ls /home/ubuntu")


@pytest.mark.tier("all")
def test_status_tells_until_when_the_machine_is_kept_awake(
    person: Person, station: Workstation
) -> None:
    """The machine samples once a minute, and reports then."""
    told = json.loads(person.run("keep-awake", "2h", "--json")[1])
    deadline = time.monotonic() + 2 * 60 + SECONDS / 10
    while True:
        (one,) = json.loads(person.run("status", "--json")[1])["workstations"]
        if one["keep_awake_until"]:
            break
        assert time.monotonic() < deadline, one
        time.sleep(1)
    assert one["keep_awake_until"] == told["until"]
    assert one["verdict"]["state"] == "awake"
    assert "kept awake" in person.run("status")[1]
    assert person.run("keep-awake", "off")[0] == 0


@pytest.mark.tier("all")
def test_new_host_keys_are_accepted_only_when_asked(person: Person, station: Workstation) -> None:
    """Somebody makes new keys; the next boot reports them."""
    assert person.run("ssh", "--", "true")[0] == 0
    station.sh("cp -a /etc/ssh /root/ssh; rm /etc/ssh/ssh_host_* && ssh-keygen -A")
    try:
        status, out, _ = person.run("reboot", "--yes")
        assert status == 0 and "set up after" in out
        status, _, err = person.run("ssh", "--", "touch /tmp/reached")
        assert status == 1 and "reports other host keys than before" in err
        station.sh("! ls /tmp/reached")
        status, out, err = person.run("ssh", "--new-host-keys", "--yes", "--", "hostname")
        assert (status, out) == (0, station.sh("hostname"))
        assert "pinned" in err and "reported now" in err
        assert person.run("ssh", "--", "true")[0] == 0
    finally:
        station.sh("rm -rf /etc/ssh; mv /root/ssh /etc/ssh; systemctl restart ssh gpustation")
        station.settle()


@pytest.mark.tier("all")
def test_the_tunnel_starts_the_machine_and_outlives_its_reboot(
    person: Person, station: Workstation, rule: None
) -> None:
    """The whole way: only a machine that really stops and boots loses its tunnel so."""
    station.await_jupyter()
    assert person.run("stop", "--yes")[0] == 0
    assert person.run("jupyter", "--no-browser")[0] == 1
    with person.start("jupyter", "--start", "--yes", "--no-browser") as process:
        assert process.stdout is not None
        url = process.stdout.readline().strip()
        assert loads(url)
        assert person.run("reboot", "--yes")[0] == 0
        await_tunnel(process)
        assert loads(url)
        process.send_signal(signal.SIGINT)
        assert process.wait(SECONDS) == 0


ON_ONE_ROOT = pytest.mark.parametrize("distribution", ["debian-13"], indirect=True, scope="session")
"""For what differs on the person's side only."""


@pytest.mark.tier("all")
@ON_ONE_ROOT
def test_a_browser_shows_jupyterlab_through_the_tunnel_also_after_a_cut(
    person: Person, station: Workstation, rule: None, tmp_path: Path
) -> None:
    """Chromium: only a browser asks for all that JupyterLab's page needs, sockets included."""
    desk = Desk(tmp_path, person.environment)
    station.await_jupyter()
    with person.start("jupyter", "--no-browser") as process:
        assert process.stdout is not None
        url = process.stdout.readline().strip()
        assert "jp-main-dock-panel" in desk.browse(url, "before.png")
        station.sh("pkill -KILL -u ubuntu sshd")
        await_tunnel(process)
        assert "jp-main-dock-panel" in desk.browse(url, "after.png")
        process.send_signal(signal.SIGINT)
        assert process.wait(SECONDS) == 0
    assert (tmp_path / "after.png").stat().st_size > 20_000  # a blank page has some 5,000 bytes


@pytest.mark.tier("all")
@ON_ONE_ROOT
def test_the_printed_commands_work_with_aws_cli_2(
    person: Person, station: Workstation, rule: None, tmp_path: Path
) -> None:
    """Only AWS CLI 2 has ``ec2-instance-connect ssh``; it is no package of Python's index."""
    desk = Desk(tmp_path, person.environment)
    assert re.match(r"aws-cli/2\.", desk.run("aws", "--version")[1])
    station.await_jupyter()
    commands = WorkstationCommands(station.box, "us-east-1", inbound_rule=True)
    # A person says yes to the unknown host key once
    key = " ".join(station.sh("cat /etc/ssh/ssh_host_ed25519_key.pub").split()[:2])
    (tmp_path / ".ssh").mkdir(mode=0o700)
    (machine,) = json.loads(person.run("status", "--json")[1])["workstations"]
    address = machine["machine"]["address"]
    (tmp_path / ".ssh/known_hosts").write_text(f"{address} {key}\n")
    status, out, _ = desk.run("sh", "-c", commands.ssh, given="hostname; exit 7\n")
    assert (status, out.splitlines()[-1]) == (7, station.sh("hostname"))
    with desk.start("sh", "-c", commands.jupyter) as process:
        assert process.stdout is not None
        url = ""
        while "token=" not in url:
            url = process.stdout.readline()
            assert url
        assert loads(url.strip())
        process.kill()
    assert desk.run("sh", "-c", commands.stop)[0] == 0
    assert person.run("wait", "--for", "stopped")[0] == 0
    assert desk.run("sh", "-c", commands.start)[0] == 0
    assert person.run("wait", "--for", "running")[0] == 0


@pytest.mark.tier("all")
def test_the_machine_is_measured_and_its_record_compared(
    person: Person, station: Workstation, tmp_path: Path
) -> None:
    """Without a GPU it measures the processor, and says so."""
    record = tmp_path / "cpu.json"
    status, _, err = person.run("bench", "--quick", "--output", str(record))
    assert status == 0
    assert "no GPU, the processor was measured" in err
    document = json.loads(record.read_text())
    schema = json.loads((SCHEMAS / "bench.json").read_text())
    jsonschema.validate(document, schema)
    status, out, _ = person.run("bench", "compare", str(record))
    assert (status, len(out.splitlines())) == (0, 1)
    assert station.sh("find /tmp -maxdepth 1 -name 'tmp.*'") == ""
