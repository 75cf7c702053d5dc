"""A disk with a finished set-up, made once for all workers of a run.

Tests of what happens after the set-up launch machines from it, as from an image that a person
saved; tests of the set-up itself use empty disks.
"""

from __future__ import annotations

import functools
import shutil
import subprocess
from pathlib import Path

import pytest

from localaws import LocalAws
from tests.support.assembly import assemble, minimal_bootstrap
from tests.support.made_once import made_once
from tests.support.probe_stack import G_QUOTA, Stack

INSTALLED = "ami-0123456789abcdef0"
SETTINGS = {"notebooks": False}
PATIENCE = 600


def installed_disk(folders: pytest.TempPathFactory, root: str) -> Path:
    """Everything that a default workstation wrote over this root until it was ready."""
    return made_once(folders, f"installed-{root}", functools.partial(install, root))


def install(root: str, target: Path) -> None:
    """Set up a default workstation on this root, and move what it wrote over it to a folder."""
    with LocalAws(booted=True, root=root) as aws:
        aws.control.set_quota(G_QUOTA, 8)
        minimal_bootstrap(aws)
        assembly = assemble(**SETTINGS)
        assembly.publish(aws)
        stack = Stack(aws, "GpuWorkstation", patience=PATIENCE)
        status = stack.deploy("create_stack", assembly.template)
        assert status == "CREATE_COMPLETE", stack.events()
        ec2 = aws.client("ec2")
        machine = stack.outputs()["InstanceId"]
        image = ec2.create_image(InstanceId=machine, Name="installed")["ImageId"]
        ec2.get_waiter("image_available").wait(ImageIds=[image], WaiterConfig={"Delay": 1})
        # Moved, not copied: the account's folder is deleted with the account
        subprocess.run(["mv", aws.control.image_root(image), target], check=True)
    # Machines launched from the disk shall report only what they did themselves
    shutil.rmtree(target / "var/log/gpustation")
