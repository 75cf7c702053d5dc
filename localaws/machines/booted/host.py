"""A machine that boots, as Image Builder's components see it: commands, files, reboots."""

from __future__ import annotations

import contextlib
import subprocess
import time

from localaws.machines.booted.machine import BootedMachine
from localaws.machines.booted.namespaces import BootError
from localaws.machines.host import ActionError, Fetch, Output

BOOT_SECONDS = 300
"""How long a boot may take, cloud-init included."""
SCRIPT = "/run/localaws-step.sh"
"""Path of the script, on a file system that is not part of an image."""
GRACE_SECONDS = 30
TIMED_OUT = 124
"""The exit status of `timeout`."""


class BootedHost:
    """A running machine.

    Args:
        machine: The machine.
        fetch: Reads an object from S3 as the machine's role.
    """

    def __init__(self, machine: BootedMachine, fetch: Fetch) -> None:
        self._machine = machine
        self.fetch = fetch

    def await_boot(self) -> None:
        """Wait until cloud-init has ended, as Image Builder waits for its agent."""
        deadline = time.monotonic() + BOOT_SECONDS
        while time.monotonic() < deadline:
            # Between two boots no command can run
            with contextlib.suppress(BootError, OSError):
                done = self._machine.namespaces.run(
                    "cloud-init", "status", "--wait", seconds=BOOT_SECONDS
                )
                if done.returncode >= 0:
                    return
            time.sleep(0.1)
        raise ActionError(f"the machine was not up within {BOOT_SECONDS} s")

    def bash(self, script: str, seconds: float) -> Output:
        """Run a script as a service of the machine, as the agent's children are: without HOME."""
        self.write(SCRIPT, script.encode())
        service = ["systemd-run", "--quiet", "--pipe", "--wait", "--collect"]
        service += ["--property=WorkingDirectory=/tmp"]
        limit = ["timeout", "--kill-after=5", str(seconds)]
        patience = seconds + GRACE_SECONDS
        try:
            done = self._machine.namespaces.run(*service, *limit, "bash", SCRIPT, seconds=patience)
        except (BootError, OSError, subprocess.SubprocessError) as error:
            raise ActionError(str(error)) from error
        late = done.returncode == TIMED_OUT
        failure = f"it took longer than {seconds:g} s" if late else ""
        return Output(done.returncode, done.stdout, done.stderr, failure)

    def write(self, path: str, content: bytes) -> None:
        """Write a file as root."""
        try:
            self._machine.namespaces.write(path, content)
        except (BootError, OSError, subprocess.SubprocessError) as error:
            raise ActionError(f"{path}: {error}") from error

    def reboot(self) -> None:
        """Reboot, and wait for the end of the next boot."""
        before = self._boot_id()
        self._machine.namespaces.run("systemctl", "reboot")
        deadline = time.monotonic() + BOOT_SECONDS
        while time.monotonic() < deadline:
            if self._boot_id() not in ("", before):
                self.await_boot()
                return
            time.sleep(0.1)
        raise ActionError(f"the machine did not come back within {BOOT_SECONDS} s")

    def _boot_id(self) -> str:
        with contextlib.suppress(BootError, OSError):
            return self._machine.namespaces.run("cat", "/proc/sys/kernel/random/boot_id").stdout
        return ""
