"""The disks of an account's machines: the type's, blank after a stop, and gone with their owner."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from localaws import LocalAws
from tests.boot.workstation import Workstation
from tests.support.probe_stack import G_QUOTA

pytestmark = pytest.mark.tier("all")

ROOT = Path(__file__).resolve().parents[2]
LAUNCH = """
import sys
from localaws import LocalAws
with LocalAws(booted=True, root=sys.argv[1]) as aws:
    aws.control.set_quota("L-DB2E81BA", 96)
    aws.control.add_image(sys.argv[2])
    box = aws.client("ec2").run_instances(
        ImageId=sys.argv[2], InstanceType="g6.8xlarge", MinCount=1, MaxCount=1
    )["Instances"][0]["InstanceId"]
    print(aws.pid, box, flush=True)
    aws.wait()
"""
PATIENCE = 300
"""Seconds for a boot, and for the end of an account."""
IMAGE = "ami-0aaaaaaaaaaaaaaa1"
SIZES = "cd /sys/block && for i in nvme*; do cat $i/size; done; cat nvme0n1/device/model"


def loops() -> dict[str, str]:
    """The loop devices of this computer that have a file, with its name."""
    found = {}
    for path in Path("/sys/block").glob("loop*/loop/backing_file"):
        try:
            found[path.parts[3]] = path.read_text().strip()
        except OSError:
            continue
    return found


def await_no_loops(folder: str) -> None:
    deadline = time.monotonic() + PATIENCE
    while left := {name for name, file in loops().items() if file.startswith(folder)}:
        assert time.monotonic() < deadline, left
        time.sleep(0.1)


def await_another_boot(station: Workstation, before: str) -> None:
    deadline = time.monotonic() + PATIENCE
    while True:
        # Between two boots there is no machine to ask
        with contextlib.suppress(ValueError, AssertionError):
            if station.boot_id() != before:
                break
        assert time.monotonic() < deadline
        time.sleep(0.2)
    station.await_booted()


@pytest.mark.usefixtures("nothing_left")
def test_a_type_has_its_disks(cloud: LocalAws) -> None:
    ec2 = cloud.client("ec2")
    cloud.control.set_quota(G_QUOTA, 96)
    cloud.control.add_image(IMAGE)
    (record,) = ec2.run_instances(ImageId=IMAGE, InstanceType="g6.8xlarge", MinCount=1, MaxCount=1)[
        "Instances"
    ]
    station = Workstation(cloud, record["InstanceId"])
    station.await_booted()
    two = f"0\n{450 * 10**9 // 512}\n{450 * 10**9 // 512}\nAmazon Elastic Block Store"
    assert station.sh(SIZES) == two
    station.sh("echo kept | dd of=/dev/nvme2n1 status=none conv=fsync")
    before = station.boot_id()
    ec2.reboot_instances(InstanceIds=[station.box])
    await_another_boot(station, before)
    assert station.sh("head -c 4 /dev/nvme2n1") == "kept"
    before = station.boot_id()
    ec2.stop_instances(InstanceIds=[station.box])
    assert not [file for file in loops().values() if station.box in file]
    ec2.modify_instance_attribute(InstanceId=station.box, InstanceType={"Value": "g4dn.xlarge"})
    ec2.start_instances(InstanceIds=[station.box])
    await_another_boot(station, before)
    assert station.sh(SIZES) == f"0\n{125 * 10**9 // 512}\nAmazon Elastic Block Store"
    assert station.sh("head -c 4 /dev/nvme1n1 | tr -d '\\0'") == ""
    ec2.terminate_instances(InstanceIds=[station.box])
    assert not [file for file in loops().values() if station.box in file]


@pytest.mark.parametrize("how", ["the account's child", "its owner"])
def test_nothing_is_left_after_a_kill(distribution: str, how: str, tmp_path: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "TMPDIR": str(tmp_path)}
    with subprocess.Popen(
        [sys.executable, "-c", LAUNCH, distribution, IMAGE],
        stdout=subprocess.PIPE,
        env=environment,
        text=True,
    ) as owner:
        assert owner.stdout is not None
        try:
            child, _ = owner.stdout.readline().split()
            assert len([f for f in loops().values() if f.startswith(str(tmp_path))]) == 2
            os.kill(int(child) if how == "the account's child" else owner.pid, signal.SIGKILL)
            owner.wait(PATIENCE)
        finally:
            owner.kill()
    await_no_loops(str(tmp_path))
