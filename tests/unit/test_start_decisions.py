"""What ``gpustation start`` makes of EC2's answers: refusals, spot requests, waiting, other zones.

Against the embedded AWS: tests/cli/test_start_elsewhere.py; the move: tests/e2e/test_move.py.
"""

from __future__ import annotations

import itertools
import os
import signal
from collections.abc import Callable, Iterator
from datetime import datetime, timezone
from typing import Any

import pytest
from botocore.exceptions import ClientError, EndpointConnectionError, ReadTimeoutError

from gpustation.aws.capacity import Answer
from gpustation.catalog.capacity import HOLD_TAG, PROBE_TAG, SWITCHED_OFF, Kind
from gpustation.catalog.names import LAST_START_TAG, SAVED_TAG, started_text
from gpustation.catalog.spot import SpotRequest, Standing
from gpustation.console.errors import CommandError
from gpustation.console.interrupts import Interrupted
from gpustation.console.statuses import NO_CAPACITY, TIMED_OUT
from gpustation.handlers.moved_image import require_newest_copy
from gpustation.handlers.responder import RefusedError
from gpustation.move.copies import Copy
from gpustation.move.settings import Target
from gpustation.workstation import machine as machines
from gpustation.workstation import other_zones, patience, power, spot_state
from gpustation.workstation.find import Workstation
from gpustation.workstation.machine import Machine, read_machine
from gpustation.workstation.refusal import Cause, NotStartedError, no_room, refused
from tests.unit.stubbed_aws import STACK_ID

NOW = datetime(2026, 11, 28, 21, 31, tzinfo=timezone.utc)
ME = "i-0123456789abcdef0"


def error(code: str, status: int = 400) -> ClientError:
    response: Any = {
        "Error": {"Code": code, "Message": "..."},
        "ResponseMetadata": {"HTTPStatusCode": status},
    }
    return ClientError(response, "StartInstances")


def row(state: str = "stopped", **changes: Any) -> dict[str, Any]:
    """A machine as EC2 describes it."""
    return {
        "InstanceId": ME,
        "InstanceType": "g4dn.xlarge",
        "State": {"Name": state},
        "Placement": {"AvailabilityZone": "us-east-1a"},
        "LaunchTime": NOW,
        **changes,
    }


SPOT = {"InstanceLifecycle": "spot", "SpotInstanceRequestId": "sir-1"}


def machine(**changes: Any) -> Machine:
    described: Any = row(**changes)
    return read_machine(described)


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

    for module in (power, spot_state, patience, machines):
        monkeypatch.setattr(module, "time", Clock, raising=False)
    return waits


class FakeEc2:
    """Describes a machine, its spot request, and starts it; each list is what comes, in order.

    The last entry of a list comes for ever.
    """

    def __init__(self, *states: dict[str, Any]) -> None:
        self.machines = [*states]
        self.requests: list[Any] = []
        self.starts: list[Exception | None] = [None]
        self.started = 0

    @staticmethod
    def _next(answers: list[Any]) -> Any:
        answer = answers.pop(0) if len(answers) > 1 else answers[0]
        if isinstance(answer, Exception):
            raise answer
        return answer

    def describe_instances(self, **_names: Any) -> dict[str, Any]:
        return {"Reservations": [{"Instances": [self._next(self.machines)]}]}

    def start_instances(self, **_names: Any) -> None:
        self.started += 1
        self._next(self.starts)

    def get_paginator(self, operation: str) -> FakeEc2:
        assert operation == "describe_spot_instance_requests"
        return self

    def paginate(self, **_filters: Any) -> FakeEc2:
        return self

    def build_full_result(self) -> dict[str, Any]:
        answer = self._next(self.requests)
        return {"SpotInstanceRequests": [answer] if answer else []}


def request(state: str, code: str) -> dict[str, Any]:
    return {
        "SpotInstanceRequestId": "sir-1",
        "State": state,
        "Status": {"Code": code, "UpdateTime": NOW},
    }


