"""The machines of an account where they really boot; the same face as localaws.machines."""

from __future__ import annotations

import hashlib
import signal
import tempfile
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from localaws.boots import cgroups
from localaws.boots.disguise import certificates, disguise
from localaws.boots.machine import METADATA, BootError, NamespaceMachine
from localaws.boots.support import disk_folder
from localaws.metadata import MachineFacts, MetadataServer

SHUTDOWN_SECONDS = 15
"""What a machine gets to shut down in before its power is cut."""
UNIT = "gpustation.service"
RETRY_SECONDS = "20"
"""What cannot be reached from here, like the book's repository, shall not hold up a demo."""


@dataclass
class BootedMachine:
    """One instance: its disk and what it told."""

    box: NamespaceMachine
    facts: MachineFacts
    metadata: MetadataServer | None = None
    wanted: bool = True
    """Whether it should run: a machine that ends by itself while it should is booted again."""
    lock: threading.RLock = field(default_factory=threading.RLock)

    @property
    def root(self) -> Path:
        """Its files: what it wrote over the read-only root."""
        return self.box.upper

    def wait_idle(self, seconds: float) -> bool:
        """Wait until its set-up has ended, well or not; False: it still runs."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            if not self.wanted or self._is_settled():
                return True
            time.sleep(0.2)
        return False

    def _is_settled(self) -> bool:
        try:
            shown = self.box.run("systemctl", "show", UNIT, "-p", "ActiveState,SubState", "--value")
        except (BootError, OSError):
            return False
        return shown.stdout.split() in (["active", "exited"], ["failed", "failed"])


class BootedMachines:
    """All machines of the account, booted in namespaces.

    Args:
        folder: Where their disks lie.
        endpoint: Address of the embedded AWS.
        root: The read-only root of every disk.
    """

    def __init__(self, folder: Path, endpoint: str, root: Path) -> None:
        cgroups.sweep()
        self._folder = disk_folder(folder.parent)
        if self._folder == folder.parent:
            self._folder = folder
        else:
            self._folder = Path(tempfile.mkdtemp(prefix="localaws-", dir=self._folder))
        self._port = urlsplit(endpoint).port or 0
        self._root = root
        self._machines: dict[str, BootedMachine] = {}
        self.environment: dict[str, str] = {}
        self.gpu = False
        self.module = True
        self.reachable: list[int] = []

    def boot(self, facts: MachineFacts, faults: Mapping[str, Any], silent: bool) -> None:
        """Boot, first or again, on the same disk."""
        if faults:
            raise ValueError("machine_fault is for machines that are records; these ones boot")
        name = facts.instance_id
        facts.mac = _mac(name)
        machine = self._machines.get(name)
        if machine is None:
            box = NamespaceMachine(self._root, self._folder / name, facts.mac)
            machine = self._machines[name] = BootedMachine(box, facts)
            box.upper.mkdir(parents=True)
            names = (facts.hostname, facts.hostname.partition(".")[0])
            hosts = dict.fromkeys(names, facts.private_ip)
            disguise(box.upper, self._variables(), hosts, gpu=self.gpu, module=self.module)
        machine.facts, machine.wanted = facts, True
        if silent:
            machine.facts.user_data = ""
        with machine.lock:
            self._power_on(machine)

    def reboot(self, instance_id: str) -> None:
        """Restart in an orderly way; it is booted again when it has ended."""
        self.get(instance_id).box.run("systemctl", "reboot")

    def halt(self, instance_id: str) -> None:
        """Stop: it shuts down, or its power is cut after some seconds; the disk stays."""
        machine = self._machines.get(instance_id)
        if machine is None or not machine.wanted:
            return
        machine.wanted = False
        if machine.box.runs:
            machine.box.run("systemctl", "poweroff", "--no-block")
            deadline = time.monotonic() + SHUTDOWN_SECONDS
            while machine.box.runs and time.monotonic() < deadline:
                time.sleep(0.05)
        self._power_off(machine)

    def remove(self, instance_id: str) -> None:
        """Terminate: the disk goes."""
        machine = self._machines.get(instance_id)
        if machine is not None:
            machine.wanted = False
            self._keep_console(machine)
            self._power_off(machine)
            machine.box.remove()

    def close(self) -> None:
        """Cut every machine's power and remove the disks."""
        for name in list(self._machines):
            self.remove(name)

    def require_token(self, instance_id: str, required: bool) -> None:
        """Change what a running machine's metadata service insists on."""
        self.get(instance_id).facts.token_required = required

    def get(self, instance_id: str) -> BootedMachine:
        """The machine of an instance."""
        if instance_id not in self._machines:
            raise ValueError(f"instance {instance_id} has no machine; see DescribeInstances")
        return self._machines[instance_id]

    def console(self, instance_id: str) -> str:
        """What systemd and cloud-init printed, then the logs of the set-up's phases."""
        machine = self.get(instance_id)
        kept = self._folder / f"{instance_id}.console"
        return kept.read_text() if kept.exists() else _console(machine)

    def cut_power(self, instance_id: str) -> None:
        """End everything in the machine at once, and boot it again from the same disk."""
        machine = self.get(instance_id)
        with machine.lock:
            machine.wanted = False
            self._power_off(machine)
            machine.wanted = True
            self._power_on(machine)

    def forward(self, instance_id: str, port: int) -> int:
        """Carry a port of the machine's loopback to one of this computer's."""
        return self.get(instance_id).box.carry_in(port)

    def _power_on(self, machine: BootedMachine) -> None:
        def prepare(box: NamespaceMachine) -> None:
            listener = box.listen_inside(METADATA, 80)
            machine.metadata = MetadataServer(machine.facts, listener)
            for port in (self._port, *self.reachable):
                box.carry_out(port, port)

        self._power_off(machine)
        machine.box.boot(prepare)
        threading.Thread(target=self._watch, args=(machine,), daemon=True).start()

    def _watch(self, machine: BootedMachine) -> None:
        """A machine that restarts by itself is booted again; one that powers off stays off."""
        status = machine.box.wait()
        with machine.lock:
            if status == -signal.SIGHUP and machine.wanted and not machine.box.runs:
                self._power_on(machine)

    def _power_off(self, machine: BootedMachine) -> None:
        machine.box.kill()
        if machine.metadata is not None:
            machine.metadata.close()
            machine.metadata = None

    def _variables(self) -> dict[str, str]:
        return {
            "AWS_ENDPOINT_URL": f"http://localhost:{self._port}",
            "GPUSTATION_RETRY_SECONDS": RETRY_SECONDS,
            **certificates(),
            **self.environment,
        }

    def _keep_console(self, machine: BootedMachine) -> None:
        kept = self._folder / f"{machine.facts.instance_id}.console"
        kept.write_text(_console(machine))


def _console(machine: BootedMachine) -> str:
    files = [machine.box.disk / "console", machine.root / "var/log/cloud-init-output.log"]
    logs = machine.root / "var/log/gpustation"
    if logs.is_dir():
        files += sorted(logs.glob("*.log"), key=lambda path: path.stat().st_mtime)
    return "".join(path.read_text(errors="replace") for path in files if path.exists())


def _mac(name: str) -> str:
    """A locally administered address that follows from the instance's id."""
    digest = hashlib.sha256(name.encode()).hexdigest()
    return "02:" + ":".join(digest[i : i + 2] for i in range(0, 10, 2))
