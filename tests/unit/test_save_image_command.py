"""Images are waited for, and removed with all their snapshots, whatever EC2 knows at the moment."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from typing import Any

import pytest
from botocore.exceptions import EndpointConnectionError, ReadTimeoutError

from gpustation.aws import session
from gpustation.cli import image_save
from gpustation.cli.app import main
from gpustation.console import interrupts
from gpustation.saved_image import make as making
from gpustation.saved_image import remove as removing
from gpustation.saved_image.make import DataVolume, Workstation, save
from gpustation.saved_image.remove import SETTLE_SECONDS, SaveImageError, remove
from tests.unit.fake_ec2 import IMAGE, MACHINE, ROOT_SNAPSHOT, FakeEc2, Refusal

SETTINGS = {"framework": "mxnet", "driver_kind": "open", "generation": 1}
DATA = (DataVolume("/dev/sdf", "vol-1", 500, "gp3"), DataVolume("/dev/sdg", "vol-2", 100, "st1"))
UNDO = f"gpustation image undo {IMAGE}"
LATE_SNAPSHOT = "snap-0bbbbbbbbbbbbbbbb"


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Waits take no time here; the list tells them."""
    waits: list[float] = []

    class Clock:
        @staticmethod
        def monotonic() -> float:
            return sum(waits)

        @staticmethod
        def sleep(seconds: float) -> None:
            waits.append(seconds)

    for module in (making, removing, interrupts):
        monkeypatch.setattr(module, "time", Clock)
    return waits


@pytest.fixture
def told() -> list[str]:
    return []


def workstation(data_volumes: tuple[DataVolume, ...] = ()) -> Workstation:
    return Workstation("Mine", MACHINE, SETTINGS, data_volumes)


def saved(ec2: FakeEc2, told: list[str], **options: Any) -> str:
    return save(ec2.client, workstation(), "my work", report=told.append, **options)


def assert_nothing_left(ec2: FakeEc2) -> None:
    assert (ec2.images, ec2.snapshots) == ({}, {})


@pytest.mark.parametrize("is_empty", [False, True])
def test_an_image_that_ec2_does_not_know_yet_is_waited_for(
    told: list[str], is_empty: bool, clock: list[float]
) -> None:
    ec2 = FakeEc2(unknown=3, unknown_is_empty=is_empty, pending=2)
    assert saved(ec2, told) == IMAGE
    assert "EC2 does not show the image yet" in told
    assert f"snapshot {ROOT_SNAPSHOT}: 10%" in told
    assert 40 < sum(clock) < 60, "a look every ten seconds"
    assert "DeregisterImage" not in ec2.calls


def test_one_that_never_shows_ends_with_both_ids_and_the_command(
    told: list[str], clock: list[float]
) -> None:
    ec2 = FakeEc2(unknown=float("inf"))
    made = {"ImageId": IMAGE, "Tags": [{"Key": "gpustation:saved-from", "Value": MACHINE}]}
    ec2.add_snapshot(ROOT_SNAPSHOT, made)
    with pytest.raises(SaveImageError, match=f"{IMAGE}: EC2 has not shown it for 120 s"):
        saved(ec2, told)
    assert told[-1] == (
        f"LEFT: {IMAGE} (snapshots: {ROOT_SNAPSHOT}): EC2 did not show it for 120 s; it may "
        f"appear later and be billed; then run: {UNDO}"
    )
    assert ec2.calls[-1] == "DeregisterImage", "by its id, though no call showed it"
    assert sum(clock) < 3 * SETTLE_SECONDS


def test_a_clean_up_goes_by_the_id_where_only_deregistering_knows_the_image(
    told: list[str],
) -> None:
    ec2 = FakeEc2(unknown=float("inf"))
    ec2.before["DeregisterImage"] = lambda: setattr(ec2, "unknown", 0)
    with pytest.raises(SaveImageError, match="has not shown it"):
        saved(ec2, told)
    assert told[-1] == f"{IMAGE} is deregistered again; deleted: no snapshot"
    assert_nothing_left(ec2)


def test_a_snapshot_not_known_yet_is_no_fault(told: list[str]) -> None:
    ec2 = FakeEc2(pending=2)
    refuse = iter([True, False])

    def unknown() -> None:
        if next(refuse, False):
            raise Refusal("InvalidSnapshot.NotFound")

    plain = ec2._DescribeSnapshots
    ec2._DescribeSnapshots = lambda **asked: (unknown(), plain(**asked))[1]  # type: ignore[method-assign]
    assert saved(ec2, told) == IMAGE
    assert told[1:3] == [f"snapshot {ROOT_SNAPSHOT}: 0%", f"snapshot {ROOT_SNAPSHOT}: 10%"]


