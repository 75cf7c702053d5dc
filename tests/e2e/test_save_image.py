"""The chapter's "Create Image": save the machine, start the next one from it, take it away.

Only the account's machines and images show what is left after a fault or a signal.
"""

from __future__ import annotations

import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from gpustation.saved_image import make, remove
from gpustation.saved_image.remove import SaveImageError
from localaws import LocalAws
from tests.support.assembly import assemble
from tests.support.cdk_cli import STACK, Account, Cdk, delete_stack, gpustation
from tests.support.probe_stack import Stack

ROOT = Path(__file__).resolve().parents[2]


def run(aws: LocalAws, *words: str) -> subprocess.CompletedProcess[str]:
    return gpustation(aws, "image", *words)


@pytest.fixture
def machine(aws: LocalAws, account: Account) -> Iterator[str]:
    """Made by the plain API: the CLI has no part in saving an image."""
    assembly = assemble()
    assembly.publish(aws)
    stack = Stack(aws, STACK)
    assert stack.deploy("create_stack", assembly.template) == "CREATE_COMPLETE"
    yield str(account.instance()["InstanceId"])
    delete_stack(aws, STACK)
    for image in images(aws):
        remove.remove(aws.client("ec2"), image)
    assert aws.inventory() == []


def images(aws: LocalAws) -> list[str]:
    return [row["ImageId"] for row in aws.client("ec2").describe_images(Owners=["self"])["Images"]]


def snapshots(aws: LocalAws) -> list[str]:
    shown = aws.client("ec2").describe_snapshots(OwnerIds=["self"])["Snapshots"]
    return [row["SnapshotId"] for row in shown]


def test_saved_starts_the_next_machine_and_goes(
    aws: LocalAws, cdk: Cdk, account: Account, machine: str
) -> None:
    work = account.machine_file(machine, "/home/ubuntu/work.txt")
    work.write_text("mine")
    done = run(aws, "save", "--yes", "--image-name", "my-work")
    assert done.returncode == 0, done.stderr
    (image,) = images(aws)
    assert f'"image": "{image}", "generation": 2' in done.stdout
    shown = aws.client("ec2").describe_images(ImageIds=[image])["Images"][0]
    assert (shown["State"], shown["Name"]) == ("available", "my-work")
    tags = {tag["Key"]: tag["Value"] for tag in shown["Tags"]}
    assert tags["gpustation:framework"] == "mxnet"
    assert tags["gpustation:saved-from"] == machine
    assert "7.5" in tags["gpustation:gpu-architectures"].split()
    refused = cdk.deploy(image=image, generation=2, framework="pytorch", instance_type="g5.xlarge")
    assert refused.status != 0
    assert "contains framework=mxnet, not pytorch" in " ".join(refused.output.split())
    run_ = cdk.deploy(image=image, generation=2)
    assert run_.status == 0
    assert run_.outputs["ImageId"] == image
    assert account.machine_file(run_.outputs["InstanceId"], "/home/ubuntu/work.txt").read_text()
    undone = run(aws, "undo", image, "--yes")
    assert undone.returncode == 0, undone.stderr
    assert undone.stdout.startswith(f"{image} is deregistered; deleted: snap-")
    assert images(aws) == snapshots(aws) == []


@pytest.mark.tier("all")
def test_is_saved_and_undone_though_ec2_contradicts_itself(aws: LocalAws, machine: str) -> None:
    aws.control.fault("DescribeImages", "unsettled", times=1)
    done = run(aws, "save", "--yes")
    assert done.returncode == 0, done.stderr
    assert "EC2 does not show the image yet\n" in done.stdout
    (image,), (snapshot,) = images(aws), snapshots(aws)
    # Somebody deregisters it by hand; its snapshot is still in use for a while
    aws.client("ec2").deregister_image(ImageId=image)
    aws.control.fault("DeleteSnapshot", "unsettled", times=2)
    undone = run(aws, "undo", image, "--yes")
    assert undone.returncode == 0, undone.stderr
    assert undone.stdout == f"{image} is deregistered; deleted: {snapshot}\n"
    assert images(aws) == snapshots(aws) == []


