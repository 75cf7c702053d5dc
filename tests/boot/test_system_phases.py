"""The phases that change the system, alone on a machine that booted: real apt, real services."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from localaws.boots import packages
from localaws.boots.fleet import BootedMachines
from localaws.boots.root import machine_root
from localaws.metadata import MachineFacts

pytestmark = pytest.mark.tier("test")

NAME = "i-phases"
USERDATA = Path(__file__).resolve().parents[2] / "userdata"
SETTINGS = {
    "gpus": "1",
    "driver_branch": packages.BRANCH,
    "driver_kind": "open",
    "fabric_manager": "false",
    "framework": "mxnet",
    "for_image": "false",
}
REBOOT = 79
# As unattended upgrades do it: every program has the old file loaded.
UPGRADE_LIBC = """
library=$(readlink -f "$(ldconfig -p | sed -n '/libc\\.so\\.6.*x86-64/s/.*=> //p')")
cp -a "$library" "$library.new"
mv "$library.new" "$library"
"""
# As Jupyter, a training, a user's services, and a service that is not ours.
START = """
cd /run/systemd/system
for unit in gpustation-jupyter run-u1 user@7 others; do
  printf '[Service]\nExecStart=/bin/sleep 600\n' >$unit.service
done
systemctl start gpustation-jupyter run-u1 user@7 others
"""
OURS = ("gpustation-jupyter.service", "run-u1.service", "user@7.service")
WOULD_RESTART = "needrestart -b -r a 2>/dev/null | sed -n 's/^NEEDRESTART-SVC: //p'"


class Machine:
    """One machine, and the runner's part of running a phase on it."""

    def __init__(self, machines: BootedMachines) -> None:
        self._machines = machines

    def sh(self, script: str, status: int = 0) -> str:
        done = self._machines.get(NAME).box.run("bash", "-c", script, seconds=300)
        assert done.returncode == status, f"{script}: {done.stdout}{done.stderr}"
        return f"{done.stdout}{done.stderr}".strip()

    def phase(self, name: str, file: str, status: int = 0) -> str:
        return self.sh(
            f"cd /root && GPUSTATION_PHASE={name} GPUSTATION_SETTINGS=$(<settings) "
            f"bash userdata/phases/{file}",
            status,
        )

    def reboot(self) -> None:
        before = self.sh("cat /proc/sys/kernel/random/boot_id")
        self._machines.cut_power(NAME)
        assert self.await_boot() != before

    def await_boot(self) -> str:
        deadline = time.monotonic() + 300
        box = self._machines.get(NAME).box
        while box.run("systemctl", "is-system-running").stdout.strip() != "running":
            assert time.monotonic() < deadline
            time.sleep(0.2)
        return self.sh("cat /proc/sys/kernel/random/boot_id")


@pytest.fixture
def machine(distribution: str, tmp_path: Path) -> Iterator[Machine]:
    machines = BootedMachines(tmp_path, "http://127.0.0.1:9", machine_root(distribution))
    facts = MachineFacts(
        *(NAME, "g4dn.xlarge", "ami-00000000", "123456789012", "us-east-1", "us-east-1a"),
        *("10.0.0.4", "", ""),
    )
    try:
        machines.boot(facts, {}, silent=False)
        made = Machine(machines)
        made.await_boot()
        home = machines.get(NAME).root / "root"
        shutil.copytree(USERDATA, home / "userdata")
        (home / "settings").write_text("".join(f"{k}={v}\n" for k, v in SETTINGS.items()))
        made.sh("mkdir -p /opt/gpustation /var/lib/gpustation/{facts,warnings,rebooted-for}")
        yield made
    finally:
        machines.close()


@pytest.mark.tier("all")
def test_module_for_an_older_driver_makes_way_for_the_newest_kernel(machine: Machine) -> None:
    module = f'linux-modules-nvidia-{packages.BRANCH}-open-"$(uname -r)"'
    machine.sh(f"echo '{packages.source(packages.WITHOUT_MODULE).strip()}' >/{packages.SOURCES}")
    said = machine.phase("driver", "20-install-driver.sh", REBOOT)
    assert machine.sh(f"apt-cache show {module}"), "apt knows the module"
    assert f"Depends: nvidia-kernel-common-{packages.BRANCH} (<= {packages.OLDER_DRIVER}-1)" in said
    machine.reboot()
    assert f"driver {packages.DRIVER} with" in machine.phase("driver", "20-install-driver.sh")
    assert "linux-image-99.0.0-1-" in machine.sh("apt-mark showhold")


def test_upgraded_library_restarts_neither_jupyter_nor_a_training(machine: Machine) -> None:
    machine.phase("system", "10-prepare-system.sh")
    machine.sh("DEBIAN_FRONTEND=noninteractive apt-get -qy install needrestart")
    machine.sh(START)
    machine.sh(UPGRADE_LIBC)
    show = "systemctl show --property=MainPID --value "
    before = {unit: machine.sh(show + unit) for unit in (*OURS, "others.service")}
    named = machine.sh(WOULD_RESTART).split()
    assert "others.service" in named, "needrestart sees the upgrade"
    assert not set(OURS) & set(named)
    machine.sh("needrestart -r a </dev/null")
    after = {unit: machine.sh(show + unit) for unit in before}
    assert [unit for unit in before if after[unit] != before[unit]] == ["others.service"]
    machine.sh("rm /etc/needrestart/conf.d/gpustation.conf")
    assert set(OURS[:2]) <= set(machine.sh(WOULD_RESTART).split()), "without the file it names them"
