"""Machines that are records: their real user data runs with stubbed commands.

No machine boots. At every boot the script of the user data runs under bash, with the folder `stubs`
first on PATH, a folder that stands for the root file system, and a metadata service of its own.
"""

from __future__ import annotations

import base64
import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from localaws.machines.host import Fetch
from localaws.machines.metadata import MachineFacts, MetadataServer
from localaws.machines.processes import group_lives
from localaws.machines.record_host import RecordHost

STUBS = Path(__file__).parent / "stubs"
BOOTHOOK = "#cloud-boothook"
UBUNTU = 1000
"""User and group id of the user ``ubuntu`` in Ubuntu's images."""
BOOT_SECONDS = 300
"""Time limit of a boot; with stubs everything takes seconds."""

# A process group of its own, but in the session of the embedded AWS: see processes.py.
# Popen's preexec_fn is not safe beside threads, and its process_group came with Python 3.11.
_EXEC = "import os, sys; os.setpgrp(); os.execvp(sys.argv[1], sys.argv[1:])"
IN_A_GROUP = [sys.executable, "-IS", "-c", _EXEC]


@dataclass
class RecordMachine:
    """One instance's disk, console and running boot."""

    folder: Path
    metadata: MetadataServer | None = None
    process: subprocess.Popen[bytes] | None = None
    idle: threading.Event = field(default_factory=threading.Event)

    @property
    def root(self) -> Path:
        """The folder that stands for the root file system."""
        return self.folder / "root"

    @property
    def console(self) -> Path:
        """File with the output of all boots."""
        return self.folder / "console.log"

    def wait_idle(self, seconds: float) -> bool:
        """Wait until the last boot has nothing left to run; False: it still runs."""
        return self.idle.wait(seconds)