def started(ec2: FakeEc2, told: list[str] | None = None) -> Machine:
    client: Any = ec2
    return power.start(client, ME, (told if told is not None else []).append)


class TestRefusals:
    @pytest.mark.parametrize(
        ("code", "cause"),
        [
            ("InsufficientInstanceCapacity", Cause.FULL),
            ("InsufficientHostCapacity", Cause.FULL),
            ("VcpuLimitExceeded", Cause.QUOTA),
            ("InstanceLimitExceeded", Cause.QUOTA),
            ("MaxSpotInstanceCountExceeded", Cause.QUOTA),
            ("Unsupported", Cause.UNSUPPORTED),
        ],
    )
    def test_a_code_has_a_cause(self, code: str, cause: Cause) -> None:
        refusal = refused(error(code), machine())
        assert isinstance(refusal, NotStartedError)
        assert (refusal.cause, refusal.status) == (cause, NO_CAPACITY)
        assert code in str(refusal) and "\n" not in str(refusal)

    @pytest.mark.parametrize("code", ["RequestLimitExceeded", "IncorrectInstanceState", "Denied"])
    def test_another_code_is_no_lack_of_room(self, code: str) -> None:
        plain = error(code)
        assert refused(plain, machine()) is plain

    def test_the_quota_of_a_spot_machine_is_that_of_spot(self) -> None:
        assert "L-3819A6DF" in str(refused(error("VcpuLimitExceeded"), machine(**SPOT)))
        assert "L-DB2E81BA" in str(refused(error("VcpuLimitExceeded"), machine()))

    def test_a_start_that_fails_later_is_a_lack_of_room(self) -> None:
        """EC2 accepts it, and the machine is stopped again (EC2 API, StateReason)."""
        why = {"Code": "Server.InsufficientInstanceCapacity"}
        ec2 = FakeEc2(row(), row("pending"), row("stopped", StateReason=why))
        with pytest.raises(NotStartedError, match=r"us-east-1a.*has no free g4dn\.xlarge") as no:
            started(ec2)
        assert no.value.cause is Cause.FULL

    def test_the_reason_of_an_earlier_start_is_not_that_of_this_one(self) -> None:
        why = {"Code": "Server.InsufficientInstanceCapacity"}
        old = row("stopped", StateReason=why)
        assert started(FakeEc2(old, old, row("pending"), row("running"))).state == "running"


