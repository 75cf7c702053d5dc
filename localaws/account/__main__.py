"""The child process: `python -m localaws.account`, started by `LocalAws` and by nothing else."""

from __future__ import annotations

import argparse
import contextlib
import errno
import json
import os
import shutil
import signal
import socket
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from types import FrameType

from localaws.credentials import Credentials
from localaws.machines.processes import kill_session

SERVICES = "cloudformation,dynamodb,ec2,ecr,events,iam,kms,lambda,logs,s3,scheduler,sns,ssm,sts"


def main() -> None:
    """Serve until standard input closes or a signal arrives; its first line holds the secrets."""
    parser = argparse.ArgumentParser(prog="localaws.account", description=__doc__)
    parser.add_argument("--region", required=True)
    parser.add_argument("--account", required=True)
    parser.add_argument("--state", required=True, type=Path)
    parser.add_argument("--root", type=Path, help="machines boot from it; default: records")
    parser.add_argument("--verbose", action="store_true")
    options = parser.parse_args()
    # Not in the environment: the functions' and machines' processes would inherit what opens all
    credentials = Credentials(**json.loads(sys.stdin.readline()))

    ends: list[Callable[[], None]] = []

    def end(_signal: int = 0, _frame: FrameType | None = None) -> None:
        for each in ends:
            with contextlib.suppress(Exception):
                each()
        kill_session(os.getpid())
        shutil.rmtree(options.state, ignore_errors=True)
        os._exit(0)

    signal.signal(signal.SIGTERM, end)
    signal.signal(signal.SIGINT, end)
    threading.Thread(target=_end_with_owner, args=(end,), daemon=True).start()

    listener, _held = listen()
    port = listener.getsockname()[1]
    print(json.dumps({"port": port}), flush=True)
    _prepare(options, port, credentials)
    # Only now: ministack reads its settings from the environment when it is imported
    from localaws.account.serve import make_machines, serve

    machines = make_machines(listener, options.state, options.root)
    ends.append(machines.close)
    serve(listener, machines, credentials)


def listen() -> tuple[socket.socket, socket.socket | None]:
    """Listen on a free port of 127.0.0.1, and reserve the same port of ::1.

    Programs that resolve `localhost` try ::1 first: another process there would get the requests.
    """
    while True:
        listener = socket.create_server(("127.0.0.1", 0), backlog=128)
        held = None
        try:
            held = socket.socket(socket.AF_INET6, socket.SOCK_STREAM)
            held.bind(("::1", listener.getsockname()[1]))
            return listener, held
        except OSError as error:
            if held is not None:
                held.close()
            if error.errno != errno.EADDRINUSE:
                # No IPv6 here, so nobody listens on ::1 either
                return listener, None
            listener.close()


def _end_with_owner(end: object) -> None:
    """The owner holds the other end of standard input: it closes however the owner ends."""
    sys.stdin.read()
    assert callable(end)
    end()


def _prepare(options: argparse.Namespace, port: int, credentials: Credentials) -> None:
    scratch = options.state / "tmp"
    scratch.mkdir()
    # Lambda workers inherit this environment: what is importable there must come from the asset
    os.environ.pop("PYTHONPATH", None)
    os.environ.update(
        {
            "TMPDIR": str(scratch),
            "AWS_ACCESS_KEY_ID": credentials.access_key_id,
            "AWS_SECRET_ACCESS_KEY": credentials.secret_access_key,
            "GATEWAY_PORT": str(port),
            "MINISTACK_HOST": "localhost",
            "MINISTACK_REGION": options.region,
            "MINISTACK_ACCOUNT_ID": options.account,
            "SERVICES": SERVICES,
            "LOG_LEVEL": "INFO" if options.verbose else "WARNING",
            "AUTH": "true",
            "LAMBDA_EXECUTOR": "local",
            "PERSIST_STATE": "0",
            "S3_DATA_DIR": str(options.state / "s3"),
            "DOCKER_HOST": f"unix://{options.state}/no-docker.sock",
            "IOT_MTLS_ENABLED": "0",
            "SFTP_ENABLED": "0",
        }
    )


if __name__ == "__main__":
    main()