class RecordMachines:
    """All machines of the account.

    Args:
        folder: Folder of their disks.
        endpoint: Address of the embedded AWS.
    """

    PUBLIC_PREFIX = "54."
    """The beginning of public addresses, at which nothing listens."""

    def __init__(self, folder: Path, endpoint: str) -> None:
        self._folder = folder
        self._endpoint = endpoint
        self._machines: dict[str, RecordMachine] = {}
        self._images = folder / "images"

    def boot(self, facts: MachineFacts, faults: dict[str, Any], silent: bool) -> None:
        """Boot: the disk is kept, and the user data runs at every boot."""
        machine = self._machines.setdefault(
            facts.instance_id, RecordMachine(self._folder / facts.instance_id)
        )
        self._halt(machine)
        image = self._images / facts.image_id
        if image.exists() and not machine.root.exists():
            shutil.copytree(image, machine.root, symlinks=True)
        give_home(machine.root)
        machine.idle.clear()
        machine.metadata = MetadataServer(facts)
        script = _script(facts.user_data)
        if silent or script is None:
            machine.idle.set()
            return
        path = machine.folder / "user-data.sh"
        path.write_bytes(script)
        with machine.console.open("ab") as console:
            machine.process = subprocess.Popen(
                [*IN_A_GROUP, "bash", str(path)],
                stdin=subprocess.DEVNULL,
                stdout=console,
                stderr=subprocess.STDOUT,
                cwd=machine.root,
                env=self._environment(machine, facts, faults),
            )
        threading.Thread(target=_watch, args=(machine, machine.process), daemon=True).start()

    def reboot(self, instance_id: str) -> None:
        """Do nothing: what a record ran has ended by then."""

    def close(self) -> None:
        """Do nothing: the processes end with the session, the disks with its folder."""

    def halt(self, instance_id: str) -> None:
        """Stop a machine: its processes end, the disk is kept."""
        if instance_id in self._machines:
            self._halt(self._machines[instance_id])

    def remove(self, instance_id: str) -> None:
        """Terminate a machine: the disk is deleted, the console is kept."""
        machine = self._machines.get(instance_id)
        if machine is not None:
            self._halt(machine)
            shutil.rmtree(machine.root, ignore_errors=True)

    def keep_image(self, instance_id: str, image_id: str, reboot: bool) -> None:
        """Keep a copy of a machine's disk; a record has nothing to reboot."""
        shutil.copytree(self.get(instance_id).root, self._images / image_id, symlinks=True)

    def take_image(self, instance_id: str, image_id: str) -> None:
        """Keep a copy of a machine's disk, which the machine does not use again."""
        self.keep_image(instance_id, image_id, reboot=False)

    def image_root(self, image_id: str) -> Path:
        """The files of an image."""
        if not (self._images / image_id).exists():
            raise ValueError(f"image {image_id} is not one of this account's instances")
        return self._images / image_id

    def drop_image(self, image_id: str) -> None:
        """Delete an image's files."""
        shutil.rmtree(self._images / image_id, ignore_errors=True)

    def host(self, instance_id: str, fetch: Fetch, faults: Mapping[str, Any]) -> RecordHost:
        """The machine as components see it."""
        return RecordHost(self.get(instance_id).root, fetch, faults)

    def require_token(self, instance_id: str, required: bool) -> None:
        """Set whether a running machine's metadata service requires a token."""
        metadata = self.get(instance_id).metadata
        if metadata is not None:
            metadata.facts.token_required = required

    def announce(self, instance_id: str, action: str, when: str) -> None:
        """Let a running machine's metadata service say that EC2 will interrupt it."""
        metadata = self.get(instance_id).metadata
        if metadata is not None:
            metadata.facts.interruption = (action, when)

    def push_key(self, instance_id: str, user: str, key: str) -> None:
        """Offer a key by the metadata service; a record has no SSH server."""
        metadata = self.get(instance_id).metadata
        if metadata is not None:
            metadata.facts.push_key(user, key)

    def serial_console(self, instance_id: str) -> str:
        """What the boots printed."""
        return self.console(instance_id)

    def get(self, instance_id: str) -> RecordMachine:
        """The machine of an instance."""
        if instance_id not in self._machines:
            raise ValueError(f"instance {instance_id} has no machine; see DescribeInstances")
        return self._machines[instance_id]

    def console(self, instance_id: str) -> str:
        """Everything that the boots printed."""
        console = self.get(instance_id).console
        return console.read_text(errors="replace") if console.exists() else ""

    def _halt(self, machine: RecordMachine) -> None:
        process, machine.process = machine.process, None
        if process is not None:
            _kill_group(process)
        if machine.metadata is not None:
            machine.metadata.close()
            machine.metadata = None

    def _environment(
        self, machine: RecordMachine, facts: MachineFacts, faults: dict[str, Any]
    ) -> dict[str, str]:
        assert machine.metadata is not None
        return {
            "PATH": f"{STUBS}:{os.environ['PATH']}",
            "HOME": str(machine.folder),
            "LANG": "C.UTF-8",
            "TMPDIR": os.environ.get("TMPDIR", "/tmp"),
            "GPUSTATION_ROOT": str(machine.root),
            "AWS_ENDPOINT_URL": self._endpoint,
            "AWS_EC2_METADATA_SERVICE_ENDPOINT": machine.metadata.url,
            "INSTANCE_ID": facts.instance_id,
            "LOCALAWS_INSTANCE_TYPE": facts.instance_type,
            "LOCALAWS_FAULTS": json.dumps(faults),
        }


def give_home(root: Path) -> None:
    """Create the home folder of Ubuntu's images, with its user as owner of everything in it.

    Root's scripts work in a home folder with its owner's rights. If another user than root runs
    them, there is only that user.
    """
    home = root / "home/ubuntu"
    home.mkdir(parents=True, exist_ok=True)
    if os.geteuid() == 0:
        for path in (home, *home.rglob("*")):
            os.lchown(path, UBUNTU, UBUNTU)


def _script(user_data: str) -> bytes | None:
    """The script that cloud-init would run; None if there is none."""
    raw = base64.b64decode(user_data) if user_data else b""
    first, _, rest = raw.partition(b"\n")
    script = rest if first.strip() == BOOTHOOK.encode() else raw
    return script if script.startswith(b"#!") else None


def _watch(machine: RecordMachine, process: subprocess.Popen[bytes]) -> None:
    """Wait until a boot has nothing left to run, and end it after `BOOT_SECONDS`."""
    deadline = time.monotonic() + BOOT_SECONDS
    while process.poll() is None or group_lives(process.pid):
        if time.monotonic() > deadline:
            with machine.console.open("a") as console:
                console.write(f"localaws: ended this boot after {BOOT_SECONDS} s\n")
            _kill_group(process)
            break
        time.sleep(0.05)
    if machine.process in (process, None):
        machine.idle.set()


def _kill_group(process: subprocess.Popen[bytes]) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    process.kill()
    process.wait()