class TestSpot:
    @pytest.mark.parametrize(
        ("state", "code", "standing"),
        [
            ("disabled", "instance-stopped-by-user", Standing.STARTABLE),
            ("active", "marked-for-stop", Standing.SETTLING),
            ("active", "fulfilled", Standing.SETTLING),
            ("disabled", "instance-stopped-no-capacity", Standing.INTERRUPTED),
            ("disabled", "instance-stopped-by-price", Standing.INTERRUPTED),
            ("disabled", "instance-stopped-capacity-oversubscribed", Standing.INTERRUPTED),
            ("open", "capacity-not-available", Standing.INTERRUPTED),
            ("open", "pending-evaluation", Standing.INTERRUPTED),
            ("cancelled", "instance-stopped-by-user", Standing.ENDED),
            ("closed", "instance-terminated-by-user", Standing.ENDED),
            ("failed", "bad-parameters", Standing.ENDED),
            ("disabled", "something-new", Standing.UNKNOWN),
        ],
    )
    def test_what_a_state_means(self, state: str, code: str, standing: Standing) -> None:
        assert SpotRequest("sir-1", state, code, None).standing is standing

    def test_the_request_is_waited_for(self, clock: list[float]) -> None:
        """AWS documents no time; two minutes are more than any public report."""
        ec2 = FakeEc2(*[row(**SPOT)] * 4, row("running", **SPOT))
        ec2.requests = [
            *[request("active", "marked-for-stop")] * 3,
            request("disabled", "instance-stopped-by-user"),
        ]
        told: list[str] = []
        assert started(ec2, told).state == "running"
        assert ec2.started == 1
        assert clock[:3] == [3.0] * 3
        assert told[0] == (
            "EC2 has not noted the stop yet: spot request sir-1 is active (marked-for-stop)"
        )

    def test_it_is_not_waited_for_longer(self, clock: list[float]) -> None:
        ec2 = FakeEc2(row(**SPOT))
        ec2.requests = [request("active", "marked-for-stop")]
        with pytest.raises(CommandError, match=r"active \(marked-for-stop\) after 120 s") as late:
            started(ec2)
        assert late.value.status == TIMED_OUT
        assert sum(clock) <= 120
        assert ec2.started == 0

    def test_ec2_may_start_it_meanwhile(self) -> None:
        ec2 = FakeEc2(row(**SPOT), row("pending", **SPOT), row("running", **SPOT))
        ec2.requests = [request("active", "fulfilled")]
        assert started(ec2).state == "running"
        assert ec2.started == 0

    def test_an_interrupted_one_is_not_tried(self) -> None:
        ec2 = FakeEc2(row(**SPOT))
        ec2.requests = [request("disabled", "instance-stopped-no-capacity")]
        with pytest.raises(NotStartedError, match="since 2026-11-28 21:31 UTC") as no:
            started(ec2)
        assert (no.value.cause, ec2.started) == (Cause.INTERRUPTED, 0)
        assert no.value.cause.passes

    @pytest.mark.parametrize("over", [None, request("cancelled", "instance-stopped-by-user")])
    def test_one_whose_request_is_over_is_not_tried(self, over: Any) -> None:
        ec2 = FakeEc2(row(**SPOT))
        ec2.requests = [over]
        with pytest.raises(NotStartedError, match="nobody can start it again") as no:
            started(ec2)
        assert (no.value.cause, ec2.started) == (Cause.ENDED, 0)
        assert not no.value.cause.passes

    def test_without_the_right_to_read_it_the_start_shows_it(self, clock: list[float]) -> None:
        ec2 = FakeEc2(row(**SPOT), row("running", **SPOT))
        ec2.requests = [error("UnauthorizedOperation")]
        ec2.starts = [error("IncorrectSpotRequestState"), error("IncorrectSpotRequestState"), None]
        told: list[str] = []
        assert started(ec2, told).state == "running"
        assert ec2.started == 3
        assert "permission is missing" in told[0]

    def test_and_it_ends_with_what_that_may_mean(self, clock: list[float]) -> None:
        ec2 = FakeEc2(row(**SPOT))
        ec2.requests = [error("UnauthorizedOperation")]
        ec2.starts = [error("IncorrectSpotRequestState")]
        with pytest.raises(NotStartedError, match="only EC2 starts again"):
            started(ec2)
        assert 110 < sum(clock) <= 120