@pytest.mark.parametrize("known", [True, False], ids=["pending", "not known yet"])
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
@pytest.mark.tier("all")
def test_a_signal_leaves_nothing(
    aws: LocalAws, machine: str, number: signal.Signals, known: bool
) -> None:
    """The real process; tests/unit/test_save_image_command.py tells each signal from each call."""
    if not known:
        aws.control.fault("DescribeImages", "unsettled", times=2)
    command = [sys.executable, "-m", "gpustation", "image", "save", "--yes"]
    pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, cwd=ROOT, env=aws.environment, **pipes) as process:
        assert process.stdout and process.stderr
        assert process.stdout.readline().startswith("creating ami-")
        process.send_signal(number)
        assert process.stderr.readline().startswith(f"{number.name}: deleting ami-")
        for each in (signal.SIGINT, number):
            process.send_signal(each)
            time.sleep(0.05)
        out, _ = process.communicate(timeout=300)
    assert process.returncode == 128 + number
    assert re.search(r"ami-\w+ is deregistered again; deleted: snap-", out)
    assert images(aws) == snapshots(aws) == []


@pytest.mark.tier("all")
def test_volumes_beside_the_root_disk_stay_out_of_the_image(
    aws: LocalAws, account: Account, machine: str
) -> None:
    ec2 = aws.client("ec2")
    zone = account.instance()["Placement"]["AvailabilityZone"]
    volume = ec2.create_volume(AvailabilityZone=zone, Size=500, VolumeType="gp3")["VolumeId"]
    ec2.attach_volume(VolumeId=volume, InstanceId=machine, Device="/dev/sdf")
    done = run(aws, "save", "--yes")
    assert done.stdout.startswith(f"{volume} (/dev/sdf, 500 GiB of gp3) is omitted; "), done
    (image,) = ec2.describe_images(Owners=["self"])["Images"]
    assert [one["DeviceName"] for one in image["BlockDeviceMappings"]] == ["/dev/sda1"]
    remove.remove(ec2, image["ImageId"])
    done = run(aws, "save", "--yes", "--with-data-volumes")
    assert "40.00 USD per month for the copy" in done.stdout
    (image,) = ec2.describe_images(Owners=["self"])["Images"]
    devices = {one["DeviceName"]: one["Ebs"] for one in image["BlockDeviceMappings"]}
    assert devices["/dev/sdf"]["DeleteOnTermination"] is True
    ec2.detach_volume(VolumeId=volume)
    ec2.delete_volume(VolumeId=volume)


@pytest.mark.tier("all")
def test_refusals_are_one_line_and_change_nothing(aws: LocalAws, machine: str) -> None:
    before = aws.control.history()
    asked = run(aws, "save")
    assert asked.stderr == "image save: standard input is not a terminal; pass --yes to confirm\n"
    unknown = run(aws, "save", "--stack", "Nowhere", "--yes")
    assert re.fullmatch(r"image save: --stack Nowhere: there is no such stack .*\n", unknown.stderr)
    missing = run(aws, "undo", "ami-0123456789abcdef0", "--yes")
    assert re.fullmatch(
        r"image undo: ami-0123456789abcdef0: this account has neither such an image .*\n",
        missing.stderr,
    )
    assert {one.returncode for one in (asked, unknown, missing)} == {1}
    assert images(aws) == []
    assert aws.control.history() == before


@pytest.mark.tier("all")  # in `make test` by tests/unit/test_save_image_command.py
def test_image_that_takes_too_long_is_taken_away(aws: LocalAws, machine: str) -> None:
    ec2 = aws.client("ec2")
    found = make.find_workstation(aws.client("cloudformation"), aws.client("ssm"), ec2, STACK)
    told: list[str] = []
    with pytest.raises(SaveImageError, match=r"was not available after -1 minutes"):
        make.save(ec2, found, "late", report=told.append, minutes=-1, poll_seconds=0.1)
    assert re.search(r"is deregistered again; deleted: snap-\w+$", told[-1])
    assert images(aws) == snapshots(aws) == []


@pytest.mark.tier("all")
def test_image_of_somebody_else_is_left_alone(aws: LocalAws, machine: str) -> None:
    ec2 = aws.client("ec2")
    image = ec2.create_image(InstanceId=machine, Name="by hand")["ImageId"]
    ec2.get_waiter("image_available").wait(ImageIds=[image], WaiterConfig={"Delay": 1})
    done = run(aws, "undo", image, "--yes")
    assert done.returncode == 1
    assert f"{image} has no tag gpustation:saved-from" in done.stderr
    assert images(aws) == [image]
    ec2.deregister_image(ImageId=image, DeleteAssociatedSnapshots=True)
