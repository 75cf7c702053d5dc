"""The commands of the outputs, run by a shell with an ``aws`` that writes down what it is given."""

import json
import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from awscli.shorthand import BackCompatVisitor, ShorthandParser
from botocore.session import get_session

from stacks.outputs import WorkstationCommands

CLOSED = WorkstationCommands("i-0123456789abcdef0", "eu-west-1", inbound_rule=False)
OPEN = WorkstationCommands("i-0123456789abcdef0", "eu-west-1", inbound_rule=True)
TARGET = ["--region", "eu-west-1", "--target", "i-0123456789abcdef0"]
CONNECT = ["--region", "eu-west-1", "--instance-id", "i-0123456789abcdef0", "--os-user", "ubuntu"]


@pytest.fixture
def calls(tmp_path: Path) -> Path:
    """Folder with an ``aws`` that notes its arguments and the first line of its input."""
    # The first line of a script cannot name every Python
    stub, program = tmp_path / "aws", tmp_path / "aws.py"
    stub.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} "$0.py" "$@"\n')
    program.write_text(
        "import json, pathlib, select, sys\n"
        "ready = select.select([sys.stdin], [], [], 0.5)[0]\n"
        "line = sys.stdin.readline() if ready else ''\n"
        "with (pathlib.Path(__file__).parent / 'calls').open('a') as log:\n"
        "    log.write(json.dumps([sys.argv[1:], line]) + '\\n')\n"
    )
    stub.chmod(0o755)
    return tmp_path


@pytest.mark.parametrize("command", [OPEN.ssh, OPEN.jupyter])
def test_no_key_of_an_agent_is_offered(tmp_path: Path, command: str) -> None:
    """The AWS CLI starts ssh in its own environment, and with ``-i`` alone."""
    stub = tmp_path / "aws"
    stub.write_text('#!/bin/sh\nprintf %s "${SSH_AUTH_SOCK-unset}" >>${0%/*}/socket\n')
    stub.chmod(0o755)
    subprocess.run(
        ["sh", "-c", command],
        env={"PATH": f"{tmp_path}:{os.environ['PATH']}", "SSH_AUTH_SOCK": "/tmp/agent"},
        stdin=subprocess.DEVNULL,
        check=True,
        timeout=300,
    )
    assert (tmp_path / "socket").read_text() == ""


def run(command: str, folder: Path) -> list[tuple[list[str], str]]:
    """The calls of ``aws`` that the command makes."""
    subprocess.run(
        ["bash", "-c", command],
        env={"PATH": f"{folder}:{os.environ['PATH']}"},
        stdin=subprocess.DEVNULL,
        check=True,
        timeout=300,
    )
    return [tuple(json.loads(line)) for line in (folder / "calls").read_text().splitlines()]


def test_a_shell_by_session_manager_without_an_inbound_rule(calls: Path) -> None:
    (called,) = run(CLOSED.ssh, calls)
    assert called[0] == [
        *["ssm", "start-session", *TARGET],
        *["--document-name", "AWS-StartInteractiveCommand"],
        *["--parameters", "command=gpustation-shell"],
    ]
    assert "Session Manager plugin" in CLOSED.needs


def test_a_shell_by_instance_connect_with_one(calls: Path) -> None:
    assert run(OPEN.ssh, calls) == [(["ec2-instance-connect", "ssh", *CONNECT], "")]
    assert "AWS CLI 2" in OPEN.needs


def test_jupyter_prints_its_address_then_tunnels_by_session_manager(calls: Path) -> None:
    (first, _), (second, _) = run(CLOSED.jupyter, calls)
    assert first == [
        *["ssm", "start-session", *TARGET],
        *["--document-name", "AWS-StartInteractiveCommand"],
        *["--parameters", "command=sudo gpustation-jupyter-url"],
    ]
    assert second == [
        *["ssm", "start-session", *TARGET],
        *["--document-name", "AWS-StartPortForwardingSession"],
        *["--parameters", "portNumber=8888,localPortNumber=8889"],
    ]


@pytest.mark.parametrize(
    ("text", "meaning"),
    [
        ("command=sudo gpustation-jupyter-url", {"command": ["sudo gpustation-jupyter-url"]}),
        (
            "portNumber=8888,localPortNumber=8889",
            {"portNumber": ["8888"], "localPortNumber": ["8889"]},
        ),
    ],
)
def test_the_aws_cli_reads_the_parameters_as_meant(
    text: str, meaning: dict[str, list[str]]
) -> None:
    model = get_session().get_service_model("ssm").operation_model("StartSession")
    shape = model.input_shape.members["Parameters"]
    read = ShorthandParser().parse(text)
    BackCompatVisitor().visit(read, shape)
    assert read == meaning


def test_jupyter_asks_for_its_address_through_the_tunnel_of_instance_connect(calls: Path) -> None:
    ((arguments, first_line),) = run(OPEN.jupyter, calls)
    assert arguments == [
        *["ec2-instance-connect", "ssh", *CONNECT],
        *["--local-forwarding", "8889:localhost:8888"],
    ]
    assert first_line == "gpustation-jupyter-url\n"
