"""The user data as the template renders it, on a machine with real systemd and cloud-init.

Only cloud-init and systemd show that it is run, once, as root, and again at each boot.
"""

from __future__ import annotations

import re

import pytest

from localaws import LocalAws
from tests.boot.workstation import PHASES, SUCCESS, Workstation
from tests.e2e.cdk_cli import Cdk, Run

pytestmark = pytest.mark.tier("test")


@pytest.fixture(scope="module")
def deployed(cloud: LocalAws, cdk: Cdk) -> Run:
    run = cdk.deploy(notebooks=False)
    assert run.status == 0, cloud.control.signals()
    return run


@pytest.fixture(scope="module")
def station(cloud: LocalAws, deployed: Run) -> Workstation:
    return Workstation(cloud, deployed.outputs["InstanceId"])


def test_ready_says_what_computed_and_on_what(deployed: Run) -> None:
    assert re.match(
        r"no GPU: computed on the CPU: 1 x CPU ready: MXNet 1\.9\.1 computed on the CPU "
        r"\(system \d+ s, driver \d+ s, environment \d+ s, ",
        deployed.outputs["Ready"],
    )


def test_each_step_had_one_signal_in_order(station: Workstation) -> None:
    assert station.signals() == SUCCESS


def test_systemd_and_cloud_init_are_content(station: Workstation) -> None:
    assert station.sh("systemctl is-system-running --wait") == "running"
    assert "status: done" in station.sh("cloud-init status")
    assert station.sh("systemctl --failed --no-legend") == ""
    units = "gpustation.service gpustation-failure.service gpustation-jupyter.service"
    assert station.sh(f"systemd-analyze verify {units} 2>&1") == ""


def test_metadata_service_refuses_without_a_token(station: Workstation) -> None:
    asked = "curl -s -o /dev/null -w '%{http_code}' http://169.254.169.254/latest/meta-data/"
    assert station.sh(asked) == "401"


def test_jupyter_answers_to_its_token_alone(station: Workstation) -> None:
    assert station.jupyter(station.token()) == 200
    assert station.jupyter(None) == 403
    assert station.jupyter("0" * 48) == 403


def test_jupyter_is_the_users_on_loopback(station: Workstation) -> None:
    listening = station.sh("ss -Hltn 'sport = :8888' | awk '{print $4}'")
    assert listening == "127.0.0.1:8888"
    pid = station.sh("systemctl show -p MainPID --value gpustation-jupyter.service")
    assert station.sh(f"stat -c %U /proc/{pid}") == "ubuntu"


def test_jupyter_is_exposed_little(station: Workstation) -> None:
    shown = station.sh("systemd-analyze security --no-pager gpustation-jupyter.service | tail -n 1")
    found = re.search(r"(\d+\.\d)", shown)
    assert found is not None
    assert float(found[1]) <= 5.0


def test_a_notebook_kernel_computes(station: Workstation) -> None:
    program = "import mxnet; print(mxnet.nd.ones((2, 2)).sum().asscalar())"
    assert station.sh(f"sudo -u ubuntu /opt/gpustation/env/bin/python -c '{program}'") == "4.0"
    kernels = station.sh("/opt/gpustation/env/bin/jupyter kernelspec list --json")
    assert '"mxnet"' in kernels


def test_packages_of_kernel_and_driver_are_held(station: Workstation) -> None:
    held = station.sh("apt-mark showhold").split()
    assert "libnvidia-compute-580-server" in held
    assert any(name.startswith("linux-modules-nvidia-580-server-open-") for name in held)


def test_second_run_by_hand_changes_nothing(station: Workstation) -> None:
    before = [station.starts(phase) for phase in PHASES[1:]]
    said = station.sh("bash /opt/gpustation/scripts/run.sh")
    assert "the set-up is complete" in said
    assert [station.starts(phase) for phase in PHASES[1:]] == before
    assert station.signals() == SUCCESS


def test_reboot_changes_nothing_and_jupyter_is_back(station: Workstation) -> None:
    token, before = station.token(), station.boot_id()
    station.aws.client("ec2").reboot_instances(InstanceIds=[station.box])
    station.await_boot_after(before)
    assert [station.starts(phase) for phase in PHASES[1:]] == [1] * len(PHASES[1:])
    assert station.signals() == SUCCESS
    assert station.token() == token
    assert station.sh(_UNTIL_UP) == "up"


def test_stop_and_start_keep_the_disk(station: Workstation) -> None:
    station.sh("echo work >/home/ubuntu/work.txt; sync")
    ec2 = station.aws.client("ec2")
    ec2.stop_instances(InstanceIds=[station.box])
    with pytest.raises(ValueError, match="does not run"):
        station.sh("true")
    ec2.start_instances(InstanceIds=[station.box])
    station.settle()
    assert station.sh("cat /home/ubuntu/work.txt") == "work"
    assert station.signals() == SUCCESS
    assert station.sh(_UNTIL_UP) == "up"


_UNTIL_UP = (
    "for i in $(seq 200); do curl -s -o /dev/null http://127.0.0.1:8888/api && "
    "{ echo up; exit; }; sleep 0.1; done"
)
