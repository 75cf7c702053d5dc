"""A machine that booted, with the scripts on it and no set-up: phases are run on it one by one."""

from __future__ import annotations

import contextlib
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

from localaws.machines.booted import packages
from localaws.machines.booted.machines import BootedMachines
from localaws.machines.booted.root import machine_root
from localaws.machines.metadata import MachineFacts

RECORD = "/run/failed"
USERDATA = Path(__file__).resolve().parents[2] / "userdata"
SETTINGS = {
    "gpus": "1",
    "driver_branch": packages.BRANCH,
    "driver_kind": "open",
    "fabric_manager": "false",
    "framework": "mxnet",
    "for_image": "false",
    "cuda_toolkit": "false",
    "python_mirror": "",
    "idle_stop_minutes": "0",
    "idle_stop_scratch_gib": "0",
    "stop_at": "",
    "spot": "false",
}


class Machine:
    """One machine, and the runner's part of running a phase on it.

    Attributes:
        lower: The read-only root below its disk.
    """

    def __init__(self, machines: BootedMachines, lower: Path, facts: MachineFacts) -> None:
        self._machines, self._name, self._facts = machines, facts.instance_id, facts
        self.lower = lower

    @property
    def root(self) -> Path:
        """Its root file system."""
        return self._machines.get(self._name).root

    @property
    def facts(self) -> MachineFacts:
        """What its metadata service serves."""
        return self._machines.get(self._name).facts

    def reach(self, port: int) -> None:
        """Let it reach a port of this computer's loopback by its own."""
        self._machines.get(self._name).namespaces.carry_out(port, port)

    @property
    def runs(self) -> bool:
        """Whether it has not powered itself off."""
        return self._machines.get(self._name).namespaces.runs

    def lead_in(self, port: int) -> int:
        """A port of this computer that leads to one of the machine."""
        return self._machines.forward(self._name, port)

    def sh(self, script: str, status: int = 0) -> str:
        done = self._machines.get(self._name).namespaces.run("bash", "-c", script, seconds=300)
        assert done.returncode == status, (
            f"exit status {done.returncode} of {script}: {done.stdout}{done.stderr}"
        )
        return f"{done.stdout}{done.stderr}".strip()

    def phase(
        self, name: str, folder: str, status: int = 0, variables: dict[str, str] | None = None
    ) -> str:
        """Run a phase, as a service as the runner is one; returns what it printed.

        Args:
            name: Of the phase.
            folder: Of its script, below ``phases/``.
            status: What it must exit with.
            variables: More of the environment.
        """
        known = {"GPUSTATION_PHASE": name, "GPUSTATION_RECORD": RECORD, **(variables or {})}
        told = " ".join(f"-E {name}={value}" for name, value in known.items())
        return self.sh(
            f"cd /root && rm -f {RECORD} && systemd-run -q --wait --pipe --collect -d {told} "
            f'-E GPUSTATION_SETTINGS="$(<settings)" bash userdata/phases/{folder}/phase.sh',
            status,
        )

    def record(self) -> str:
        """What the last phase left of its failure."""
        return " ".join(self.sh(f"cat {RECORD}").split())

    def reboot(self) -> None:
        before = self.sh("cat /proc/sys/kernel/random/boot_id")
        self._machines.cut_power(self._name)
        assert self.await_boot() != before

    def stop_and_start(self, disks: tuple[int, ...] | None = None) -> None:
        """Stop and start it; its instance store is blank then.

        Args:
            disks: Sizes of that of its new type, in GB. Default: the type is the same.
        """
        self._machines.halt(self._name)
        if disks is not None:
            self._facts.instance_store = disks
        self._machines.boot(self._facts, {}, silent=False)
        self.await_boot()

    def await_boot(self) -> str:
        deadline = time.monotonic() + 300
        namespaces = self._machines.get(self._name).namespaces
        while namespaces.run("systemctl", "is-system-running").stdout.strip() != "running":
            assert time.monotonic() < deadline
            time.sleep(0.2)
        return self.sh("cat /proc/sys/kernel/random/boot_id")


@contextlib.contextmanager
def phase_machine(
    distribution: str,
    folder: Path,
    disk: Path | None = None,
    name: str = "i-phases",
    instance_store: tuple[int, ...] = (),
) -> Iterator[Machine]:
    """A machine until the block ends.

    Args:
        distribution: What it boots.
        folder: Where its disk is made.
        disk: What another machine has written over that distribution. Default: nothing.
        name: Of the machine; another one for each that runs beside it.
        instance_store: Sizes of its NVMe disks in GB. Default: it has none.
    """
    lower = machine_root(distribution)
    machines = BootedMachines(folder, "http://127.0.0.1:9", lower)
    facts = MachineFacts(
        *(name, "g4dn.xlarge", "ami-00000000", "123456789012", "us-east-1", "us-east-1a"),
        *("10.0.0.4", "", ""),
        instance_store=instance_store,
    )
    if disk is not None:
        machines.lend(facts.image_id, disk)
    try:
        machines.boot(facts, {}, silent=False)
        made = Machine(machines, lower, facts)
        made.await_boot()
        home = machines.get(name).root / "root"
        shutil.copytree(USERDATA, home / "userdata")
        (home / "settings").write_text("".join(f"{k}={v}\n" for k, v in SETTINGS.items()))
        made.sh("mkdir -p /opt/gpustation /var/lib/gpustation/{facts,warnings,rebooted-for}")
        yield made
    finally:
        machines.close()
