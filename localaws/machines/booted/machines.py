"""The machines of an account where they boot; same methods as `RecordMachines`."""

from __future__ import annotations

import contextlib
import hashlib
import shutil
import signal
import tempfile
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from localaws.machines.booted import cgroups, packages, standalone_python
from localaws.machines.booted.disguise import certificates, disguise, place
from localaws.machines.booted.host import BootedHost
from localaws.machines.booted.layers import ImageLayers
from localaws.machines.booted.machine import BootedMachine
from localaws.machines.booted.namespaces import METADATA, Namespaces
from localaws.machines.booted.support import disk_folder
from localaws.machines.host import Fetch
from localaws.machines.metadata import MachineFacts, MetadataServer

SSH_PORT = 22
SHUTDOWN_SECONDS = 15
"""How long a machine may take to shut down before its power is cut."""
RETRY_SECONDS = "20"
"""Time limit for downloads: an unreachable host must not delay the demo."""


class BootedMachines:
    """All machines of the account, booted in namespaces.

    Args:
        folder: Folder of their disks.
        endpoint: Address of the embedded AWS.
        root: The read-only root of every disk.
    """

    PUBLIC_PREFIX = "127.88."
    """The beginning of public addresses: this computer's loopback, so that they can be reached."""

    def __init__(self, folder: Path, endpoint: str, root: Path) -> None:
        cgroups.sweep()
        self._folder = disk_folder(folder.parent)
        if self._folder == folder.parent:
            self._folder = folder
        else:
            self._folder = Path(tempfile.mkdtemp(prefix="localaws-", dir=self._folder))
        self._port = urlsplit(endpoint).port or 0
        self._root = root
        self._layers = ImageLayers(self._folder / "images")
        self._machines: dict[str, BootedMachine] = {}
        self.admits: Callable[[str], bool] = lambda _: False
        """Whether a machine's security groups open its port 22, asked at each connection."""
        self.powered_off: Callable[[str], None] = lambda _: None
        """Called with the name of a machine that has powered itself off."""
        self.environment: dict[str, str]
        self.gpu: bool
        self.module: bool
        self.reachable: list[int]
        self.reset()

    def reset(self) -> None:
        """Set the properties of machines that are launched from now on, as in a new account."""
        self.environment = {}
        self.gpu = False
        self.module = True
        self.reachable = []

    def boot(self, facts: MachineFacts, faults: Mapping[str, Any], silent: bool) -> None:
        """Boot a machine on its disk."""
        if faults:
            raise ValueError("machine_fault is for machines that are records; these ones boot")
        name = facts.instance_id
        facts.mac = _mac(name)
        machine = self._machines.get(name)
        if machine is None:
            machine = self._machines[name] = self._new(facts)
        machine.facts, machine.wanted = facts, True
        if silent:
            machine.facts.user_data = ""
        with machine.lock:
            self._power_on(machine)

    def reboot(self, instance_id: str) -> None:
        """Shut a machine down and boot it again."""
        self.get(instance_id).namespaces.run("systemctl", "reboot")

    def halt(self, instance_id: str) -> None:
        """Stop a machine: it shuts down, or its power is cut after some seconds."""
        machine = self._machines.get(instance_id)
        if machine is not None and machine.wanted:
            machine.wanted = False
            self._shut_down(machine)
            machine.namespaces.drop_store()

    def remove(self, instance_id: str) -> None:
        """Terminate a machine and delete its disk."""
        machine = self._machines.get(instance_id)
        if machine is not None:
            machine.wanted = False
            self._keep_console(machine)
            self._power_off(machine)
            machine.namespaces.remove()
            machine.namespaces.lowers = ()
            self._sweep()

    def close(self) -> None:
        """Cut every machine's power and remove the disks."""
        for name in list(self._machines):
            self.remove(name)
        shutil.rmtree(self._folder, ignore_errors=True)

    def keep_image(self, instance_id: str, image_id: str, reboot: bool) -> None:
        """Keep a copy of a machine's disk; a running machine is shut down for it and booted again.

        Args:
            instance_id: Whose disk.
            image_id: The image.
            reboot: False: copy the disk while the machine writes to it.
        """
        machine = self.get(instance_id)
        with machine.lock if reboot else contextlib.nullcontext():
            again = reboot and machine.wanted and machine.namespaces.runs
            if again:
                self._shut_down(machine)
            try:
                self._layers.copy(
                    image_id, machine.namespaces.upper, machine.namespaces.lowers[:-1]
                )
            finally:
                # It may have been stopped or terminated meanwhile
                if again and machine.wanted:
                    self._power_on(machine)

    def take_image(self, instance_id: str, image_id: str) -> None:
        """Make the disk of a stopped machine, which will not start again, an image's disk."""
        machine = self.get(instance_id)
        self._keep_console(machine)
        self._layers.take(image_id, machine.namespaces.upper, machine.namespaces.lowers[:-1])

    def image_root(self, image_id: str) -> Path:
        """The files of an image: what its machine wrote over what it was launched from."""
        layers = self._layers.of(image_id)
        if not layers:
            raise ValueError(f"image {image_id} is not one of this account's instances")
        return layers[0]

    def lend(self, image_id: str, folder: Path) -> None:
        """Use a folder outside of the account as an image's disk."""
        self._layers.lend(image_id, folder)

    def drop_image(self, image_id: str) -> None:
        """Delete an image; machines that were launched from it keep what they need."""
        self._layers.drop(image_id)
        self._sweep()

    def require_token(self, instance_id: str, required: bool) -> None:
        """Set whether a running machine's metadata service requires a token."""
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
        return kept.read_text() if kept.exists() else machine.console()

    def cut_power(self, instance_id: str) -> None:
        """End everything in the machine at once, and boot it again from the same disk."""
        machine = self.get(instance_id)
        with machine.lock:
            machine.wanted = False
            self._power_off(machine)
            machine.wanted = True
            self._power_on(machine)

    def host(self, instance_id: str, fetch: Fetch, _faults: Mapping[str, Any]) -> BootedHost:
        """The machine as components see it."""
        return BootedHost(self.get(instance_id), fetch)

    def forward(self, instance_id: str, port: int) -> int:
        """Forward a port of this computer's loopback to one of a machine's; returns the port."""
        return self.get(instance_id).namespaces.carry_in(port)

    def listens(self, instance_id: str, port: int) -> bool:
        """Whether something listens on a port of a machine's loopback."""
        machine = self._machines.get(instance_id)
        if machine is None or not machine.namespaces.runs:
            return False
        try:
            machine.namespaces.connect_inside(port).close()
        except OSError:
            return False
        return True

    def announce(self, instance_id: str, action: str, when: str) -> None:
        """Let a running machine's metadata service say that EC2 will interrupt it."""
        self.get(instance_id).facts.interruption = (action, when)

    def push_key(self, instance_id: str, user: str, key: str) -> None:
        """Offer a key to the machine's SSH server, which asks the metadata service for it."""
        self.get(instance_id).facts.push_key(user, key)

    def serial_console(self, instance_id: str) -> str:
        """What the machine printed on its console, over all its boots."""
        return (self.get(instance_id).namespaces.disk / "console").read_text(errors="replace")

    def _new(self, facts: MachineFacts) -> BootedMachine:
        """A machine with an empty disk on top of its image."""
        layers = self._layers.of(facts.image_id)
        namespaces = Namespaces((*layers, self._root), self._folder / facts.instance_id, facts.mac)
        namespaces.upper.mkdir(parents=True)
        names = (facts.hostname, facts.hostname.partition(".")[0])
        hosts = dict.fromkeys(names, facts.private_ip)
        if layers:
            place(namespaces.upper, self._variables(), hosts)
        else:
            disguise(namespaces.upper, self._variables(), hosts, gpu=self.gpu, module=self.module)
        return BootedMachine(namespaces, facts)

    def _shut_down(self, machine: BootedMachine) -> None:
        if machine.namespaces.runs:
            machine.namespaces.run("systemctl", "poweroff", "--no-block")
            deadline = time.monotonic() + SHUTDOWN_SECONDS
            while machine.namespaces.runs and time.monotonic() < deadline:
                time.sleep(0.05)
        self._power_off(machine)

    def _sweep(self) -> None:
        self._layers.sweep([machine.namespaces.lowers for machine in self._machines.values()])

    def _power_on(self, machine: BootedMachine) -> None:
        def prepare(namespaces: Namespaces) -> None:
            listener = namespaces.listen_inside(METADATA, 80)
            machine.metadata = MetadataServer(machine.facts, listener)
            for port in (self._port, *self.reachable):
                namespaces.carry_out(port, port)
            name, address = machine.facts.instance_id, machine.facts.public_ip
            if address:
                namespaces.open(address, SSH_PORT, lambda: self.admits(name))

        self._power_off(machine)
        self._insert_hardware(machine)
        machine.namespaces.boot(prepare)
        threading.Thread(target=self._watch, args=(machine,), daemon=True).start()

    def _insert_hardware(self, machine: BootedMachine) -> None:
        """Give a machine what its type has; an account may have changed that while it was off."""
        gpus = machine.root / packages.GPUS
        gpus.parent.mkdir(parents=True, exist_ok=True)
        gpus.write_text(f"{machine.facts.gpus}\n")
        try:
            machine.namespaces.insert_store(machine.facts.instance_store)
        except OSError as error:
            with (machine.namespaces.disk / "console").open("a") as console:
                console.write(f"localaws: this machine has no instance store: {error}\n")

    def _watch(self, machine: BootedMachine) -> None:
        """Boot a machine again that restarts by itself; tell of one that powers itself off."""
        status = machine.namespaces.wait()
        with machine.lock:
            if not machine.wanted or machine.namespaces.runs:
                return
            if status == -signal.SIGHUP:
                self._power_on(machine)
            elif status == -signal.SIGINT:
                self.powered_off(machine.facts.instance_id)

    def _power_off(self, machine: BootedMachine) -> None:
        machine.namespaces.kill()
        if machine.metadata is not None:
            machine.metadata.close()
            machine.metadata = None

    def _variables(self) -> dict[str, str]:
        return {
            "AWS_ENDPOINT_URL": f"http://localhost:{self._port}",
            "GPUSTATION_RETRY_SECONDS": RETRY_SECONDS,
            **standalone_python.variables(self._root),
            **certificates(),
            **self.environment,
        }

    def _keep_console(self, machine: BootedMachine) -> None:
        kept = self._folder / f"{machine.facts.instance_id}.console"
        if not kept.exists():
            kept.write_text(machine.console())


def _mac(name: str) -> str:
    """A locally administered address that follows from the instance's id."""
    digest = hashlib.sha256(name.encode()).hexdigest()
    return "02:" + ":".join(digest[i : i + 2] for i in range(0, 10, 2))
