"""``gpustation start`` where the zone is full: the machine moves with its disk, or nothing is lost.

Only the real CDK CLI, and a command that dies, show what is left at each step.
"""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from gpustation.catalog.names import LAST_START_TAG
from gpustation.cli.app import main
from gpustation.console.statuses import FINDING, NO_CAPACITY
from gpustation.saved_image import remove
from localaws import LocalAws
from tests.faults.holds import Holds
from tests.support.app_folder import AppFolder
from tests.support.assembly import assemble
from tests.support.cdk_cli import STACK, Account, delete_stack, stack_status
from tests.support.probe_stack import G_QUOTA, Stack
from tests.support.synthesis import ROOT

WORK = "/home/ubuntu/work.txt"
SPOT_QUOTA = "L-3819A6DF"
POWER_CUT = str(Path(__file__).with_name("power_cut.py"))
MOVE = ("start", "--yes", "--move")


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
        deadline = time.monotonic() + 300
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


def deployed(aws: LocalAws, **settings: Any) -> Stack:
    """By the plain API: the CLI has no part in it."""
    assembly = assemble(**settings)
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


@pytest.fixture
def nothing_left(aws: LocalAws) -> Iterator[None]:
    yield
    aws.control.reset()
    delete_stack(aws, STACK)
    ec2 = aws.client("ec2")
    for row in ec2.describe_images(Owners=["self"])["Images"]:
        remove.remove(ec2, row["ImageId"])
    for row in aws.control.reservations():
        if row.state == "active":
            ec2.cancel_capacity_reservation(CapacityReservationId=row.reservation_id)


@pytest.fixture
def scene(aws: LocalAws, account: Account, tmp_path: Path, nothing_left: None) -> Scene:
    return make_scene(aws, account, AppFolder(aws, tmp_path), deployed(aws))


def test_the_machine_moves_with_its_disk(scene: Scene) -> None:
    """And the next bare `cdk deploy` changes nothing."""
    status, out, err = scene.folder.runs(*MOVE, "--json")
    assert status == 0
    document = json.loads(out)
    schema = ROOT / "constructs/gpustation/cli/schemas/start.json"
    jsonschema.validate(document, json.loads(schema.read_text()))
    scene.assert_moved()
    image = scene.instance()["ImageId"]
    assert document["moved"] == {
        "from": scene.machine,
        "from_zone": scene.zone,
        "image": image,
        "undo": f"gpustation image undo {image}",
    }
    assert "USD per hour" in err and f'+    "image": "{image}",' in err
    assert f"gpustation image undo {image} deletes it" in err
    assert scene.folder.runs("plan")[0] == 0, "nothing changes"
    assert scene.folder.runs("image", "undo", image, "--yes")[0] == 0
    assert scene.folder.runs("start", "--yes")[0] == 0


def without_a_move(scene: Scene, *words: str) -> str:
    status, _, err = scene.folder.runs("start", *words)
    assert status == NO_CAPACITY
    assert scene.images() == []
    scene.assert_nothing_changed()
    return err


@pytest.mark.tier("all")
def test_yes_alone_does_not_move(scene: Scene) -> None:
    err = without_a_move(scene, "--yes")
    assert "there is room for this machine in us-east-1" in err
    assert "`gpustation start --move`" in err