class TestWaiting:
    def test_pauses_grow_and_differ(self) -> None:
        plain = [*itertools.islice(patience.pauses(lambda low, high: (low + high) / 2), 6)]
        assert plain == [30, 45, 67.5, 101.25, 120, 120]
        for pause, middle in zip(patience.pauses(), plain, strict=False):
            assert 0.8 * middle <= pause <= 1.2 * middle

    def test_it_ends_with_room(self, clock: list[float]) -> None:
        answers: Iterator[Any] = iter([no_room(machine(), "Full"), error("Throttling"), None])
        told: list[str] = []

        def start() -> Machine:
            if answer := next(answers):
                raise answer
            return machine(state="running")

        assert patience.start_patiently(start, 120, told.append).state == "running"
        assert len(told) == 2
        assert told[0].startswith("attempt 1: us-east-1a, the zone of its disk, has no free")
        assert len(clock) == 2

    @pytest.mark.parametrize("minutes", [1, 7, 120])
    def test_it_ends_at_the_deadline_with_a_last_attempt(
        self, clock: list[float], minutes: int
    ) -> None:
        tries: list[float] = []

        def start() -> Machine:
            tries.append(sum(clock))
            raise no_room(machine(), "InsufficientInstanceCapacity")

        with pytest.raises(NotStartedError, match=f"attempts in {minutes} minutes") as over:
            patience.start_patiently(start, minutes, lambda _: None)
        assert over.value.status == NO_CAPACITY
        assert tries[-1] == pytest.approx(minutes * 60)
        assert len(tries) >= 2

    @pytest.mark.parametrize(
        "fault",
        [
            refused(error("Unsupported"), machine()),
            error("UnauthorizedOperation"),
            error("ExpiredToken"),
            CommandError("it is being terminated"),
        ],
        ids=str,
    )
    def test_what_waiting_does_not_change_ends_it(
        self, clock: list[float], fault: Exception
    ) -> None:
        def start() -> Machine:
            raise fault

        with pytest.raises(type(fault)):
            patience.start_patiently(start, 120, lambda _: None)
        assert clock == []

    def test_a_lost_network_does_not_end_it(self) -> None:
        answers: Iterator[Any] = iter([EndpointConnectionError(endpoint_url="ec2"), None])

        def start() -> Machine:
            if answer := next(answers):
                raise answer
            return machine(state="running")

        assert patience.start_patiently(start, 5, lambda _: None).state == "running"

    def test_a_lost_network_at_the_deadline_is_what_is_told(self) -> None:
        def start() -> Machine:
            raise EndpointConnectionError(endpoint_url="ec2")

        with pytest.raises(EndpointConnectionError):
            patience.start_patiently(start, 1, lambda _: None)


ZONES = ["us-east-1a", "us-east-1b", "us-east-1c", "us-east-1d"]


class FakeZones:
    """EC2 whose zones answer what a test says; without a word they have room."""

    def __init__(self) -> None:
        self.answers: dict[str, Any] = {}
        self.made: dict[str, str] = {}
        self.tags: list[dict[str, str]] = []
        self.asked: list[str] = []
        self.cancelled: list[str] = []
        self.refuses_to_cancel = False
        self.before: Callable[[str], None] = lambda _: None
        self.meta = type("Meta", (), {"region_name": "us-east-1"})()

    def describe_availability_zones(self, **_: Any) -> dict[str, Any]:
        return {"AvailabilityZones": [{"ZoneName": zone} for zone in ZONES]}

    def create_capacity_reservation(self, **call: Any) -> dict[str, Any]:
        zone = call["AvailabilityZone"]
        assert (call["InstanceCount"], call["InstanceMatchCriteria"]) == (1, "targeted")
        assert call["EndDateType"] == "limited"
        assert not {"StartDate", "CommitmentDuration"} & {*call}
        if zone not in self.asked:
            self.asked.append(zone)
        self.before(zone)
        answer = self.answers.get(zone)
        if isinstance(answer, ClientError):
            raise answer
        self.made[f"cr-{zone}"] = "active"
        (specification,) = call["TagSpecifications"]
        self.tags.append({tag["Key"]: tag["Value"] for tag in specification["Tags"]})
        if isinstance(answer, Exception):
            raise answer
        made = {"CapacityReservationId": f"cr-{zone}", "State": "active"}
        return {"CapacityReservation": {**made, "AvailableInstanceCount": 1}}

    def cancel_capacity_reservation(self, CapacityReservationId: str) -> None:
        if self.refuses_to_cancel:
            raise error("UnauthorizedOperation")
        self.cancelled.append(CapacityReservationId)
        self.made[CapacityReservationId] = "cancelled"

    def get_paginator(self, operation: str) -> Any:
        offering = [{"InstanceType": "g4dn.xlarge", "Location": zone} for zone in ZONES]
        made = [{"CapacityReservationId": name} for name in self.made]

        class Pages:
            asked: Any = None

            def paginate(self, **asked: Any) -> Pages:
                self.asked = asked
                return self

            def build_full_result(self) -> dict[str, Any]:
                if operation == "describe_instance_type_offerings":
                    return {"InstanceTypeOfferings": offering}
                names = {one["Name"] for one in self.asked["Filters"]}
                assert names == {"state", f"tag:{PROBE_TAG}"}, "only its own"
                return {"CapacityReservations": made}

        return Pages()

    @property
    def left(self) -> list[str]:
        return [name for name, state in self.made.items() if state == "active"]


