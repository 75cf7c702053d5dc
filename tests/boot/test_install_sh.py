"""install.sh on a machine that no stack launched: no AWS, no user data, no signals.

Only systemd outlives the terminal that the set-up was started from.
"""

from __future__ import annotations

import shutil
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from localaws.machines.booted import packages
from localaws.machines.booted.machines import BootedMachine, BootedMachines
from localaws.machines.booted.root import machine_root
from localaws.machines.metadata import MachineFacts

NAME = "i-standalone"
USERDATA = Path(__file__).resolve().parents[2] / "userdata"
INSTALL = "sudo -u ada sudo /home/ada/gpustation/userdata/install.sh"
COMMAND = f"{INSTALL} --framework mxnet --no-notebooks"


UNTIL_JUPYTER_ANSWERS = (
    "for i in $(seq 200); do curl -s -o /dev/null http://127.0.0.1:8888/api && exit; sleep 0.1; "
    "done; exit 1"
)


class Standalone:
    """The machine, and what this file asks of it."""

    def __init__(self, machines: BootedMachines) -> None:
        self._machines = machines

    @property
    def machine(self) -> BootedMachine:
        return self._machines.get(NAME)

    def sh(self, script: str, status: int = 0) -> str:
        done = self.machine.namespaces.run("bash", "-c", script, seconds=300)
        text = done.stdout + done.stderr
        assert done.returncode == status, text
        return text.strip()

    def jupyter(self, token: str) -> int:
        self.sh(UNTIL_JUPYTER_ANSWERS)
        port = self._machines.forward(NAME, 8888)
        request = urllib.request.Request(
            f"http://127.0.0.1:{port}/api/contents", headers={"Authorization": f"token {token}"}
        )
        try:
            with urllib.request.urlopen(request, timeout=20) as answer:
                return int(answer.status)
        except urllib.error.HTTPError as error:
            return error.code

    def reboot(self) -> None:
        before = self.sh("cat /proc/sys/kernel/random/boot_id")
        self._machines.cut_power(NAME)
        assert self.sh("cat /proc/sys/kernel/random/boot_id") != before
        assert self.machine.wait_idle(60)


@pytest.fixture(scope="module")
def station(distribution: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Standalone]:
    machines = BootedMachines(
        tmp_path_factory.mktemp("machines"), "http://127.0.0.1:9", machine_root(distribution)
    )
    facts = MachineFacts(
        *(NAME, "g4dn.xlarge", "ami-00000000", "123456789012", "us-east-1", "us-east-1a"),
        *("10.0.0.4", "", ""),
    )
    try:
        machines.boot(facts, {}, silent=False)
        made = Standalone(machines)
        deadline = time.monotonic() + 300
        while (
            made.machine.namespaces.run("systemctl", "is-system-running").stdout.strip()
            != "running"
        ):
            assert time.monotonic() < deadline
            time.sleep(0.2)
        made.sh("useradd --create-home --shell /bin/bash ada")
        made.sh("echo 'ada ALL=(ALL) NOPASSWD:SETENV: ALL' >/etc/sudoers.d/ada")
        shutil.copytree(USERDATA, machines.get(NAME).root / "home/ada/gpustation/userdata")
        yield made
    finally:
        machines.close()


@pytest.fixture(scope="module")
def refusals(station: Standalone) -> list[str]:
    """What wrong calls say, on a machine where nothing has been installed yet."""
    alone = "sudo -u ada /home/ada/gpustation/userdata/install.sh --framework mxnet"
    said = [
        station.sh(f"{INSTALL} --framework mxnet --user nobody-here", status=1),
        station.sh(f"{INSTALL} --framework tensorflow", status=2),
        station.sh(alone, status=1),
    ]
    station.sh("! ls /opt/gpustation /var/lib/gpustation /etc/systemd/system/gpustation.service")
    return said


@pytest.fixture(scope="module")
def said(station: Standalone, refusals: list[str]) -> str:
    """What the one command says that makes the workstation."""
    return station.sh(COMMAND)


def test_wrong_calls_are_refused_in_one_line_and_leave_nothing(refusals: list[str]) -> None:
    nobody, framework, user = refusals
    assert nobody == "install.sh: --user nobody-here: there is no such user; name one that exists"
    # Python 3.12 left the quotes out
    assert framework.replace("'", "").endswith(
        "invalid choice: tensorflow (choose from mxnet, pytorch)"
    )
    assert user.startswith("install.sh: run it as root: sudo ")


def test_one_command_makes_the_workstation(station: Standalone, said: str) -> None:
    assert "phase environment finished after" in said
    assert "install.sh: no GPU: computed on the CPU: 1 x CPU ready: MXNet 1.9.1" in said
    url = station.sh("sudo -u ada gpustation-jupyter-url")
    assert station.jupyter(url.rpartition("=")[2]) == 200
    pid = station.sh("systemctl show -p MainPID --value gpustation-jupyter.service")
    assert station.sh(f"stat -c %U /proc/{pid}") == "ada"
    assert station.sh("ls /home/ada") == "gpu-starter.ipynb\ngpustation\nresumable-mxnet.py"
    assert "ec2-instance-connect" not in station.sh("dpkg-query -W -f '${Package}\\n'")
    assert station.sh("systemctl --failed --no-legend") == ""
    assert station.sh("systemd-analyze verify gpustation.service 2>&1") == ""


def test_run_again_it_installs_nothing_and_survives_a_power_cut(
    station: Standalone, said: str
) -> None:
    url = station.sh("sudo -u ada gpustation-jupyter-url")
    # More often than systemd's own limit of starts in 12 hours, which 257 keeps over a reload
    for _ in range(4):
        again = station.sh(COMMAND)
        assert "phase environment started" not in again
        assert "MXNet 1.9.1" in again
    station.reboot()
    assert station.sh("sudo -u ada gpustation-jupyter-url") == url
    assert station.jupyter(url.rpartition("=")[2]) == 200


def test_kernel_without_a_module_asks_for_a_reboot_and_takes_none(
    station: Standalone, said: str
) -> None:
    module = 'linux-modules-nvidia-580-server-open-"$(uname -r)"'
    station.sh(f"apt-get -qy --allow-change-held-packages purge nvidia-utils-580-server {module}")
    station.sh(f"echo '{packages.source(packages.WITHOUT_MODULE).strip()}' >/{packages.SOURCES}")
    station.sh("rm /run/localaws-nvidia /var/lib/gpustation/done/driver")
    before = station.sh("cat /proc/sys/kernel/random/boot_id")
    for _ in range(2):
        asked = station.sh(COMMAND, status=3)
        assert "run sudo reboot; the set-up continues by itself" in asked
    assert station.sh("cat /proc/sys/kernel/random/boot_id") == before
    station.reboot()
    assert "install.sh: no GPU" in station.sh(COMMAND)


def test_failure_is_told_with_its_reason(station: Standalone, said: str) -> None:
    tool = "/usr/local/bin/gpustation-jupyter-url"
    station.sh(f"rm /var/lib/gpustation/done/jupyter {tool}; mkdir {tool}")
    try:
        failed = station.sh(COMMAND, status=1)
    finally:
        station.sh(f"rmdir {tool}")
    assert "install.sh: phase jupyter failed: command" in failed
    assert "Is a directory" in failed
    assert "MXNet 1.9.1" in station.sh(COMMAND)