@pytest.fixture
def at_a_terminal(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> Callable[..., int]:
    """Runs a verb in this process, for somebody who types these answers."""
    monkeypatch.chdir(scene.folder.path)
    for name, value in scene.folder.environment.items():
        monkeypatch.setenv(name, value)

    def run(*words: str, answers: list[str]) -> int:
        class Stdin:
            @staticmethod
            def isatty() -> bool:
                return True

            @staticmethod
            def readline() -> str:
                return f"{answers.pop(0)}\n"

        monkeypatch.setattr("sys.stdin", Stdin)
        return main([*words])

    return run


@pytest.mark.tier("all")
def test_it_is_offered_and_declined(
    scene: Scene, at_a_terminal: Callable[..., int], capfd: pytest.CaptureFixture[str]
) -> None:
    answers = ["y", "n"]
    assert at_a_terminal("start", answers=answers) == NO_CAPACITY
    assert answers == []
    out, err = capfd.readouterr()
    assert "Move GpuWorkstation to us-east-1" in err and "was not moved" in err
    assert "copy     3.20 USD per month at most" in out
    assert scene.images() == []
    scene.assert_nothing_changed()


@pytest.mark.tier("all")
def test_it_is_offered_and_done(scene: Scene, at_a_terminal: Callable[..., int]) -> None:
    assert at_a_terminal("start", answers=["y", "y"]) == 0
    scene.assert_moved()


@pytest.mark.tier("all")
def test_no_zone_has_room(scene: Scene) -> None:
    full(scene.aws, None)
    assert "has no room either" in without_a_move(scene, *MOVE[1:])


@pytest.mark.tier("all")
def test_in_another_folder_it_says_why_not(scene: Scene) -> None:
    scene.folder.cdk_json.rename(scene.folder.path / "other.json")
    status, _, err = scene.folder.runs(*MOVE)
    assert status == NO_CAPACITY
    assert "cannot be moved from here: there is no cdk.json in" in err
    scene.assert_old_machine_is_there()


@pytest.mark.tier("all")
@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"instance_type": "g5.xlarge"}, "instance_type=g4dn.xlarge (here: g5.xlarge)"),
        ({"name": "anna"}, "has the stack GpuWorkstation-anna, not GpuWorkstation"),
        ({"framework": "pytorch"}, "framework=mxnet (here: pytorch)"),
    ],
)
def test_a_folder_that_would_make_another_machine_is_refused(
    scene: Scene, tmp_path: Path, settings: dict[str, Any], words: str
) -> None:
    document = json.loads(scene.folder.before)
    document["context"] |= settings
    scene.folder.before = json.dumps(document)
    scene.folder.cdk_json.write_text(scene.folder.before)
    assert words in without_a_move(scene, *MOVE[1:])


@pytest.mark.tier("all")
def test_what_the_deploy_brings_along_is_shown(scene: Scene) -> None:
    document = json.loads(scene.folder.before)
    document["context"]["idle_stop_minutes"] = 120
    scene.folder.cdk_json.write_text(json.dumps(document, indent=2))
    status, out, _ = scene.folder.runs(*MOVE)
    assert status == 0
    assert "also idle_stop_minutes: 60 -> 120" in out
    scene.assert_moved()


@pytest.mark.tier("all")
def test_another_volume_is_not_left_behind(scene: Scene) -> None:
    ec2 = scene.aws.client("ec2")
    volume = ec2.create_volume(AvailabilityZone=scene.zone, Size=500)["VolumeId"]
    ec2.attach_volume(VolumeId=volume, InstanceId=scene.machine, Device="/dev/sdf")
    err = without_a_move(scene, *MOVE[1:])
    assert f"{volume} (/dev/sdf" in err and "--with-data-volumes" in err
    ec2.detach_volume(VolumeId=volume)
    ec2.delete_volume(VolumeId=volume)


@pytest.mark.tier("all")
def test_a_disk_that_was_enlarged_stays_so(scene: Scene) -> None:
    scene.aws.client("ec2").modify_volume(VolumeId=scene.volume, Size=100)
    status, _, _ = scene.folder.runs(*MOVE)
    assert status == 0
    assert scene.folder.settings["disk_gib"] == 100
    volume = scene.account.root_volume()
    (row,) = scene.aws.client("ec2").describe_volumes(VolumeIds=[volume])["Volumes"]
    assert row["Size"] == 100