def ask(ec2: FakeZones, **changes: Any) -> other_zones.Zones:
    session: Any = type("Session", (), {"client": lambda *_args, **_kwargs: ec2})()
    outputs = changes.pop("outputs", {})
    workstation = Workstation("GpuWorkstation", "CREATE_COMPLETE", ME, outputs, NOW, STACK_ID)
    own_zone = changes.pop("own_zone", False)
    return other_zones.ask_zones(session, workstation, machine(**changes), own_zone=own_zone)


class TestOtherZones:
    def test_all_but_its_own_are_asked_and_let_go(self) -> None:
        ec2 = FakeZones()
        ec2.answers["us-east-1c"] = error("InsufficientInstanceCapacity", 500)
        zones = ask(ec2)
        assert [(one.zone, one.kind) for one in zones.answers] == [
            ("us-east-1b", Kind.ROOM),
            ("us-east-1c", Kind.FULL),
            ("us-east-1d", Kind.ROOM),
        ]
        assert sorted(zones.order) == ["us-east-1b", "us-east-1d"]
        assert (zones.unknown, ec2.left) == ("", [])
        assert {tags[HOLD_TAG] for tags in ec2.tags} == {STACK_ID}

    def test_its_own_too_for_another_way_to_buy_it(self) -> None:
        assert len(ask(FakeZones(), own_zone=True).answers) == 4

    @pytest.mark.parametrize(
        ("code", "words"),
        [
            ("UnauthorizedOperation", "the permission ec2:CreateCapacityReservation is missing"),
            ("VcpuLimitExceeded", "the quota has no room"),
        ],
    )
    def test_what_is_the_same_everywhere_is_asked_once(self, code: str, words: str) -> None:
        ec2 = FakeZones()
        ec2.answers = {zone: error(code) for zone in ZONES}
        zones = ask(ec2)
        assert words in zones.unknown and code in zones.unknown
        assert (zones.answers, zones.order) == ((), ())
        assert len(ec2.asked) == 1

    def test_answers_that_are_lost_leave_nothing(self) -> None:
        ec2 = FakeZones()
        ec2.answers = {zone: ReadTimeoutError(endpoint_url="ec2") for zone in ZONES}
        zones = ask(ec2)
        assert {one.kind for one in zones.answers} == {Kind.UNKNOWN}
        assert ec2.left == []

    def test_one_that_cannot_be_cancelled_is_named_and_is_the_last(self) -> None:
        ec2 = FakeZones()
        ec2.refuses_to_cancel = True
        zones = ask(ec2)
        assert [zones.left] == ec2.left
        assert len(ec2.asked) == 1
        assert "could not be cancelled" in zones.unknown

    def test_a_signal_leaves_nothing(self) -> None:
        ec2 = FakeZones()

        def ctrl_c(_zone: str) -> None:
            os.kill(os.getpid(), signal.SIGINT)

        ec2.before = ctrl_c
        with pytest.raises(Interrupted):
            ask(ec2)
        assert (ec2.left, len(ec2.asked)) == ([], 1)

    def test_it_is_not_asked_if_the_setting_says_so(self) -> None:
        ec2 = FakeZones()
        zones = ask(ec2, outputs={"Capacity": SWITCHED_OFF})
        assert "capacity_check is false" in zones.unknown
        assert ec2.asked == []

    def test_nor_for_another_platform(self) -> None:
        assert "Windows" in ask(FakeZones(), PlatformDetails="Windows").unknown

    def test_members_of_a_class_do_not_all_go_to_one_zone(self) -> None:
        first = set()
        for number in range(20):
            ec2 = FakeZones()
            session: Any = type("S", (), {"client": lambda *_a, ec2=ec2, **_k: ec2})()
            one = Workstation(f"GpuWorkstation-{number}", "", ME, {}, NOW, STACK_ID)
            first.add(other_zones.ask_zones(session, one, machine(), own_zone=False).order[0])
        assert first == {"us-east-1b", "us-east-1c", "us-east-1d"}


