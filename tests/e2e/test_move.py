"""``gpustation start`` where the zone is full: the machine moves with its disk, after a yes.

Only the real CDK CLI shows what a move leaves for the next deploy.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from gpustation.catalog.names import LAST_START_TAG
from gpustation.cli.app import main
from gpustation.console.statuses import FINDING, NO_CAPACITY
from localaws import LocalAws
from tests.e2e.moving import MOVE, PATIENCE, WORK, Scene, deployed, full, last_signal, make_scene
from tests.support.app_folder import AppFolder
from tests.support.assembly import assemble
from tests.support.cdk_cli import STACK, Account, delete_stack
from tests.support.probe_stack import G_QUOTA, Stack
from tests.support.synthesis import ROOT

SPOT_QUOTA = "L-3819A6DF"


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
def test_it_is_offered_declined_and_done(
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
    assert at_a_terminal("start", answers=["y", "y"]) == 0
    scene.assert_moved()


@pytest.mark.tier("all")
def test_what_the_deploy_brings_along_is_shown(scene: Scene) -> None:
    """And a disk that somebody enlarged keeps its size."""
    document = json.loads(scene.folder.before)
    document["context"]["idle_stop_minutes"] = 120
    scene.folder.cdk_json.write_text(json.dumps(document, indent=2))
    scene.aws.client("ec2").modify_volume(VolumeId=scene.volume, Size=100)
    status, out, _ = scene.folder.runs(*MOVE)
    assert status == 0
    assert "also idle_stop_minutes: 60 -> 120" in out
    assert scene.folder.settings["disk_gib"] == 100
    volume = scene.account.root_volume()
    (row,) = scene.aws.client("ec2").describe_volumes(VolumeIds=[volume])["Volumes"]
    assert row["Size"] == 100
    assert scene.instance()["InstanceId"] != scene.machine


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
def test_another_volume_is_not_left_behind(scene: Scene) -> None:
    ec2 = scene.aws.client("ec2")
    volume = ec2.create_volume(AvailabilityZone=scene.zone, Size=500)["VolumeId"]
    ec2.attach_volume(VolumeId=volume, InstanceId=scene.machine, Device="/dev/sdf")
    try:
        err = without_a_move(scene, *MOVE[1:])
    finally:
        ec2.detach_volume(VolumeId=volume)
        ec2.delete_volume(VolumeId=volume)
    assert f"{volume} (/dev/sdf" in err and "--with-data-volumes" in err


@pytest.mark.tier("all")
def test_the_room_is_gone_at_the_deploy(scene: Scene) -> None:
    """Between the question and the deploy, which asks again: all is as before, but for the copy."""
    with scene.folder.begins("-m", "gpustation", *MOVE) as command:
        assert command.stdout
        for line in command.stdout:
            if line.startswith("creating ami-"):
                full(scene.aws, None)
                break
        _, err = command.communicate(timeout=PATIENCE)
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
def test_somebody_starts_the_machine_meanwhile(scene: Scene) -> None:
    with scene.folder.begins("-m", "gpustation", *MOVE) as command:
        assert command.stdout
        for line in command.stdout:
            if line.startswith("creating ami-"):
                scene.aws.control.set_capacity(None, True)
                time.sleep(1.1)  # EC2 tells the time of a start in seconds
                scene.aws.client("ec2").start_instances(InstanceIds=[scene.machine])
                break
        _, err = command.communicate(timeout=PATIENCE)
    assert command.returncode == FINDING
    assert "was started meanwhile and is running, so it is not moved" in err
    assert scene.folder.cdk_json.read_text() == scene.folder.before
    assert scene.instance()["InstanceId"] == scene.machine


@pytest.mark.tier("all")
def test_a_named_workstation_moves(
    aws: LocalAws, account: Account, tmp_path: Path, no_copies: None
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
def test_a_spot_machine_moves_to_on_demand(
    aws: LocalAws, account: Account, tmp_path: Path, no_copies: None
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
    aws.control.interrupt(machine, 0)
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