@pytest.mark.parametrize("result", ["internal-error", "client-error", "missing-permissions"])
def test_a_snapshot_in_use_is_tried_again(told: list[str], result: str, clock: list[float]) -> None:
    ec2 = FakeEc2(pending=99, in_use=3, result=result)
    with pytest.raises(SaveImageError, match=r"not available after 0\.01 minutes"):
        saved(ec2, told, minutes=0.01)
    assert told[-1] == f"{IMAGE} is deregistered again; deleted: {ROOT_SNAPSHOT}"
    assert_nothing_left(ec2)
    assert clock[-3:] == [1, 2, 4]


@pytest.mark.parametrize(
    ("fault", "why"),
    [
        ({"result": "skipped"}, "another image uses it"),
        (
            {"result": "client-error", "in_use": float("inf")},
            f"InvalidSnapshot.InUse: in use by {IMAGE}",
        ),
    ],
)
def test_a_snapshot_that_stays_is_named_and_undo_can_be_repeated(
    told: list[str], fault: dict[str, Any], why: str
) -> None:
    ec2 = FakeEc2(pending=0, **fault)
    saved(ec2, told)
    with pytest.raises(SaveImageError) as left:
        remove(ec2.client, IMAGE)
    assert str(left.value) == (
        f"{IMAGE} is deregistered, but {ROOT_SNAPSHOT} could not be deleted and is billed: {why}. "
        f"After fixing that, run: {UNDO}"
    )
    ec2.in_use = 0
    assert remove(ec2.client, IMAGE) == [ROOT_SNAPSHOT]
    assert_nothing_left(ec2)
    with pytest.raises(SaveImageError, match="neither such an image nor snapshots of it"):
        remove(ec2.client, IMAGE)


def run(ec2: FakeEc2, monkeypatch: pytest.MonkeyPatch, *words: str) -> int:
    class Session:
        @staticmethod
        def client(name: str) -> Any:
            return ec2.client

    monkeypatch.setattr(session, "make_session", lambda _: Session)
    monkeypatch.setattr(making, "find_workstation", lambda *_: workstation())
    return main(["image", *(words or ["save"]), "--yes"])


def send(*numbers: int) -> Callable[[], None]:
    """Sends the signals, at the first call only."""
    left = [*numbers]

    def once() -> None:
        while left:
            os.kill(os.getpid(), left.pop(0))

    return once


@pytest.mark.parametrize("number", interrupts.SIGNALS)
@pytest.mark.parametrize("operation", ["CreateImage", "DescribeImages"])
def test_a_signal_removes_the_image_with_snapshots_that_come_late(
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    number: signal.Signals,
    operation: str,
) -> None:
    ec2 = FakeEc2(pending=99, snapshots_late=4)
    ec2.after[operation] = send(number)
    assert run(ec2, monkeypatch) == 128 + number
    assert_nothing_left(ec2)
    out, err = capfd.readouterr()
    assert out.splitlines()[-1] == f"{IMAGE} is deregistered again; deleted: {ROOT_SNAPSHOT}"
    assert err.startswith(f"{number.name}: ")
    assert err.endswith("image save: interrupted\n")


@pytest.mark.parametrize("operation", ["DeregisterImage", "DeleteSnapshot"])
def test_no_further_signal_cuts_the_clean_up_and_each_is_answered(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], operation: str
) -> None:
    ec2 = FakeEc2(pending=99, result="client-error", in_use=1)
    ec2.after["DescribeImages"] = send(signal.SIGTERM)
    ec2.before[operation] = send(signal.SIGINT, signal.SIGINT, signal.SIGHUP)
    assert run(ec2, monkeypatch) == 128 + signal.SIGTERM
    assert_nothing_left(ec2)
    assert capfd.readouterr().err.count(f"{UNDO}\n") == 4


def test_a_snapshot_that_appears_only_after_the_image_is_gone_is_deleted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    ec2 = FakeEc2(pending=99)
    ec2.before["DescribeImages"] = send(signal.SIGINT)

    def appears() -> None:
        ec2.add_snapshot(LATE_SNAPSHOT, ec2.images[IMAGE])

    ec2.before["DeregisterImage"] = appears
    assert run(ec2, monkeypatch) == 130
    assert_nothing_left(ec2)


