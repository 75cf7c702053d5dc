"""The phases that change the system, alone on a machine that booted: real apt, real services."""

from __future__ import annotations

import pytest

from localaws.machines.booted import packages
from tests.boot.phase_machine import Machine

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
  printf '[Service]\nType=exec\nExecStart=/bin/sleep 600\n' >$unit.service
done
systemctl start gpustation-jupyter run-u1 user@7 others
"""
# It tells sessions by a pipe to programs that may have ended, which then ends needrestart (3.6).
NO_NOTICES = "echo '$nrconf{sendnotify} = 0;' >/etc/needrestart/conf.d/zz-no-notices.conf"
OURS = ("gpustation-jupyter.service", "run-u1.service", "user@7.service")
WOULD_RESTART = "needrestart -b -r a 2>/dev/null | sed -n 's/^NEEDRESTART-SVC: //p'"


@pytest.mark.tier("all")
def test_module_for_an_older_driver_makes_way_for_the_newest_kernel(machine: Machine) -> None:
    module = f'linux-modules-nvidia-{packages.BRANCH}-open-"$(uname -r)"'
    machine.sh(f"echo '{packages.source(packages.WITHOUT_MODULE).strip()}' >/{packages.SOURCES}")
    said = machine.phase("driver", "20-install-driver", REBOOT)
    assert machine.sh(f"apt-cache show {module}"), "apt knows the module"
    assert f"Depends: nvidia-kernel-common-{packages.BRANCH} (<= {packages.OLDER_DRIVER}-1)" in said
    machine.reboot()
    assert f"driver {packages.DRIVER} with" in machine.phase("driver", "20-install-driver")
    assert "linux-image-99.0.0-1-" in machine.sh("apt-mark showhold")


def test_upgraded_library_restarts_neither_jupyter_nor_a_training(machine: Machine) -> None:
    machine.phase("system", "10-prepare-system")
    machine.sh("DEBIAN_FRONTEND=noninteractive apt-get -qy install needrestart")
    machine.sh(NO_NOTICES)
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
