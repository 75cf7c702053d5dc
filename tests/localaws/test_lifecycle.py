"""The child's start and end: loopback only, and nothing outlives its owner."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from localaws import LocalAws, LocalAwsError, server
from localaws.machines.processes import _living
from tests.support.probe_stack import UBUNTU

ROOT = Path(server.__file__).parent.parent
SESSION = 3
OWNER = f"""
import json, sys, time
sys.path[:0] = [{str(ROOT)!r}, {str(Path(__file__).parent)!r}]
from localaws import LocalAws
from test_lifecycle import launch_sleeper
with LocalAws() as aws:
    launch_sleeper(aws)
    time.sleep(0.3)
    print(json.dumps({{"pid": aws.pid, "state": str(aws.log.parent)}}), flush=True)
    time.sleep(60)
"""

linux_only = pytest.mark.skipif(not Path("/proc/net/tcp").exists(), reason="reads Linux's /proc")


def eventually(condition: Callable[[], bool], seconds: float = 10) -> bool:
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True


@linux_only
def test_listens_on_loopback_only(server: LocalAws) -> None:
    listening = [address for address in addresses(server.pid) if address]
    assert listening
    assert {address for address, _ in listening} == {"127.0.0.1"}
    assert int(server.url.rpartition(":")[2]) in {port for _, port in listening}


def test_keeps_its_keys_in_its_own_folder(server: LocalAws) -> None:
    assert (server.log.parent / "ministack" / "cognito-rsa-key.pem").exists()


def addresses(pid: int) -> list[tuple[str, int]]:
    """Listening or bound addresses of every process in the child's session."""
    inodes = set()
    for member in _living(SESSION, pid):
        for link in Path(f"/proc/{member}/fd").iterdir():
            try:
                inodes.add(str(link.readlink()))
            except FileNotFoundError:
                continue
    found = []
    for table in ("tcp", "tcp6", "udp", "udp6"):
        for line in Path(f"/proc/{pid}/net/{table}").read_text().splitlines()[1:]:
            fields = line.split()
            listens = fields[3] == "0A" or table.startswith("udp")
            if listens and f"socket:[{fields[9]}]" in inodes:
                host, port = fields[1].split(":")
                assert not table.endswith("6"), f"an IPv6 socket: {fields[1]}"
                found.append((socket.inet_ntoa(bytes.fromhex(host)[::-1]), int(port, 16)))
    return found


def start_owner() -> tuple[subprocess.Popen[str], dict[str, str]]:
    owner = subprocess.Popen([sys.executable, "-c", OWNER], stdout=subprocess.PIPE, text=True)
    assert owner.stdout is not None
    return owner, json.loads(owner.stdout.readline())


@linux_only
@pytest.mark.parametrize(
    "how", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT], ids=lambda s: s.name
)
def test_everything_ends_with_the_owner(how: signal.Signals) -> None:
    owner, told = start_owner()
    session = int(told["pid"])
    # The child, and the machine's bash with its two sleeps
    assert len(_living(SESSION, session)) >= 4
    owner.send_signal(how)
    owner.wait(10)
    assert eventually(lambda: not _living(SESSION, session))
    assert eventually(lambda: not Path(told["state"]).exists())


@linux_only
def test_nothing_is_left_after_the_block_even_when_the_child_was_killed() -> None:
    with pytest.raises(urllib.error.URLError), LocalAws() as aws:
        session, state = aws.pid, aws.log.parent
        launch_sleeper(aws)
        assert eventually(lambda: len(_living(SESSION, session)) >= 4)
        os.kill(session, signal.SIGKILL)
        os.waitpid(session, 0)
        aws.control.reset()
    assert not _living(SESSION, session)
    assert not state.exists()


def launch_sleeper(aws: LocalAws) -> None:
    aws.control.enforce_quota(False)
    image = aws.client("ssm").get_parameter(Name=UBUNTU)["Parameter"]["Value"]
    script = "#!/bin/bash\nsleep 300 &\nsleep 300\n"
    aws.client("ec2").run_instances(
        ImageId=image, InstanceType="g4dn.xlarge", MinCount=1, MaxCount=1, UserData=script
    )


