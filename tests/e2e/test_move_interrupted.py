"""A move that ends at any of its steps: the old machine with its disk is there, or the moved one.

Only a command that dies, with the real CDK CLI under it, shows what is left at each step.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from gpustation.console.statuses import FINDING
from tests.e2e.moving import MOVE, PATIENCE, POWER_CUT, Scene, last_signal
from tests.support.cdk_cli import STACK, stack_status


@pytest.mark.tier("all")
@pytest.mark.parametrize(
    "operation", ["GetTemplate", "DescribeVolumes", "CreateChangeSet", "CreateImage"]
)
def test_a_call_that_is_denied_changes_nothing(scene: Scene, operation: str) -> None:
    scene.aws.control.fault(operation, "deny")
    status, _, err = scene.folder.runs(*MOVE)
    assert status != 0
    assert err.splitlines()[-1].startswith("start: ")
    assert scene.images() == []
    scene.aws.control.fault(operation, None)
    scene.assert_nothing_changed()


@pytest.mark.tier("all")
def test_calls_that_fail_once_do_not_matter(scene: Scene) -> None:
    for operation in ("CreateCapacityReservation", "CreateImage", "CancelCapacityReservation"):
        scene.aws.control.fault(operation, "lost", times=1)
    for operation in ("DescribeImages", "DescribeSnapshots", "DescribeStackEvents"):
        scene.aws.control.fault(operation, "throttle", times=1)
    assert scene.folder.runs(*MOVE)[0] == 0
    scene.assert_moved()


BEFORE_WRITING = [
    ("after", "CreateCapacityReservation", 1),
    ("after", "CreateChangeSet", 1),
    ("before", "CreateImage", 1),
    ("after", "CreateImage", 1),
    ("before", "write cdk.json", 1),
    ("before", "replace cdk.json", 1),
]
AFTERWARDS = [("after", "write cdk.json", 1), ("after", "deploy", 1)]


@pytest.mark.tier("all")
@pytest.mark.parametrize(
    "cut", [*BEFORE_WRITING, *AFTERWARDS], ids=lambda cut: " ".join(map(str, cut))
)
def test_a_power_cut_at_each_step(scene: Scene, cut: tuple[str, str, int]) -> None:
    """Then the same command again: it goes on, and the machine has moved once."""
    with scene.folder.begins(POWER_CUT, *map(str, cut), *MOVE) as command:
        out, err = command.communicate(timeout=PATIENCE)
    print(out, err)
    assert command.returncode == -signal.SIGKILL
    is_moved = cut == AFTERWARDS[1]
    if not is_moved:
        scene.assert_old_machine_is_there()
        assert len(scene.account.instances()) == 1
    is_new = scene.folder.cdk_json.read_text() != scene.folder.before
    assert is_new == (cut in AFTERWARDS)
    left = [row for row in scene.holds.rows if row.state == "active"]
    assert [row.match for row in left] == (["targeted"] if cut == BEFORE_WRITING[0] else [])

    status, out, err = scene.folder.runs(*MOVE)
    assert status == 0
    if is_new and not is_moved:
        assert "had the settings of a move that was not finished" in out
    made = scene.images()
    assert len(made) == 1, "the copy that there is was used"
    # The deletion of the old generation ends what was left of its reservations, too
    scene.assert_moved()


UNFINISHED = ("after", "write cdk.json", "1")


def is_cut(scene: Scene, *cut: str) -> None:
    with scene.folder.begins(POWER_CUT, *cut, *MOVE) as command:
        out, err = command.communicate(timeout=PATIENCE)
    assert command.returncode == -signal.SIGKILL, out + err
    scene.assert_old_machine_is_there()


@pytest.mark.tier("all")
@pytest.mark.parametrize("when", ["before", "after"])
def test_a_power_cut_while_an_unfinished_move_is_taken_back(scene: Scene, when: str) -> None:
    is_cut(scene, *UNFINISHED)
    is_cut(scene, when, "write cdk.json", "1")
    assert scene.folder.settings["generation"] == (2 if when == "before" else 1)
    status, out, _ = scene.folder.runs(*MOVE)
    assert status == 0
    assert ("had the settings of a move that was not finished" in out) == (when == "before")
    assert len(scene.images()) == 1, "the copy that there is was used"
    scene.assert_moved()


@pytest.mark.tier("all")
@pytest.mark.parametrize("when", ["before", "after"])
def test_a_power_cut_while_a_failed_deploy_is_taken_back(scene: Scene, when: str) -> None:
    """The second writing of cdk.json puts it back."""
    scene.aws.control.resource_fault("create", last_signal(), "not today")
    is_cut(scene, when, "write cdk.json", "2")
    assert scene.settled() == "UPDATE_ROLLBACK_COMPLETE"
    assert (scene.folder.cdk_json.read_text() == scene.folder.before) == (when == "after")
    scene.aws.control.resource_fault("create", last_signal(), None)
    status, _, _ = scene.folder.runs(*MOVE)
    assert status == 0
    assert len(scene.images()) == 1, "the copy that there is was used"
    scene.assert_moved()


def has_two_machines(scene: Scene) -> bool:
    return len(scene.account.instances()) == 2


def is_updating(scene: Scene) -> bool:
    return stack_status(scene.aws, STACK) == "UPDATE_IN_PROGRESS"


@pytest.mark.tier("all")
@pytest.mark.parametrize(
    ("moment", "ends_well", "cli_dies"),
    [
        (is_updating, True, True),
        (has_two_machines, False, True),
        (has_two_machines, True, False),
        (is_updating, False, False),
    ],
)
def test_a_power_cut_during_the_deploy(
    scene: Scene, moment: Callable[[Scene], bool], ends_well: bool, cli_dies: bool
) -> None:
    """CloudFormation goes on; then the command again goes on where that ended."""
    if not ends_well:
        scene.aws.control.resource_fault("create", last_signal(), "not today")
    with scene.folder.begins("-m", "gpustation", *MOVE) as command:
        deadline = time.monotonic() + PATIENCE
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
        command.communicate(timeout=PATIENCE)
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


def interrupted(scene: Scene, moment: Callable[[Scene], bool]) -> str:
    """What a move says to Ctrl-C at a moment of its deploy."""
    with scene.folder.begins("-m", "gpustation", *MOVE) as command:
        deadline = time.monotonic() + PATIENCE
        while not moment(scene):
            assert command.poll() is None and time.monotonic() < deadline
            time.sleep(0.02)
        os.kill(command.pid, signal.SIGINT)
        _, err = command.communicate(timeout=PATIENCE)
    assert command.returncode == 128 + signal.SIGINT
    return err


@pytest.mark.tier("all")
def test_ctrl_c_during_the_deploy(scene: Scene) -> None:
    err = interrupted(scene, has_two_machines)
    assert "CloudFormation goes on (UPDATE" in err and "do not delete it before" in err
    assert scene.settled() == "UPDATE_COMPLETE"
    scene.assert_moved()


def is_written(scene: Scene) -> bool:
    return scene.folder.cdk_json.read_text() != scene.folder.before


@pytest.mark.tier("all")
@pytest.mark.parametrize("step", ["replace cdk.json", "write cdk.json", "deploy"])
def test_ctrl_c_before_cloudformation_begins(scene: Scene, step: str) -> None:
    """cdk.json is just written; or the CDK CLI has only just been started."""
    if step == "deploy":
        err = interrupted(scene, is_written)
    else:
        with scene.folder.begins(POWER_CUT, "ctrl-c", step, "1", *MOVE) as command:
            _, err = command.communicate(timeout=PATIENCE)
        assert command.returncode == 128 + signal.SIGINT
    assert "cdk.json is as before" in err
    (image,) = scene.images()
    assert f"{image['ImageId']}, the copy of the disk, is kept" in err
    scene.assert_nothing_changed()
    assert stack_status(scene.aws, STACK) == "CREATE_COMPLETE"


@pytest.mark.tier("all")
def test_ctrl_c_while_the_disk_is_copied_leaves_nothing(scene: Scene) -> None:
    with scene.folder.begins("-m", "gpustation", *MOVE) as command:
        assert command.stdout
        for line in command.stdout:
            if line.startswith("creating ami-"):
                break
        os.kill(command.pid, signal.SIGINT)
        out, _ = command.communicate(timeout=PATIENCE)
    assert command.returncode == 128 + signal.SIGINT
    assert "is deregistered again" in out
    assert scene.images() == []
    scene.assert_nothing_changed()


@pytest.mark.tier("all")
def test_an_unfinished_move_is_taken_back_if_the_machine_starts_after_all(scene: Scene) -> None:
    """Else the next `cdk deploy` would delete what is written from now on."""
    is_cut(scene, *UNFINISHED)
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