@pytest.mark.tier("all")
def test_the_room_is_gone_at_the_deploy(scene: Scene) -> None:
    """Between the question and the deploy, which asks again: all is as before, but for the copy."""
    with scene.folder.begins("-m", "gpustation", *MOVE) as command:
        assert command.stdout
        for line in command.stdout:
            if line.startswith("creating ami-"):
                full(scene.aws, None)
                break
        _, err = command.communicate(timeout=300)
    assert command.returncode == NO_CAPACITY
    scene.assert_nothing_changed()
    assert scene.settled() == "UPDATE_ROLLBACK_COMPLETE"
    (image,) = scene.images()
    assert f"{image['ImageId']}, the copy of the disk, is kept" in err
    assert "and its disk are there, and cdk.json is as before" in err
    full(scene.aws, None, but="us-east-1d" if scene.zone != "us-east-1d" else "us-east-1a")
    status, out, _ = scene.folder.runs(*MOVE)
    assert status == 0
    assert f"{image['ImageId']} is a copy of the disk already" in out
    scene.assert_moved()


@pytest.mark.tier("all")
def test_the_new_machine_fails(scene: Scene) -> None:
    """The old one is there, as after any new generation that fails."""
    scene.aws.control.resource_fault("create", last_signal(), "not today")
    status, _, err = scene.folder.runs(*MOVE)
    assert status == FINDING
    assert "cdk.json is as before" in err
    scene.assert_nothing_changed()
    scene.aws.control.set_capacity(None, True)
    status, _, err = scene.folder.runs("start", "--yes")
    assert status == 0
    (image,) = scene.images()
    assert f"{image['ImageId']} was made to move {scene.machine}, is older" in err


@pytest.mark.tier("all")
@pytest.mark.parametrize(
    ("operation", "kind", "moves"),
    [
        ("CreateCapacityReservation", "throttle", True),
        ("CreateCapacityReservation", "lost", True),
        ("CancelCapacityReservation", "lost", True),
        ("GetTemplate", "deny", False),
        ("DescribeVolumes", "deny", False),
        ("CreateChangeSet", "deny", False),
        ("CreateImage", "deny", False),
        ("CreateImage", "lost", True),
        ("DescribeImages", "throttle", True),
        ("DescribeSnapshots", "throttle", True),
        ("DescribeStackEvents", "throttle", True),
    ],
)
def test_a_call_that_fails_loses_nothing(
    scene: Scene, operation: str, kind: Any, moves: bool
) -> None:
    scene.aws.control.fault(operation, kind, times=1 if moves else None)
    status, _, err = scene.folder.runs(*MOVE)
    if moves:
        assert status == 0
        scene.assert_moved()
        return
    assert status != 0
    assert err.splitlines()[-1].startswith("start: ")
    assert scene.images() == []
    scene.aws.control.fault(operation, None)
    scene.assert_nothing_changed()


CUTS = [
    ("after", "CreateCapacityReservation", 1),
    ("before", "CreateImage", 1),
    ("after", "CreateImage", 1),
    ("before", "DescribeSnapshots", 1),
    ("before", "write cdk.json", 1),
    ("after", "write cdk.json", 1),
    ("before", "deploy", 1),
    ("after", "deploy", 1),
]


@pytest.mark.tier("all")
@pytest.mark.parametrize("cut", CUTS, ids=lambda cut: " ".join(map(str, cut)))
def test_a_power_cut_at_each_step(scene: Scene, cut: tuple[str, str, int]) -> None:
    """Then the same command again: it goes on, and the machine has moved once."""
    with scene.folder.begins(POWER_CUT, *map(str, cut), *MOVE) as command:
        out, err = command.communicate(timeout=300)
    print(out, err)
    assert command.returncode == -signal.SIGKILL
    is_moved = cut == ("after", "deploy", 1)
    if not is_moved:
        scene.assert_old_machine_is_there()
        assert len(scene.account.instances()) == 1
    is_new = scene.folder.cdk_json.read_text() != scene.folder.before
    assert is_new == (cut in (CUTS[5], CUTS[6], CUTS[7]))
    left = [row for row in scene.holds.rows if row.state == "active"]
    assert [row.match for row in left] == (["targeted"] if cut == CUTS[0] else [])

    status, out, err = scene.folder.runs(*MOVE)
    assert status == 0
    if is_new and not is_moved:
        assert "had the settings of a move that was not finished" in out
    made = scene.images()
    assert len(made) == 1, "the copy that there is was used"
    for row in left:
        scene.aws.client("ec2").cancel_capacity_reservation(
            CapacityReservationId=row.reservation_id
        )
    scene.assert_moved()


