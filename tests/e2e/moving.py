"""A machine that is stopped in a zone without room, for the tests of its move."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from localaws import LocalAws
from tests.faults.holds import Holds
from tests.support.app_folder import AppFolder
from tests.support.assembly import assemble
from tests.support.cdk_cli import STACK, Account, stack_status
from tests.support.probe_stack import Stack

WORK = "/home/ubuntu/work.txt"
POWER_CUT = str(Path(__file__).with_name("power_cut.py"))
MOVE = ("start", "--yes", "--move")
PATIENCE = 900
"""Seconds after which a command or a deploy hangs."""


@dataclass
class Scene:
    """A stopped machine with a person's file, in a zone that is full."""

    aws: LocalAws
    account: Account
    folder: AppFolder
    machine: str
    zone: str
    volume: str
    holds: Holds

    def images(self) -> list[dict[str, Any]]:
        return list(self.aws.client("ec2").describe_images(Owners=["self"])["Images"])

    def instance(self) -> dict[str, Any]:
        return self.account.instance()

    def assert_old_machine_is_there(self) -> None:
        (old,) = [row for row in self.account.instances() if row["InstanceId"] == self.machine]
        assert old["State"]["Name"] == "stopped"
        assert old["BlockDeviceMappings"][0]["Ebs"]["VolumeId"] == self.volume
        assert self.account.machine_file(self.machine, WORK).read_text() == "mine"

    def assert_nothing_changed(self) -> None:
        self.assert_old_machine_is_there()
        assert len(self.account.instances()) == 1
        assert self.folder.cdk_json.read_text() == self.folder.before
        self.holds.assert_over()

    def assert_moved(self) -> None:
        """Another machine has the person's file, in a zone with room, and cdk.json says so."""
        row = self.instance()
        assert row["InstanceId"] != self.machine
        zone = row["Placement"]["AvailabilityZone"]
        assert zone != self.zone
        assert self.account.machine_file(row["InstanceId"], WORK).read_text() == "mine"
        assert stack_status(self.aws, STACK) == "UPDATE_COMPLETE"
        written = {"image": row["ImageId"], "generation": 2, "availability_zone": zone}
        assert self.folder.settings == written
        self.holds.assert_over()

    def settled(self) -> str:
        deadline = time.monotonic() + PATIENCE
        while str(stack_status(self.aws, STACK)).endswith("_IN_PROGRESS"):
            assert time.monotonic() < deadline
            time.sleep(0.05)
        return str(stack_status(self.aws, STACK))


def last_signal() -> str:
    """Logical id of the new generation's last wait condition."""
    names = assemble(generation=2).graph.of_type("AWS::CloudFormation::WaitCondition")
    (name,) = [name for name in names if name.startswith("Generation2GpuReady")]
    return str(name)


def full(aws: LocalAws, zone: str | None, *, but: str | None = None) -> None:
    """No room in a zone, or in all but one."""
    aws.control.set_capacity(None, False, zone=zone)
    if but:
        aws.control.set_capacity(None, True, zone=but)


PATHS = {"aws:cdk:enable-path-metadata": True}
"""The CDK CLI sets it, and writes the constructs' paths into the template by it."""


def deployed(aws: LocalAws, **settings: Any) -> Stack:
    """As the CLI does it, by the plain API, which is faster."""
    assembly = assemble(**settings, **PATHS)
    assembly.publish(aws)
    stack = Stack(aws, STACK)
    assert stack.deploy("create_stack", assembly.template) == "CREATE_COMPLETE", stack.events()
    return stack


def make_scene(aws: LocalAws, account: Account, folder: AppFolder, stack: Stack) -> Scene:
    machine, zone = (stack.outputs()[name] for name in ("InstanceId", "AvailabilityZone"))
    file = account.machine_file(machine, WORK)
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("mine")
    volume = account.root_volume()
    aws.client("ec2").stop_instances(InstanceIds=[machine])
    full(aws, zone)
    return Scene(aws, account, folder, machine, zone, volume, Holds(aws))
