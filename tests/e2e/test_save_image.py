"""The chapter's "Create Image": save the machine, start the next one from it, take it away."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from gpustation import save_image
from gpustation.save_image import SaveImageError
from localaws import LocalAws
from tests.e2e.cdk_cli import STACK, Account, Cdk, delete_stack, run_module
from tests.faults.templates import assemble
from tests.localaws.probe_stack import Stack

ROOT = Path(__file__).resolve().parents[2]


def run(aws: LocalAws, *words: str) -> subprocess.CompletedProcess[str]:
    return run_module(aws, "gpustation.save_image", *words)


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
        save_image.remove(aws.client("ec2"), image)
    assert aws.leftovers() == []


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
    done = run(aws, "--yes", "--name", "my-work")
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
    assert "holds framework=mxnet, not pytorch" in " ".join(refused.output.split())
    run_ = cdk.deploy(image=image, generation=2)
    assert run_.status == 0
    assert run_.outputs["ImageId"] == image
    assert account.machine_file(run_.outputs["InstanceId"], "/home/ubuntu/work.txt").read_text()
    undone = run(aws, "--undo", image, "--yes")
    assert undone.returncode == 0, undone.stderr
    assert undone.stdout.startswith(f"{image} is deregistered; deleted: snap-")
    assert images(aws) == snapshots(aws) == []


def test_refusals_are_one_line_and_change_nothing(aws: LocalAws, machine: str) -> None:
    before = aws.control.history()
    asked = run(aws)
    assert asked.stderr == "save_image: there is no terminal to ask in; pass --yes\n"
    unknown = run(aws, "--stack", "Nowhere", "--yes")
    assert re.fullmatch(r"save_image: --stack Nowhere: there is no such stack .*\n", unknown.stderr)
    missing = run(aws, "--undo", "ami-0123456789abcdef0", "--yes")
    assert "save_image: InvalidAMIID.NotFound: " in missing.stderr
    assert {one.returncode for one in (asked, unknown, missing)} == {1}
    assert images(aws) == []
    assert aws.control.history() == before


def test_image_that_takes_too_long_is_taken_away(aws: LocalAws, machine: str) -> None:
    ec2 = aws.client("ec2")
    found = save_image.find_workstation(aws.client("cloudformation"), aws.client("ssm"), STACK)
    told: list[str] = []
    with pytest.raises(SaveImageError, match=r"was not available after -1 minutes"):
        save_image.save(ec2, found, "late", tell=told.append, minutes=-1, poll_seconds=0.1)
    assert told[-1].endswith("is taken away again")
    assert images(aws) == snapshots(aws) == []


def test_image_of_somebody_else_is_left_alone(aws: LocalAws, machine: str) -> None:
    ec2 = aws.client("ec2")
    image = ec2.create_image(InstanceId=machine, Name="by hand")["ImageId"]
    ec2.get_waiter("image_available").wait(ImageIds=[image], WaiterConfig={"Delay": 1})
    done = run(aws, "--undo", image, "--yes")
    assert done.returncode == 1
    assert f"{image} has no tag gpustation:saved-from" in done.stderr
    assert images(aws) == [image]
    ec2.deregister_image(ImageId=image, DeleteAssociatedSnapshots=True)
