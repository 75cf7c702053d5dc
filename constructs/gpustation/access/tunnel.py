"""The tunnel to Jupyter: opened, watched, and opened again after a lost connection or a reboot.

One ssh process forwards the port and runs a command that prints Jupyter's address with its token.
It ends when its standard input is closed, so nothing is left of it however this process ends.
"""

from __future__ import annotations

import contextlib
import http.client
import os
import re
import select
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from botocore.exceptions import BotoCoreError, ClientError, ConnectionError, HTTPClientError

from gpustation.access.connection import Connection
from gpustation.access.programs import NoSessionManagerError
from gpustation.access.shell import SSH_FAILED, end, log_file, why
from gpustation.aws.calls import error_code, is_passing
from gpustation.aws.session import explain
from gpustation.console.errors import CommandError
from gpustation.console.statuses import TIMED_OUT

FIRST_PORT, PORTS = 8889, 20
JUPYTER_PORT = 8888
REMOTE = "gpustation-jupyter-url && exec cat >/dev/null"
"""``cat`` ends when ssh's standard input is closed."""
TOKEN_SECONDS = 60.0
JUPYTER_SECONDS = 120.0
"""How long Jupyter may take to answer; it starts in some seconds, on a cold disk in a minute."""
REQUEST_SECONDS = 5.0
POLL_SECONDS = 1.0
FIRST_PAUSE, LONGEST_PAUSE = 1.0, 30.0
GIVE_UP_SECONDS = 900.0
"""How long a tunnel is tried again; a reboot takes one to three minutes, of a metal type ten."""
_URL = re.compile(r"http://localhost:8889/\?token=([0-9A-Za-z]{1,200})")

Say = Callable[[str], None]


class TunnelError(Exception):
    """The tunnel could not be opened or has ended; the message says why."""


@dataclass(frozen=True)
class Tunnel:
    """An open tunnel.

    Attributes:
        port: The local port.
        token: Jupyter's token.
        process: ssh.
    """

    port: int
    token: str
    process: subprocess.Popen[bytes]

    @property
    def url(self) -> str:
        """Jupyter's address for a browser on this computer."""
        return f"http://localhost:{self.port}/?token={self.token}"


def free_port() -> int:
    """The first free port of this computer from 8889 on.

    Raises:
        CommandError: None of 20 is free.
    """
    for port in range(FIRST_PORT, FIRST_PORT + PORTS):
        with socket.socket() as tried, contextlib.suppress(OSError):
            tried.bind(("127.0.0.1", port))
            return port
    raise CommandError(
        f"all ports from {FIRST_PORT} to {FIRST_PORT + PORTS - 1} are taken; end a program that "
        "uses one of them"
    )


@contextlib.contextmanager
def opened(connection: Connection, port: int) -> Iterator[Tunnel]:
    """Open the tunnel; it is closed at the end of the block, with all of ssh's processes.

    Raises:
        TunnelError: It could not be opened, or has no token.
    """
    options = [
        *("-o", "BatchMode=yes", "-o", "ExitOnForwardFailure=yes"),
        *("-L", f"127.0.0.1:{port}:127.0.0.1:{JUPYTER_PORT}"),
    ]
    with log_file() as log:
        connection.push()
        words = connection.command(["-E", str(log), *options], [REMOTE])
        # In a session of its own: Ctrl-C reaches this process alone, which then ends the others
        with subprocess.Popen(
            words,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            start_new_session=True,
        ) as process:
            try:
                yield Tunnel(port, _token(connection, process, log), process)
            finally:
                _end_group(process)


def await_jupyter(tunnel: Tunnel, say: Say) -> None:
    """Wait until Jupyter itself answers through the tunnel, and accepts the token.

    Raises:
        TunnelError: The tunnel has ended.
        CommandError: Jupyter did not answer in ``JUPYTER_SECONDS`` (``TIMED_OUT``).
    """
    begin, told = time.monotonic(), False
    while (answer := _answer(tunnel)) != 200:
        if tunnel.process.poll() is not None:
            raise TunnelError("the tunnel has ended before Jupyter answered")
        if time.monotonic() - begin + POLL_SECONDS > JUPYTER_SECONDS:
            got = f"with status {answer}" if answer else "at all"
            raise CommandError(
                f"the tunnel is open, but Jupyter did not answer {got} within "
                f"{JUPYTER_SECONDS:g} s; `gpustation ssh -- systemctl status gpustation-jupyter` "
                "shows why",
                TIMED_OUT,
            )
        if not told:
            say("waiting until Jupyter answers")
            told = True
        time.sleep(POLL_SECONDS)