def test_the_snapshots_of_data_volumes_are_waited_for_too(clock: list[float]) -> None:
    ec2 = FakeEc2(pending=99)
    looks = iter(range(99))

    def appears() -> None:
        if next(looks) == 6:
            for number, _ in enumerate(DATA):
                ec2.add_snapshot(f"snap-{number}", ec2.images[IMAGE])

    ec2.after["DescribeImages"] = appears
    told: list[str] = []
    machine = workstation(DATA)
    with pytest.raises(SaveImageError, match="was not available after -1 minutes"):
        save(ec2.client, machine, "all", report=told.append, with_data_volumes=True, minutes=-1)
    assert_nothing_left(ec2)
    assert sum(clock) < SETTLE_SECONDS
    assert told[-1].endswith(f"; deleted: snap-0, {ROOT_SNAPSHOT}, snap-1")


def test_what_cannot_be_removed_is_named_and_the_status_stays(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    ec2 = FakeEc2(pending=99)
    ec2.after["DescribeImages"] = send(signal.SIGTERM)

    def refuse(**_: Any) -> Any:
        raise Refusal("ExpiredToken", "The token has expired")

    monkeypatch.setattr(ec2, "_DeregisterImage", refuse)
    assert run(ec2, monkeypatch) == 128 + signal.SIGTERM
    left = capfd.readouterr().out.splitlines()[-1]
    assert left.startswith(f"LEFT: {IMAGE}, which is billed (ExpiredToken: The token has expired (")
    assert left.endswith(f"; run: {UNDO}")


def test_undo_is_finished_though_a_signal_comes(monkeypatch: pytest.MonkeyPatch) -> None:
    ec2 = FakeEc2(pending=0)
    assert run(ec2, monkeypatch) == 0
    ec2.before["DeregisterImage"] = send(signal.SIGINT, signal.SIGTERM)
    assert run(ec2, monkeypatch, "undo", IMAGE) == 130
    assert_nothing_left(ec2)


def lose_answer(ec2: FakeEc2, error: BaseException) -> None:
    def lose() -> None:
        raise error

    ec2.after["CreateImage"] = lose


def test_an_image_whose_answer_got_lost_is_found_and_goes_on(told: list[str]) -> None:
    ec2 = FakeEc2(unknown=2)
    lose_answer(ec2, ReadTimeoutError(endpoint_url="https://ec2"))
    assert saved(ec2, told) == IMAGE
    assert told[0].startswith("CreateImage may have succeeded (Read timeout on endpoint URL")


def test_a_repeated_request_that_meets_its_own_image_goes_on(told: list[str]) -> None:
    ec2 = FakeEc2()
    plain = ec2._CreateImage

    def twice(**asked: Any) -> Any:
        plain(**asked)
        raise Refusal("InvalidAMIName.Duplicate", retries=1)

    ec2._CreateImage = twice  # type: ignore[method-assign]
    assert saved(ec2, told) == IMAGE


def test_a_signal_while_the_answer_is_lost_still_removes_the_image(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    ec2 = FakeEc2(unknown=2, pending=99)
    ec2.before["CreateImage"] = send(signal.SIGHUP)
    lose_answer(ec2, ReadTimeoutError(endpoint_url="https://ec2"))
    assert run(ec2, monkeypatch) == 129
    assert_nothing_left(ec2)


@pytest.mark.parametrize("retries", [0, 1])
def test_an_image_of_that_name_that_was_there_before_stays(told: list[str], retries: int) -> None:
    ec2 = FakeEc2()
    theirs = {"ImageId": IMAGE, "Name": "my work", "Tags": []}
    ec2.images[IMAGE] = theirs

    def refuse(**_: Any) -> Any:
        raise Refusal("InvalidAMIName.Duplicate", retries=retries)

    ec2._CreateImage = refuse  # type: ignore[method-assign]
    with pytest.raises(
        SaveImageError, match=r"--image-name my work: .*Duplicate.*use another name"
    ):
        saved(ec2, told)
    assert ec2.images == {IMAGE: theirs}


def test_a_network_that_is_gone_for_a_while_does_not_end_the_image(told: list[str]) -> None:
    ec2 = FakeEc2(pending=3)
    gone = iter([EndpointConnectionError(endpoint_url="https://ec2")] * 40)

    def lose() -> None:
        for error in gone:
            raise error

    ec2.before["DescribeImages"] = lose
    assert saved(ec2, told) == IMAGE
    assert any(line.startswith("EC2 cannot be reached: Could not connect") for line in told)


def test_data_volumes_are_left_out_of_the_image(told: list[str]) -> None:
    ec2 = FakeEc2()
    save(ec2.client, workstation(DATA), "my work", report=told.append)
    assert ec2.request["BlockDeviceMappings"] == [
        {"DeviceName": "/dev/sdf", "NoDevice": ""},
        {"DeviceName": "/dev/sdg", "NoDevice": ""},
    ]


def test_data_volumes_that_were_asked_for_go_with_their_machine(told: list[str]) -> None:
    ec2 = FakeEc2()
    save(ec2.client, workstation(DATA), "my work", report=told.append, with_data_volumes=True)
    ebs = {"DeleteOnTermination": True}
    assert ec2.request["BlockDeviceMappings"] == [
        {"DeviceName": "/dev/sdf", "Ebs": ebs},
        {"DeviceName": "/dev/sdg", "Ebs": ebs},
    ]
    tags = {one["Key"]: one["Value"] for one in ec2.request["TagSpecifications"][0]["Tags"]}
    assert tags["gpustation:data-volumes"] == "/dev/sdf /dev/sdg"


def test_a_machine_without_data_volumes_has_an_image_as_ec2_makes_it(told: list[str]) -> None:
    ec2 = FakeEc2()
    saved(ec2, told, with_data_volumes=True)
    assert "BlockDeviceMappings" not in ec2.request
    keys = [one["Key"] for one in ec2.request["TagSpecifications"][0]["Tags"]]
    assert "gpustation:data-volumes" not in keys


def test_the_machines_volumes_are_found() -> None:
    assert making._data_volumes(FakeEc2().client, "Mine", MACHINE) == DATA


@pytest.mark.parametrize("state", ["shutting-down", "terminated", ""])
def test_a_machine_that_is_gone_is_refused_in_one_line(
    monkeypatch: pytest.MonkeyPatch, state: str
) -> None:
    ec2 = FakeEc2()
    machine = {"InstanceId": MACHINE, "State": {"Name": state}}
    found = {"Reservations": [{"Instances": [machine]}] if state else []}
    monkeypatch.setattr(ec2, "_DescribeInstances", lambda **_: found)
    with pytest.raises(SaveImageError, match=f"--stack Mine: its machine {MACHINE} is terminated"):
        making._data_volumes(ec2.client, "Mine", MACHINE)


@pytest.mark.parametrize(
    ("taken", "lines"),
    [
        (
            False,
            [
                "vol-1 (/dev/sdf, 500 GiB of gp3) is omitted; --with-data-volumes includes it: up "
                "to 25.00 USD per month for its snapshot",
                "vol-2 (/dev/sdg, 100 GiB of st1) is omitted; --with-data-volumes includes it: up "
                "to 5.00 USD per month for its snapshot",
            ],
        ),
        (
            True,
            [
                "vol-1 (/dev/sdf, 500 GiB of gp3) is included: up to 25.00 USD per month for its "
                "snapshot, and 40.00 USD per month for the copy in each machine from the image, "
                "as long as the machine exists",
                "vol-2 (/dev/sdg, 100 GiB of st1) is included: up to 5.00 USD per month for its "
                "snapshot, and 4.50 USD per month for the copy in each machine from the image, "
                "as long as the machine exists",
            ],
        ),
    ],
)
def test_the_person_reads_what_becomes_of_each_volume_and_its_price(
    capsys: pytest.CaptureFixture[str], taken: bool, lines: list[str]
) -> None:
    print(*image_save._volumes(DATA, taken), sep="\n")
    assert capsys.readouterr().out.splitlines() == lines


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (("undo", "ami-*"), "'ami-*' is not a valid image id: ami- and 17"),
        (("undo", ""), "'' is not a valid image id"),
        (("undo", "ami-0123456789ABCDEF0"), "is not a valid image id"),
        (("save", "--image-name", "ab"), "'ab' is not a valid image name: 3 to 128 letters"),
        (("save", "--image-name", "my:work"), "'my:work' is not a valid image name"),
    ],
)
def test_an_id_or_a_name_that_cannot_be_is_refused_before_any_call(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    words: tuple[str, ...],
    text: str,
) -> None:
    ec2 = FakeEc2()
    assert run(ec2, monkeypatch, *words) == 2
    assert text in capsys.readouterr().err
    assert ec2.calls == []
