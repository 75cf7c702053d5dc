"""A deployed workstation that booted, and what tests ask of it."""

from __future__ import annotations

import base64
import contextlib
import threading
import time
import urllib.error
import urllib.request
from dataclasses import dataclass
from typing import Any

from localaws import LocalAws
from tests.support.cdk_cli import Cdk, Run

PHASES = (
    "access",
    "system",
    "driver",
    "environment",
    "notebooks",
    "jupyter",
    "verify",
    "jupyter-check",
)
SUCCESS = [("driver", "SUCCESS"), ("jupyter", "SUCCESS"), ("jupyter-check", "SUCCESS")]
"""What a good set-up signals, as (unique id, status)."""
PATIENCE = 600
"""Seconds until a set-up has come to its end."""


@dataclass
class Workstation:
    """One instance.

    Args:
        aws: The account.
        box: The instance's id.
    """

    aws: LocalAws
    box: str

    def sh(self, script: str) -> str:
        """Output of a script that must succeed inside, within minutes on a busy computer."""
        done = self.aws.control.machine_run(self.box, "bash", "-c", script, seconds=300)
        assert done.status == 0, (
            f"exit status {done.status} of {script}: {done.stdout}{done.stderr}"
        )
        return done.stdout.strip()

    def put(self, path: str, text: str, owner: str = "ubuntu") -> None:
        """Write a file as its owner would."""
        data = base64.b64encode(text.encode()).decode()
        self.sh(f"base64 -d <<<{data} | sudo -u {owner} tee {path} >/dev/null")

    def settle(self) -> None:
        """Wait until the set-up has ended."""
        assert self.aws.control.machine_idle(self.box, PATIENCE), self.aws.console(self.box)[-4000:]

    def starts(self, phase: str) -> int:
        """How often a phase was started, over all boots."""
        return self.aws.console(self.box).count(f"gpustation: phase {phase} started")

    def signals(self) -> list[tuple[str, str]]:
        """What was signaled, in order, as (unique id, status)."""
        return [(one.UniqueId, one.Status) for one in self.aws.control.signals()]

    def await_text(self, text: str) -> None:
        """Wait until the console shows a text."""
        deadline = time.monotonic() + PATIENCE
        while text not in self.aws.console(self.box):
            assert time.monotonic() < deadline, self.aws.console(self.box)[-4000:]
            time.sleep(0.02)

    def await_phase(self, phase: str) -> None:
        """Wait until a phase was started."""
        self.await_text(f"gpustation: phase {phase} started")

    def reboot(self) -> None:
        """Reboot as the console does, and wait for the end of the set-up."""
        before = self.boot_id()
        self.aws.client("ec2").reboot_instances(InstanceIds=[self.box])
        self.await_boot_after(before)

    def boot_id(self) -> str:
        return self.sh("cat /proc/sys/kernel/random/boot_id")

    def await_boot_after(self, boot_id: str) -> None:
        """Wait until another boot runs, and its set-up has ended."""
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            # Between two boots there is no machine to ask
            with contextlib.suppress(ValueError, AssertionError):
                if self.boot_id() != boot_id:
                    break
            time.sleep(0.2)
        self.settle()

    def await_booted(self) -> None:
        """Wait until systemd has started what it starts at boot."""
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            with contextlib.suppress(ValueError, AssertionError):
                if self.sh("systemctl is-system-running || true") in ("running", "degraded"):
                    break
            time.sleep(0.2)

    def await_jupyter(self) -> None:
        """Wait until something answers where Jupyter does."""
        self.await_booted()
        self.sh(
            "for i in $(seq 200); do curl -s -o /dev/null http://127.0.0.1:8888/api && exit; "
            "sleep 0.1; done; exit 1"
        )

    def jupyter(self, token: str | None) -> int:
        """HTTP status of Jupyter's contents through a forwarded port."""
        port = self.aws.control.forward(self.box, 8888)
        url = f"http://127.0.0.1:{port}/api/contents"
        headers = {} if token is None else {"Authorization": f"token {token}"}
        try:
            request = urllib.request.Request(url, headers=headers)
            with urllib.request.urlopen(request, timeout=20) as answer:
                return int(answer.status)
        except urllib.error.HTTPError as error:
            return error.code

    def token(self) -> str:
        return self.sh("sudo -u ubuntu gpustation-jupyter-url").rpartition("=")[2]


class Deploy(threading.Thread):
    """A deploy that goes on while the test does something to the machine."""

    def __init__(self, aws: LocalAws, cdk: Cdk, *, rollback: bool = True, **settings: Any) -> None:
        super().__init__(daemon=True)
        self._aws, self._cdk, self._settings, self._rollback = aws, cdk, settings, rollback
        self._known = {event.instance_id for event in aws.control.history()}
        self.result: Run | None = None
        self.start()

    def run(self) -> None:
        if self._rollback:
            self.result = self._cdk.deploy(**self._settings)
        else:
            pairs = [f"{key}={str(value).lower()}" for key, value in self._settings.items()]
            words = [word for pair in pairs for word in ("-c", pair)]
            self.result = self._cdk.deploy_app("--no-rollback", *words)

    def machine(self) -> Workstation:
        """The instance, as soon as there is one."""
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            for event in self._aws.control.history():
                if event.instance_id not in self._known:
                    return Workstation(self._aws, event.instance_id)
            time.sleep(0.1)
        raise AssertionError("no instance was launched")

    def end(self) -> Run:
        """The deploy's result."""
        self.join(PATIENCE)
        assert self.result is not None, "the deploy did not end"
        return self.result