def keep(
    connect: Callable[[], Connection],
    ready: Callable[[Tunnel], None],
    say: Say,
) -> None:
    """Hold a tunnel until the process is interrupted; opens it again whenever it ends.

    Args:
        connect: Prepares a connection; after a stop and start the machine has another address.
        ready: Is called when Jupyter answers for the first time, and when its address changes.
        say: Prints a line.

    Raises:
        CommandError: The first try failed, or it could not be opened again in
            ``GIVE_UP_SECONDS`` (``TIMED_OUT``).
    """
    port, shown, pause = free_port(), "", FIRST_PAUSE
    lost: float | None = None
    while True:
        try:
            with opened(connect(), port) as tunnel:
                await_jupyter(tunnel, say)
                if lost is not None:
                    say(f"the tunnel is back after {time.monotonic() - lost:.0f} s")
                if tunnel.url != shown:
                    shown = tunnel.url
                    ready(tunnel)
                lost, pause = None, FIRST_PAUSE
                tunnel.process.wait()
            reason = "the connection was lost"
        except TunnelError as error:
            if not shown:
                raise CommandError(str(error)) from error
            reason = str(error)
        except (CommandError, BotoCoreError, ClientError) as error:
            if not (shown and _passes(error)):
                raise
            reason = explain(error) if not isinstance(error, CommandError) else str(error)
        if lost is None:
            lost = time.monotonic()
            say(f"{reason}; opening the tunnel again")
        if time.monotonic() - lost + pause > GIVE_UP_SECONDS:
            raise CommandError(
                f"the tunnel could not be opened again within {GIVE_UP_SECONDS:g} s: {reason}",
                TIMED_OUT,
            )
        time.sleep(pause)
        pause = min(pause * 2, LONGEST_PAUSE)


def _passes(error: CommandError | BotoCoreError | ClientError) -> bool:
    """Whether trying again can help: the network is down, or the machine not yet up again."""
    if isinstance(error, CommandError):
        # While a machine boots its port 22 is silent, and nothing but Session Manager is left
        return error.status == TIMED_OUT or isinstance(error, NoSessionManagerError)
    if isinstance(error, ClientError):
        return is_passing(error) or error_code(error).startswith("EC2Instance")
    return isinstance(error, (ConnectionError, HTTPClientError))


def _token(connection: Connection, process: subprocess.Popen[bytes], log: Path) -> str:
    """The token in the first line that the machine prints; everything else of it is ignored."""
    assert process.stdout is not None
    text, deadline = b"", time.monotonic() + TOKEN_SECONDS
    while b"\n" not in text and len(text) < 1000:
        left = deadline - time.monotonic()
        if left <= 0 or not select.select([process.stdout], [], [], left)[0]:
            raise TunnelError(f"the machine did not print Jupyter's address in {TOKEN_SECONDS:g} s")
        data = os.read(process.stdout.fileno(), 1000)
        if not data:
            break
        text += data
    match = _URL.search(text.decode("ascii", "replace"))
    if match:
        return match[1]
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(REQUEST_SECONDS)
    if process.returncode == SSH_FAILED and (reason := why(log, connection.route)):
        raise TunnelError(reason)
    raise TunnelError(
        "the machine has no Jupyter yet; `gpustation status` shows the steps of its set-up"
    )


def _answer(tunnel: Tunnel) -> int:
    """HTTP status of a request that needs the token; 0 without an answer."""
    connection = http.client.HTTPConnection("127.0.0.1", tunnel.port, timeout=REQUEST_SECONDS)
    try:
        headers = {"Authorization": f"token {tunnel.token}"}
        connection.request("GET", "/api/status", headers=headers)
        return connection.getresponse().status
    except (OSError, http.client.HTTPException):
        return 0
    finally:
        connection.close()


def _end_group(process: subprocess.Popen[bytes]) -> None:
    """End ssh and its proxy command, which are the only ones of their process group."""
    if process.poll() is None:
        end(process)
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGTERM)
