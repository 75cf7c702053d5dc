"""Runs ``ssh`` once, and says in a line why it did not reach the machine."""

from __future__ import annotations

import contextlib
import re
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from gpustation.access.connection import NEW_KEYS, Connection
from gpustation.access.route import Route
from gpustation.console.errors import CommandError
from gpustation.console.shown_text import visible
from gpustation.console.statuses import TIMED_OUT

SSH_FAILED = 255
"""Exit status of ssh if it failed itself; a remote command may exit with it too."""
END_SECONDS = 5.0

Execute = Callable[[str, bytes], tuple[int, bytes]]
"""Runs a command on the machine with this standard input; returns exit status and output."""

_REASONS = (
    (
        "Host key verification failed|REMOTE HOST IDENTIFICATION HAS CHANGED",
        "the machine that answers has another host key than the pinned one, so nothing was sent "
        "to it. Either it is another machine, or its keys were made anew: reboot it, so that it "
        f"reports them, and accept them with `{NEW_KEYS}`",
    ),
    (
        "Permission denied",
        "the machine did not accept the key that was pushed. While it is set up this is normal: "
        "`gpustation status` shows the steps. Otherwise the package ec2-instance-connect is "
        "missing on it",
    ),
    (
        "timed out|Connection refused|No route to host|Network is unreachable",
        "the machine did not answer; `gpustation status` shows whether it runs",
    ),
    (
        "Could not request local forwarding|Address already in use|cannot listen to port",
        "the local port is taken",
    ),
    (
        "client_loop|Broken pipe|Connection reset|closed by remote host|Timeout, server",
        "the connection was lost; a command on the machine may still run",
    ),
    (
        "Connection closed by|kex_exchange_identification|banner exchange",
        "the connection ended before the machine answered",
    ),
)
"""What ssh prints, and what it means here; the first that matches."""


def run(connection: Connection, remote: Sequence[str] = (), options: Sequence[str] = ()) -> int:
    """Push the key and run ssh with this process's input and output; never a second time.

    Args:
        connection: The connection.
        remote: Command on the machine. Default: a shell.
        options: Further options of ssh.

    Returns:
        Exit status of ssh: that of the remote command, or ``SSH_FAILED``.
    """
    with log_file() as log:
        connection.push()
        words = connection.command(["-E", str(log), *options], remote)
        with subprocess.Popen(words) as process:
            try:
                status = process.wait()
            except BaseException:
                end(process)
                raise
        if status == SSH_FAILED and (reason := why(log, connection.route)):
            raise SshError(reason)
        return status


def capture(
    connection: Connection, command: str, given: bytes, seconds: float
) -> tuple[int, bytes]:
    """Push the key and run a command once, with this standard input; its errors are passed on.

    Args:
        connection: The connection.
        command: Line for the shell on the machine.
        given: Standard input of the command.
        seconds: How long it may take.

    Returns:
        Its exit status and its output.

    Raises:
        SshError: The connection failed, or was lost.
        subprocess.TimeoutExpired: It took longer; ssh has ended.
    """
    with log_file() as log:
        connection.push()
        words = connection.command(["-E", str(log), "-T"], [command])
        with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
            try:
                output, _ = process.communicate(given, seconds)
            except BaseException:
                end(process)
                raise
        if process.returncode == SSH_FAILED and (reason := why(log, connection.route)):
            raise SshError(reason)
        return process.returncode, output


def executor(connection: Connection, seconds: float) -> Execute:
    """Runs commands on the machine, one connection for each.

    Args:
        connection: The connection.
        seconds: How long a command may take.

    Returns:
        A function that raises ``CommandError`` if the connection fails, or the time is over.
    """

    def execute(command: str, given: bytes) -> tuple[int, bytes]:
        try:
            return capture(connection, command, given, seconds)
        except SshError as error:
            raise CommandError(str(error)) from error
        except subprocess.TimeoutExpired as error:
            raise CommandError(
                f"the command on {connection.machine.instance_id} took over {seconds:g} s",
                TIMED_OUT,
            ) from error

    return execute


class SshError(Exception):
    """The connection failed, or was lost; the message says why and what helps."""


@contextlib.contextmanager
def log_file() -> Iterator[Path]:
    """A file for ssh's own errors, so that they are told from those of a remote command."""
    with tempfile.TemporaryDirectory(prefix="gpustation-") as folder:
        yield Path(folder, "ssh.log")


def why(log: Path, route: Route) -> str:
    """Why ssh failed, by its log; empty if it logged nothing, so that the command failed."""
    lines = log.read_text(errors="replace").splitlines() if log.exists() else []
    text = [line.strip() for line in lines if line.strip()]
    if not text:
        return ""
    return explained("\n".join(text), route)


def explained(text: str, route: Route) -> str:
    """The meaning of ssh's errors, with the last of them."""
    last = visible(text.splitlines()[-1])[:200]
    meaning = next((why for pattern, why in _REASONS if re.search(pattern, text)), "ssh failed")
    by = f"by {route.value}"
    hint = ""
    if route is Route.SESSION_MANAGER and "before the machine answered" in meaning:
        hint = "; the lines above are of the AWS CLI and its plug-in"
    return f"{meaning}{hint} (ssh {by}: {last})"


def end(process: subprocess.Popen[bytes]) -> None:
    """End a process, at first politely, so that it can restore the terminal."""
    process.terminate()
    try:
        process.wait(END_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