def has_two_machines(scene: Scene) -> bool:
    return len(scene.account.instances()) == 2


def is_updating(scene: Scene) -> bool:
    return stack_status(scene.aws, STACK) == "UPDATE_IN_PROGRESS"


@pytest.mark.tier("all")
@pytest.mark.parametrize("moment", [is_updating, has_two_machines])
@pytest.mark.parametrize("ends_well", [True, False])
@pytest.mark.parametrize("cli_dies", [True, False])
def test_a_power_cut_during_the_deploy(
    scene: Scene, moment: Callable[[Scene], bool], ends_well: bool, cli_dies: bool
) -> None:
    """CloudFormation goes on; then the command again goes on where that ended."""
    if not ends_well:
        scene.aws.control.resource_fault("create", last_signal(), "not today")
    with scene.folder.begins("-m", "gpustation", *MOVE) as command:
        deadline = time.monotonic() + 300
        while not moment(scene):
            assert command.poll() is None and time.monotonic() < deadline
            time.sleep(0.02)
        children = Path(f"/proc/{command.pid}/task/{command.pid}/children").read_text().split()
        os.kill(command.pid, signal.SIGKILL)
        for child in children:
            if cli_dies:
                os.killpg(int(child), signal.SIGKILL)
        if stack_status(scene.aws, STACK) == "UPDATE_IN_PROGRESS":
            busy, _, err = scene.folder.runs(*MOVE)
            if "CloudFormation works on" in err:
                assert busy == FINDING
        command.communicate(timeout=300)
    assert scene.folder.settings["generation"] == 2
    status = scene.settled()
    if status == "UPDATE_COMPLETE":
        scene.assert_moved()
        return
    assert status == "UPDATE_ROLLBACK_COMPLETE"
    scene.assert_old_machine_is_there()
    scene.aws.control.resource_fault("create", last_signal(), None)
    again, out, _ = scene.folder.runs(*MOVE)
    assert again == 0
    assert "had the settings of a move that was not finished" in out
    scene.assert_moved()


@pytest.mark.tier("all")
@pytest.mark.parametrize("moment", [is_updating, has_two_machines])
def test_ctrl_c_during_the_deploy(scene: Scene, moment: Callable[[Scene], bool]) -> None:
    with scene.folder.begins("-m", "gpustation", *MOVE) as command:
        deadline = time.monotonic() + 300
        while not moment(scene):
            assert command.poll() is None and time.monotonic() < deadline
            time.sleep(0.02)
        os.kill(command.pid, signal.SIGINT)
        _, err = command.communicate(timeout=300)
    assert command.returncode == 128 + signal.SIGINT
    assert "CloudFormation goes on (UPDATE" in err and "do not delete it before" in err
    assert scene.settled() == "UPDATE_COMPLETE"
    scene.assert_moved()


@pytest.mark.tier("all")
def test_ctrl_c_while_the_disk_is_copied_leaves_nothing(scene: Scene) -> None:
    with scene.folder.begins("-m", "gpustation", *MOVE) as command:
        assert command.stdout
        for line in command.stdout:
            if line.startswith("creating ami-"):
                break
        os.kill(command.pid, signal.SIGINT)
        out, _ = command.communicate(timeout=300)
    assert command.returncode == 128 + signal.SIGINT
    assert "is deregistered again" in out
    assert scene.images() == []
    scene.assert_nothing_changed()


