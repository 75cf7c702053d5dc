"""The file of a run and its lock; the commands of a run."""

from __future__ import annotations

import os
import re
import subprocess
import time
from pathlib import Path

import pytest

from acceptance import run_file
from acceptance.commands import Commands
from acceptance.outcome import OverLimitError, PartFailedError
from acceptance.run_file import RunFile, new_name, read_all
from acceptance.world import World
from gpustation.catalog.names import NAME


@pytest.fixture(autouse=True)
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    return tmp_path


def made(name: str, began: float) -> RunFile:
    return RunFile(name, "123456789012", "us-east-1", began)


def test_a_name_is_a_valid_setting_and_new() -> None:
    names = {new_name() for _ in range(50)}
    assert len(names) == 50
    for name in names:
        assert NAME.fullmatch(name) and re.fullmatch("acceptance-[0-9a-f]{8}", name)


def test_a_file_is_read_as_it_was_written_and_private(state: Path) -> None:
    later, first = made("acceptance-00000002", 2), made("acceptance-00000001", 1)
    later.note_stack("GpuWorkstation-acceptance-00000002", "arn:1")
    later.note_stack("GpuWorkstation-acceptance-00000002", "arn:1")
    later.note_stack("GpuWorkstation-acceptance-00000002", "arn:2")
    first.write()
    assert read_all() == [first, later]
    assert later.stacks == {"GpuWorkstation-acceptance-00000002": ["arn:1", "arn:2"]}
    assert later.path.stat().st_mode & 0o777 == 0o600


def test_a_command_that_outlives_its_run_keeps_the_lock(tmp_path: Path) -> None:
    with run_file.held("acceptance-00000001") as lock:
        assert lock is not None
        with run_file.held("acceptance-00000001") as second:
            assert second is None
        orphan = subprocess.Popen(["sleep", "60"], pass_fds=(lock,))
    try:
        with run_file.held("acceptance-00000001") as lock:
            assert lock is None
    finally:
        orphan.kill()
        orphan.wait()
    with run_file.held("acceptance-00000001") as lock:
        assert lock is not None


class Shell:
    """Commands in a folder, with what happens while one runs."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.over = False
        self.lock = os.open(folder / "lock", os.O_CREAT | os.O_RDWR)
        self.commands = Commands(os.environ, folder, self.tick, self.lock)
        self.commands.part = "deploy"

    def tick(self) -> None:
        if self.over:
            raise OverLimitError("it is over")


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    return Shell(tmp_path)


def test_what_a_command_prints_is_kept(shell: Shell) -> None:
    finished = shell.commands.run(("sh", "-c", "echo out; echo err >&2; exit 3"), statuses=(3,))
    assert (finished.status, finished.out, finished.err) == (3, "out\n", "err\n")
    names = sorted(path.name for path in shell.folder.glob("01-*"))
    assert names == ["01-deploy-sh--c.err", "01-deploy-sh--c.out"]


def test_the_cdk_cli_synthesizes_into_a_folder_of_each_command(shell: Shell) -> None:
    with shell.commands.started(("sh", "-c", "echo $CDK_OUTPUT; exec sleep 60")) as command:
        while not command.out.endswith("\n"):
            time.sleep(0.05)
        first = Path(command.out.strip())
        assert first.parent.is_dir()
        second = Path(shell.commands.run(("sh", "-c", "echo $CDK_OUTPUT")).out.strip())
    assert first.is_absolute() and first != second
    assert not first.parent.exists() and not second.parent.exists()


def test_a_status_that_is_not_expected_is_told_with_the_last_words(shell: Shell) -> None:
    with pytest.raises(PartFailedError, match="ended with exit status 1: why it failed"):
        shell.commands.run(("sh", "-c", "echo something; echo why it failed >&2; exit 1"))


def test_a_command_without_end_is_ended(shell: Shell) -> None:
    with pytest.raises(PartFailedError, match="`sleep 60` did not end in 1 s"):
        shell.commands.run(("sleep", "60"), seconds=1)


def test_the_limit_ends_a_command_with_all_that_it_does_at_a_signal(shell: Shell) -> None:
    script = "trap 'echo cleaned; exit 130' INT; echo ready; while :; do sleep 0.1; done"
    with (
        pytest.raises(OverLimitError),
        shell.commands.started(("bash", "-c", script)) as command,
    ):
        while "ready" not in command.out:
            time.sleep(0.05)
        shell.over = True
        shell.commands.pause(5)
    assert command.finished().out == "ready\ncleaned\n"


def test_no_json_is_a_failure_of_the_part(shell: Shell) -> None:
    finished = shell.commands.run(("echo", "hello"))
    with pytest.raises(PartFailedError, match="`echo hello` printed no JSON document"):
        _ = finished.document


@pytest.mark.parametrize(
    ("endpoint", "where"),
    [
        ("", "aws"),
        ("http://localhost:4566", "embedded"),
        ("https://sts.us-east-1.amazonaws.com.evil.example", "embedded"),
        ("https://sts.eu-central-1.amazonaws.com", "aws"),
    ],
)
def test_only_the_host_of_aws_makes_a_run_one_on_aws(
    endpoint: str, where: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", endpoint)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "made-up")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "made-up")
    assert World("us-east-1", {}).where == where
    monkeypatch.setenv("AWS_ENDPOINT_URL_EC2", "http://localhost:4566")
    assert World("us-east-1", {}).where == "embedded"
