"""A type with four GPUs and four disks, deployed: MXNet computes with four contexts of the CPU.

Only a machine that boots has the framework, the file system over several disks, and both together.
"""

from __future__ import annotations

import json

import pytest

from gpustation.bench import machine_program
from localaws import LocalAws
from tests.boot.test_instance_store import await_another_boot
from tests.boot.workstation import Workstation
from tests.support.cdk_cli import Cdk, gpustation
from tests.support.probe_stack import G_QUOTA

pytestmark = pytest.mark.tier("all")

BENCH = "/opt/gpustation/env/bin/python /tmp/bench.py --child all_reduce"
TASK = {"framework": "mxnet", "runs": 3, "quick": True, "device": "cpu", "gpus": 4}


def test_four_gpus_and_four_disks(cloud: LocalAws, cdk: Cdk, installed: dict[str, object]) -> None:
    cloud.control.set_quota(G_QUOTA, 48)
    run = cdk.deploy(**installed, instance_type="g6.12xlarge")
    assert run.status == 0, run.output[-3000:]
    ready = run.outputs["Ready"]
    assert "4 x CPU ready: MXNet 1.9.1 computed on the CPU, and an all-reduce over 4 (" in ready
    assert "warning" not in ready
    station = Workstation(cloud, run.outputs["InstanceId"])
    assert station.sh("findmnt -n -o FSTYPE /scratch") == "btrfs"
    assert station.sh("stat -c %U:%a /scratch") == "ubuntu:" + station.sh("stat -c %a /home/ubuntu")
    assert "/scratch                3502 GiB, fast; empty after every stop" in station.sh(
        "cat /etc/motd.d/gpustation"
    )
    shown = gpustation(cloud, "status", "--json")
    (one,) = json.loads(shown.stdout)["workstations"]
    assert one["scratch_gib"] == 3502

    station.put("/tmp/bench.py", machine_program.__loader__.get_source(machine_program.__name__))
    row = json.loads(station.sh(f"echo '{json.dumps(TASK)}' | {BENCH}").splitlines()[-1])
    assert (row["gpus"], row["way"], row["reason"]) == (4, "kvstore device", "")
    assert row["bus_gb_per_s"]["median"] == pytest.approx(row["gb_per_s"]["median"] * 1.5)

    station.sh("sudo -u ubuntu touch /scratch/file; sync")
    station.reboot()
    assert station.sh("ls /scratch") == "file"
    before = station.boot_id()
    ec2 = cloud.client("ec2")
    ec2.stop_instances(InstanceIds=[station.box])
    ec2.start_instances(InstanceIds=[station.box])
    await_another_boot(station, before)
    station.settle()
    assert station.sh("findmnt -n -o FSTYPE /scratch; ls /scratch") == "btrfs"
