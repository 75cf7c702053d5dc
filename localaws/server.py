"""The embedded AWS as a child process: its start, its environment and its certain end."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import urllib.error
from pathlib import Path
from select import select
from types import TracebackType
from typing import IO, Any

import boto3

from localaws.control import Control, RemoteControl
from localaws.credentials import Credentials
from localaws.inventory import InventoryItem, inventory
from localaws.machines.booted import cgroups
from localaws.machines.booted.root import machine_root
from localaws.machines.processes import kill_session

ROOT = Path(__file__).resolve().parent.parent
START_SECONDS = 60
"""How long a start may take; measured: 2 s on two idle cores."""
STOP_SECONDS = 10
LOG_LINES = 15
ACCOUNT = "123456789012"


class LocalAwsError(RuntimeError):
    """The embedded AWS did not start, or died; the text ends with its last log lines."""


class LocalAws:
    """An AWS account on this computer, for the duration of the `with` block.

    It listens on loopback only, serves only requests that are signed with its own random key, and
    keeps everything in one temporary folder. It ends with its owner, however the owner ends: the
    child holds the read end of a pipe, and a closed pipe (also after `kill -9`) makes it end
    everything that it started.

    Args:
        region: The region that `environment` names. Default: us-east-1.
        booted: Boot instances as real machines, which needs root on Linux and two Debian packages
            (see `localaws.machines.booted.support.why_not`). Default: instances are records.
        root: The distribution to boot, from `localaws.machines.booted.root.DISTRIBUTIONS`.
            Default: the value of LOCALAWS_ROOT, or Debian 13.
        verbose: Log the emulator's own messages too. Default: warnings only.
    """

    def __init__(
        self,
        region: str = "us-east-1",
        *,
        booted: bool = False,
        root: str | None = None,
        verbose: bool = False,
    ) -> None:
        self.region = region
        self.account = ACCOUNT
        self.url = ""
        self._credentials = Credentials.new()
        self._verbose = verbose
        self._root = machine_root(root) if booted else None
        self._process: subprocess.Popen[str] | None = None
        self._state = Path()
        self._clients: dict[tuple[str, str], Any] = {}
        self._sessions: dict[str, boto3.session.Session] = {}

    def __enter__(self) -> LocalAws:
        self._state = Path(tempfile.mkdtemp(prefix="localaws-"))
        try:
            self._start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    @property
    def log(self) -> Path:
        """File with the child's output, until the block ends."""
        return self._state / "localaws.log"

    @property
    def pid(self) -> int:
        """Process id of the child, which leads a session of its own."""
        if self._process is None:
            raise LocalAwsError("the embedded AWS is not running; use it inside its with block")
        return self._process.pid

    @property
    def environment(self) -> dict[str, str]:
        """The environment for a subprocess that must use this AWS and no other."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
        return {**kept, **self.exports}

    @property
    def exports(self) -> dict[str, str]:
        """The variables that point the AWS CLI, the SDKs and the CDK CLI here."""
        missing = str(self._state / "no-such-file")
        return {
            "AWS_ACCESS_KEY_ID": self._credentials.access_key_id,
            "AWS_SECRET_ACCESS_KEY": self._credentials.secret_access_key,
            "AWS_REGION": self.region,
            "AWS_DEFAULT_REGION": self.region,
            "AWS_ENDPOINT_URL": self.url,
            # The CDK CLI builds the template's address without AWS_ENDPOINT_URL_S3 and takes this
            "AWS_ENDPOINT_URL_S3_FOR_CLOUDFORMATION": self.url,
            "AWS_EC2_METADATA_DISABLED": "true",
            "AWS_CONFIG_FILE": missing,
            "AWS_SHARED_CREDENTIALS_FILE": missing,
            "AWS_PAGER": "",
            "CDK_DISABLE_CLI_TELEMETRY": "true",
            "CDK_DEFAULT_ACCOUNT": self.account,
            "CDK_DEFAULT_REGION": self.region,
        }

    @property
    def control(self) -> Control:
        """What tests set and read beside AWS's own interfaces."""
        remote: Any = RemoteControl(self.url, self._credentials.control)
        control: Control = remote
        return control

    def client(self, service: str, region: str | None = None) -> Any:
        """A boto3 client of this AWS, made once per service and region."""
        region = region or self.region
        if (service, region) not in self._clients:
            # boto3's overloads want a literal service name
            make: Any = self._session(region).client
            self._clients[service, region] = make(service, endpoint_url=self.url)
        return self._clients[service, region]

    def console(self, instance_id: str) -> str:
        """Everything that a machine's user data printed, over all its boots."""
        return self.control.console(instance_id)

    def inventory(self) -> list[InventoryItem]:
        """Everything in the account, except what AWS owns and what `cdk bootstrap` created."""
        return inventory(self.client)

    def log_lines(self, log_group: str) -> list[str]:
        """The lines of a log group, oldest first; a Lambda's prints among them."""
        pages = self.client("logs").get_paginator("filter_log_events")
        return [
            event["message"].rstrip("\n")
            for page in pages.paginate(logGroupName=log_group)
            for event in page["events"]
        ]

    def wait(self) -> int:
        """Wait until the child ends by itself, which it never should; returns its exit status."""
        if self._process is None:
            raise LocalAwsError("the embedded AWS is not running; use it inside its with block")
        return self._process.wait()

    def stop(self) -> None:
        """End the child and everything that it started, and remove its folder."""
        process, self._process = self._process, None
        self._clients.clear()
        self._sessions.clear()
        if process is not None:
            _close(process.stdin)
            try:
                process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            _close(process.stdout)
            kill_session(process.pid)
            cgroups.sweep()
        if self._state.name:
            shutil.rmtree(self._state, ignore_errors=True)

    def _start(self) -> None:
        arguments = ["--region", self.region, "--account", ACCOUNT, "--state", str(self._state)]
        environment = {**self.environment, "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"}
        environment["STATE_DIR"] = str(self._state / "ministack")
        for name in ("AWS_ENDPOINT_URL", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
            del environment[name]
        with self.log.open("w") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "localaws.account", *arguments]
                + ([f"--root={self._root}"] if self._root else [])
                + ["--verbose"] * self._verbose,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                cwd=self._state,
                env=environment,
                start_new_session=True,
                text=True,
            )
        _hand_over(self._process.stdin, self._credentials)
        self.url = f"http://localhost:{self._port(self._process)}"
        try:
            self.control.await_ready(START_SECONDS)
        except (urllib.error.URLError, ConnectionError, TimeoutError) as error:
            raise self._not_started(str(error)) from error

    def _session(self, region: str) -> boto3.session.Session:
        """A session of a region, made once: each reads botocore's tables anew, 0.2 s."""
        if region not in self._sessions:
            self._sessions[region] = boto3.session.Session(
                aws_access_key_id=self._credentials.access_key_id,
                aws_secret_access_key=self._credentials.secret_access_key,
                region_name=region,
            )
        return self._sessions[region]

    def _port(self, process: subprocess.Popen[str]) -> int:
        """The port, which the child prints as its first line."""
        assert process.stdout is not None
        if not select([process.stdout], [], [], START_SECONDS)[0]:
            raise self._not_started(f"no answer within {START_SECONDS} s")
        line = process.stdout.readline()
        if not line:
            raise self._not_started(f"it ended with exit status {process.wait()}")
        return int(json.loads(line)["port"])

    def _not_started(self, why: str) -> LocalAwsError:
        tail = "\n  ".join(self.log.read_text(errors="replace").splitlines()[-LOG_LINES:])
        return LocalAwsError(f"the embedded AWS did not start: {why}; its last words:\n  {tail}")


def _hand_over(stream: IO[str] | None, credentials: Credentials) -> None:
    """Give the child its secrets by a pipe, where no other process can read them."""
    assert stream is not None
    # The log says why the child has ended
    with contextlib.suppress(BrokenPipeError):
        stream.write(f"{credentials.to_json()}\n")
        stream.flush()


def _close(stream: IO[str] | None) -> None:
    """Close a pipe whose other end may be closed."""
    if stream is not None:
        with contextlib.suppress(OSError):
            stream.close()