def test_fails_when_it_does_not_start_with_its_last_words(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONWARNINGS", "error::SyntaxWarning")
    monkeypatch.setattr(server, "ACCOUNT", "--no-such-option")
    with pytest.raises(LocalAwsError, match=r"(?s)did not start: it ended.*expected one argument"):
        LocalAws().__enter__()


def test_environment_names_this_aws_and_no_other(
    server: LocalAws, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_PROFILE", "work")
    monkeypatch.setenv("AWS_SESSION_TOKEN", "real")
    environment = server.environment
    assert not {"AWS_PROFILE", "AWS_SESSION_TOKEN"} & environment.keys()
    assert environment["AWS_ENDPOINT_URL"] == server.url
    assert not Path(environment["AWS_CONFIG_FILE"]).exists()
    who = [sys.executable, "-m", "awscli", "sts", "get-caller-identity", "--query", "Account"]
    found = subprocess.run(who, env=environment, capture_output=True, text=True, check=True)
    assert found.stdout.strip() == f'"{server.account}"'


ENDINGS = pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])


@ENDINGS
def test_foreground_prints_where_the_exports_are_and_stops_on_a_signal(
    number: signal.Signals, tmp_path: Path
) -> None:
    shown = subprocess.Popen(
        [sys.executable, "-m", "localaws"],
        cwd=ROOT,
        env={**os.environ, "TMPDIR": str(tmp_path)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert shown.stdout is not None
    lines: list[str] = []
    while not (lines and lines[-1].startswith("# Ctrl-C")):
        lines.append(shown.stdout.readline())
        assert lines[-1], "it ended early"
    (taken,) = [line.strip() for line in lines if line.startswith(". ")]
    file = Path(taken.removeprefix(". "))
    assert (file.stat().st_mode & 0o777, file.parent.stat().st_mode & 0o777) == (0o600, 0o700)
    (secret,) = re.findall(r"AWS_SECRET_ACCESS_KEY=(\S+)", file.read_text())
    assert secret not in "".join(lines)
    ask = f'{taken}; exec "$0" -m awscli sts get-caller-identity --query Arn --output text'
    asked = ["bash", "-c", ask, sys.executable]
    found = subprocess.run(asked, capture_output=True, text=True, check=True)
    assert found.stdout == "arn:aws:iam::123456789012:root\n"
    (url,) = re.findall(r"AWS_ENDPOINT_URL=(\S+)", file.read_text())
    shown.send_signal(number)
    assert shown.wait(15) == 0
    with pytest.raises(urllib.error.URLError):
        urllib.request.urlopen(url, timeout=5)
    assert not file.exists()
    assert shown.stderr is not None
    assert shown.stderr.read() == ""
    assert [*tmp_path.iterdir()] == []


DEMO = """
import sys
from localaws import demo
demo.why_not = lambda: "a test of signals"
sys.exit(demo.main())
"""


@ENDINGS
def test_the_demo_ends_with_the_signals_status_and_leaves_no_file(
    number: signal.Signals, tmp_path: Path
) -> None:
    environment = {**os.environ, "TMPDIR": str(tmp_path)}
    with subprocess.Popen(
        [sys.executable, "-c", DEMO], cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True
    ) as demo:
        assert demo.stdout is not None
        while "$ cdk bootstrap" not in demo.stdout.readline():
            assert demo.poll() is None
        demo.send_signal(number)
        assert "interrupted: the embedded AWS and all" in demo.communicate(timeout=300)[0]
    assert demo.returncode == 128 + number
    assert [*tmp_path.iterdir()] == []


def test_fails_when_a_control_command_does_not_exist(server: LocalAws) -> None:
    remote: Any = server.control
    for command in ("no_such", "_set", "_world"):
        with pytest.raises(ValueError, match=f"there is no command {command}"):
            remote._send(command, [[], {}], 60)