class TestCopies:
    def test_a_copy_is_newest_until_the_next_start(self) -> None:
        copy = Copy("ami-1", "available", ME, started_text(NOW))
        assert copy.is_newest(machine())
        assert not copy.is_newest(machine(LaunchTime=NOW.replace(minute=32)))
        assert not copy.is_newest(machine(state="running"))
        assert not copy.is_newest(machine(InstanceId="i-2"))

    def test_the_settings_of_a_moved_machine(self) -> None:
        tags = [{"Key": "aws:cloudformation:logical-id", "Value": "Generation255MachineX"}]
        last = machine(Tags=tags)
        assert Target("us-east-1c").values(last) == {
            "generation": 1,
            "availability_zone": "us-east-1c",
        }
        values = Target("us-east-1c", to_on_demand=True, disk_gib=100).values(last)
        assert (values["spot"], values["disk_gib"]) == (False, 100)


def copied(**changes: Any) -> Any:
    tags = {SAVED_TAG: ME, LAST_START_TAG: started_text(NOW)} | changes
    return {
        "ImageId": "ami-1",
        "Tags": [{"Key": key, "Value": value} for key, value in tags.items() if value],
    }


class Describes:
    def __init__(self, answer: Any) -> None:
        self.answer = answer
        self.asked = 0

    def describe_instances(self, **_: Any) -> dict[str, Any]:
        self.asked += 1
        if isinstance(self.answer, Exception):
            raise self.answer
        return {"Reservations": [{"Instances": [self.answer]}]}


def of_stack(stack_id: str = STACK_ID, **changes: Any) -> dict[str, Any]:
    tag = {"Key": "aws:cloudformation:stack-id", "Value": stack_id}
    return row(**{"Tags": [tag], **changes})


LATER = NOW.replace(minute=45)


class TestOlderCopy:
    def test_one_that_is_older_than_the_disk_is_refused(self) -> None:
        ec2: Any = Describes(of_stack(LaunchTime=LATER))
        with pytest.raises(RefusedError, match=r"started again at 2026-11-28T21:45:00Z"):
            require_newest_copy(copied(), STACK_ID, ec2)

    @pytest.mark.parametrize(
        "answer",
        [
            of_stack(),
            of_stack(LaunchTime=LATER, state="terminated"),
            of_stack("arn:aws:cloudformation:us-east-1:1:stack/other/2", LaunchTime=LATER),
            error("InvalidInstanceID.NotFound"),
            error("UnauthorizedOperation"),
        ],
        ids=["not started", "gone", "of another stack", "forgotten", "not readable"],
    )
    def test_another_is_taken(self, answer: Any) -> None:
        require_newest_copy(copied(), STACK_ID, Describes(answer))  # type: ignore[arg-type]

    def test_an_image_that_no_move_made_is_not_looked_at(self) -> None:
        ec2: Any = Describes(of_stack(LaunchTime=LATER))
        require_newest_copy(copied(**{LAST_START_TAG: ""}), STACK_ID, ec2)
        assert ec2.asked == 0


def test_an_answer_is_one_line() -> None:
    assert str(Answer("us-east-1a", Kind.ROOM)) == "us-east-1a: room"