@pytest.mark.tier("all")
def test_an_unfinished_move_is_taken_back_if_the_machine_starts_after_all(scene: Scene) -> None:
    """Else the next `cdk deploy` would delete what is written from now on."""
    cut = ("after", "write cdk.json", "1")
    with scene.folder.begins(POWER_CUT, *cut, *MOVE) as command:
        command.communicate(timeout=300)
    left_over = scene.folder.cdk_json.read_text()
    scene.aws.control.set_capacity(None, True)
    status, out, err = scene.folder.runs("start", "--yes")
    assert status == 0
    assert scene.instance()["InstanceId"] == scene.machine
    assert "it has those of" in out and "was made to move" in err
    assert scene.folder.settings == {"image": None, "generation": 1, "availability_zone": None}
    assert scene.folder.runs("plan")[0] == 0, "nothing changes"
    # Somebody has the settings of the move elsewhere, e.g. in a commit
    scene.folder.cdk_json.write_text(left_over)
    status, _, err = scene.folder.runs("up", "--yes")
    assert status == FINDING
    assert "is a copy of the disk of" in err and "older than" in err
    row = scene.instance()
    assert (row["InstanceId"], row["State"]["Name"]) == (scene.machine, "running")


@pytest.mark.tier("all")
def test_somebody_starts_the_machine_meanwhile(scene: Scene) -> None:
    with scene.folder.begins("-m", "gpustation", *MOVE) as command:
        assert command.stdout
        for line in command.stdout:
            if line.startswith("creating ami-"):
                scene.aws.control.set_capacity(None, True)
                time.sleep(1.1)  # EC2 tells the time of a start in seconds
                scene.aws.client("ec2").start_instances(InstanceIds=[scene.machine])
                break
        _, err = command.communicate(timeout=300)
    assert command.returncode == FINDING
    assert "was started meanwhile and is running, so it is not moved" in err
    assert scene.folder.cdk_json.read_text() == scene.folder.before
    assert scene.instance()["InstanceId"] == scene.machine


@pytest.mark.tier("all")
def test_a_named_workstation_moves(
    aws: LocalAws, account: Account, tmp_path: Path, nothing_left: None
) -> None:
    assembly = assemble(name="anna")
    assembly.publish(aws)
    stack = Stack(aws, f"{STACK}-anna")
    assert stack.deploy("create_stack", assembly.template) == "CREATE_COMPLETE"
    try:
        scene = make_scene(aws, account, AppFolder(aws, tmp_path), stack)
        status, _, _ = scene.folder.runs(*MOVE, "--name", "anna")
        assert status == 0
        assert scene.instance()["InstanceId"] != scene.machine
        assert scene.folder.settings["generation"] == 2
        (image,) = scene.images()
        assert LAST_START_TAG in {tag["Key"] for tag in image["Tags"]}
    finally:
        aws.control.reset()
        delete_stack(aws, stack.name)


@pytest.mark.tier("all")
@pytest.mark.parametrize("state", ["interrupted", "full"])
def test_a_spot_machine_moves_to_on_demand(
    aws: LocalAws, account: Account, tmp_path: Path, nothing_left: None, state: str
) -> None:
    """Its own zone may have room for an on-demand machine."""
    aws.control.set_quota(SPOT_QUOTA, 8)
    aws.control.set_quota(G_QUOTA, 8)
    folder = AppFolder(aws, tmp_path, spot=True)
    stack = deployed(aws, spot=True)
    machine, zone = (stack.outputs()[name] for name in ("InstanceId", "AvailabilityZone"))
    file = account.machine_file(machine, WORK)
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("mine")
    if state == "interrupted":
        aws.control.interrupt(machine, 0)
    else:
        aws.client("ec2").stop_instances(InstanceIds=[machine])
    aws.control.set_capacity(None, False, use="spot")
    full(aws, None, but=zone)
    aws.control.set_capacity(None, False, use="spot")
    status, out, _ = folder.runs(*MOVE)
    assert status == 0
    assert f"{zone}\troom" in out
    row = account.instance()
    assert "InstanceLifecycle" not in row
    assert account.machine_file(row["InstanceId"], WORK).read_text() == "mine"
    assert folder.settings == {
        "image": row["ImageId"],
        "generation": 2,
        "availability_zone": zone,
        "spot": False,
    }
    requests = aws.client("ec2").describe_spot_instance_requests()["SpotInstanceRequests"]
    assert {one["State"] for one in requests} <= {"cancelled", "closed"}
    assert folder.runs("plan")[0] == 0
