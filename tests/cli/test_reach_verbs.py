"""``ssh``, ``jupyter`` and ``log --machine`` that do not reach the machine say why, in a line.

The machines of this account do not boot; what reaches one is in tests/boot.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from gpustation.console.statuses import FINDING, NO_ACCESS
from localaws import LocalAws
from tests.cli.conftest import Verb
from tests.support.probe_stack import Stack

WORDS = [("ssh", "--", "true"), ("jupyter", "--no-browser"), ("log", "--machine")]
KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIA0NDQ0NDQ0NDQ0NDQ0NDQ0NDQ0NDQ0NDQ0NDQ0NDQ0N gpustation"
PROGRAMS = {
    # OpenSSH is not on every computer that runs the tests
    "ssh-keygen": f"""while [ "$1" != -f ]; do shift; done
echo private >"$2"; echo "{KEY}" >"$2.pub" """,
    "ssh": "exit 255",
    "aws": "echo aws-cli/2.31.0 Python/3.13.7",
    "session-manager-plugin": "echo 1.2.707.0",
}

pytestmark = pytest.mark.usefixtures("running", "programs")


@pytest.fixture
def running(deployed: Stack, verb: Verb) -> None:
    assert verb("start", "--yes", "--stack", deployed.name).status == 0


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str, str | None], None]:
    """A PATH with these programs only; the result replaces one, or takes it away."""
    folder = tmp_path / "programs"
    folder.mkdir()

    def put(name: str, script: str | None) -> None:
        (folder / name).unlink(missing_ok=True)
        if script is not None:
            (folder / name).write_text(f"#!/bin/sh\n{script}\n")
            (folder / name).chmod(0o755)

    for name, script in PROGRAMS.items():
        put(name, script)
    monkeypatch.setenv("PATH", str(folder))
    return put


@pytest.mark.parametrize("words", WORDS)
def test_a_missing_permission_is_named(aws: LocalAws, verb: Verb, words: list[str]) -> None:
    aws.control.fault("SendSSHPublicKey", "deny", times=9)
    ran = verb(*words)
    assert ran.status == NO_ACCESS
    assert "ec2-instance-connect:SendSSHPublicKey" in ran.err


@pytest.mark.parametrize("words", WORDS)
def test_expired_credentials_are_named(aws: LocalAws, verb: Verb, words: list[str]) -> None:
    aws.control.fault("DescribeStacks", "expired", times=9)
    ran = verb(*words)
    assert ran.status == NO_ACCESS
    assert "expired" in ran.err


@pytest.mark.parametrize("words", WORDS)
def test_without_credentials(verb: Verb, monkeypatch: pytest.MonkeyPatch, words: list[str]) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    ran = verb(*words)
    assert ran.status == NO_ACCESS
    assert "aws configure" in ran.err


def test_throttling_is_waited_for(aws: LocalAws, verb: Verb) -> None:
    """The next thing that fails is ssh itself."""
    for operation in ("DescribeInstances", "GetParametersByPath"):
        aws.control.fault(operation, "throttle", times=1)
    ran = verb("ssh", "--", "true")
    assert ran.status == 255
    assert "by Session Manager" in ran.err


def test_reports_that_may_not_be_read_leave_session_manager(aws: LocalAws, verb: Verb) -> None:
    aws.control.fault("GetParametersByPath", "deny", times=9)
    ran = verb("ssh", "--", "true")
    assert ran.status == 255
    assert "ssm:GetParametersByPath" in ran.err and "by Session Manager" in ran.err


@pytest.mark.parametrize(
    ("name", "script", "words"),
    [
        ("ssh", None, "install OpenSSH"),
        ("aws", None, "needs the AWS CLI"),
        ("aws", "echo aws-cli/1.16.11 Python/3.6.9", "needs 1.16.12 or newer"),
        ("session-manager-plugin", None, "session-manager-plugin"),
    ],
)
def test_a_program_that_is_missing_or_old_is_named(
    verb: Verb,
    programs: Callable[[str, str | None], None],
    name: str,
    script: str | None,
    words: str,
) -> None:
    programs(name, script)
    ran = verb("ssh", "--", "true")
    assert ran.status == FINDING
    assert (words in ran.err and "https://" in ran.err) or name == "ssh"


@pytest.mark.parametrize("words", WORDS)
def test_a_stopped_machine_is_not_started_unasked(verb: Verb, words: list[str]) -> None:
    verb("stop", "--yes")
    ran = verb(*words)
    assert ran.status == FINDING
    assert "is stopped" in ran.err and "gpustation start" in ran.err
