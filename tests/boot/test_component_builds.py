"""Images where machines boot: components run as root, the image is the disk, and it is tested.

Only a machine has the rights, the reboot and the exit status that a component works with.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from localaws import LocalAws
from tests.boot.workstation import Workstation
from tests.support.image_stack import OUTPUTS, bash, document, image_stack, living, step
from tests.support.probe_stack import G_QUOTA, UBUNTU, Stack

PATIENCE = 600
BUCKET = "probe-boot"
LOG = "/aws/imagebuilder/probe"
BUILD = [
    step(
        "S3Download", [{"source": f"s3://{BUCKET}/word", "destination": "/opt/probe/word"}], "fetch"
    ),
    bash(
        'file="/opt/probe/$(cat /opt/probe/word)"',
        'printf "it\'s here" > "$file"',
        'chmod 0640 "$file" && chgrp ubuntu "$file"',
        "cat /opt/probe/word",
        name="write",
    ),
    bash("rm /etc/issue.net", "echo $HOME$AWS_ENDPOINT_URL", name="remove"),
    bash(
        "python3 -c \"import os; os.setxattr('/opt/probe/word', 'trusted.probe', b'1')\"",
        name="mark",
    ),
    bash(
        "current=/proc/sys/kernel/random/boot_id",
        "if [[ ! -e /opt/probe/boot ]]; then cat $current > /opt/probe/boot; exit 194; fi",
        "! cmp $current /opt/probe/boot",
        name="reboot",
    ),
]
TEST = [
    bash(
        "set -e",
        'test "$(cat /opt/probe/water)" = "it\'s here"',
        'test "$(stat -c %a:%G /opt/probe/water)" = 640:ubuntu',
        "test ! -e /etc/issue.net",
        "python3 -c \"import os; os.getxattr('/opt/probe/word', 'trusted.probe')\"",
        "systemctl is-active systemd-networkd",
        name="kept",
    )
]


@pytest.fixture
def account(cloud: LocalAws) -> Iterator[LocalAws]:
    """The account with room for two machines; afterwards nothing is left in it."""
    cloud.control.set_quota(G_QUOTA, 8)
    yield cloud
    assert cloud.inventory() == []


@pytest.fixture
def stack(account: LocalAws) -> Iterator[Stack]:
    """A stack of its own, beside a bucket with an object."""
    s3 = account.client("s3")
    s3.create_bucket(Bucket=BUCKET)
    s3.put_object(Bucket=BUCKET, Key="word", Body=b"water\n")
    made = Stack(account, f"probe-{uuid4().hex[:8]}", patience=PATIENCE)
    yield made
    assert made.delete() == "DELETE_COMPLETE"
    s3.delete_object(Bucket=BUCKET, Key="word")
    s3.delete_bucket(Bucket=BUCKET)


def launch(cloud: LocalAws, image: str) -> Workstation:
    asked = {"ImageId": image, "InstanceType": "g4dn.xlarge", "MinCount": 1, "MaxCount": 1}
    answer = cloud.client("ec2").run_instances(**asked)
    station = Workstation(cloud, str(answer["Instances"][0]["InstanceId"]))
    station.sh("cloud-init status --wait")
    return station


def told(station: Workstation) -> dict[str, str]:
    """What tells a machine from others."""
    return {
        "instance": station.sh("cat /run/cloud-init/.instance-id"),
        "host name": station.sh("hostname"),
        "address": station.sh("getent ahostsv4 $(hostname) | head -1"),
        "host key": station.sh("cat /etc/ssh/ssh_host_ed25519_key.pub"),
        "machine id": station.sh("cat /etc/machine-id"),
    }


def test_build_is_tested_on_a_fresh_machine_and_starts_others(
    cloud: LocalAws, stack: Stack
) -> None:
    before = len(cloud.control.history())
    data = document(build=BUILD, validate=[bash("test -e /opt/probe/water")], test=TEST)
    assert stack.create(image_stack(data), OUTPUTS) == "CREATE_COMPLETE", stack.events()
    events = cloud.control.history()[before:]
    lived = ["launched", "stopped", "terminated", "launched", "terminated"]
    assert [event.event for event in events] == lived
    lines = cloud.log_lines(LOG)
    assert "Stdout: water" in lines
    assert any(line.startswith("Stdout: http://localhost:") for line in lines)
    image = stack.outputs()["ImageId"]
    assert Path(cloud.control.image_root(image), "opt/probe/water").read_text() == "it's here"
    station = launch(cloud, image)
    assert station.sh("cat /opt/probe/water") == "it's here"
    assert told(station)["instance"] == station.box
    assert station.sh("systemctl is-system-running || true") == "running"
    cloud.client("ec2").terminate_instances(InstanceIds=[station.box])


FAULTS: list[tuple[str, dict[str, list[dict[str, Any]]]]] = [
    ("build", {"build": [bash("echo so far", "echo and no more >&2", "exit 7")]}),
    ("test", {"build": [bash("touch /opt/x")], "test": [bash("echo so far", "exit 7")]}),
    ("build", {"build": [bash("echo so far; sleep 60", timeoutSeconds=1)]}),
]


@pytest.mark.parametrize(("phase", "phases"), FAULTS, ids=["build", "test", "late"])
def test_fault_leaves_no_image_and_no_instance(
    cloud: LocalAws, stack: Stack, phase: str, phases: dict[str, list[dict[str, Any]]]
) -> None:
    assert stack.create(image_stack(document(**phases))) == "ROLLBACK_COMPLETE"
    reason = stack.reason("Image")
    assert f"component probe, phase {phase}, step only:" in reason
    assert "so far" in reason
    assert "exit status 7" in reason or "it took longer than 1 s" in reason
    assert living(cloud) == []


def test_saved_machine_reboots_and_its_copies_are_other_instances(account: LocalAws) -> None:
    cloud, ec2 = account, account.client("ec2")
    stock = cloud.client("ssm").get_parameter(Name=UBUNTU)["Parameter"]["Value"]
    first = launch(cloud, stock)
    first.sh("echo one > /opt/notes; rm /etc/issue.net")
    boot = first.boot_id()
    image = ec2.create_image(InstanceId=first.box, Name="saved")["ImageId"]
    assert ec2.describe_images(ImageIds=[image])["Images"][0]["State"] == "pending"
    ec2.get_waiter("image_available").wait(ImageIds=[image], WaiterConfig={"Delay": 1})
    first.sh("cloud-init status --wait")
    assert first.boot_id() != boot
    assert [event.event for event in cloud.control.history(first.box)] == ["launched"]
    second = launch(cloud, image)
    one, two = told(first), told(second)
    assert second.sh("cat /opt/notes; ls /etc/issue.net || true") == "one"
    # EC2 cleans nothing: the machine id stays, unless a script of the machine's own changes it
    assert [name for name in one if one[name] == two[name]] == ["machine id"]
    second.sh("rm /opt/notes; echo two > /opt/more")
    again = ec2.create_image(InstanceId=second.box, Name="saved again", NoReboot=True)["ImageId"]
    ec2.get_waiter("image_available").wait(ImageIds=[again], WaiterConfig={"Delay": 1})
    ec2.deregister_image(ImageId=image, DeleteAssociatedSnapshots=True)
    ec2.terminate_instances(InstanceIds=[first.box, second.box])
    third = launch(cloud, again)
    assert third.sh("ls /opt/notes || cat /opt/more") == "two"
    ec2.terminate_instances(InstanceIds=[third.box])
    ec2.deregister_image(ImageId=again, DeleteAssociatedSnapshots=True)
