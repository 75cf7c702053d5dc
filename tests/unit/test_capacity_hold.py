"""The capacity hold's decisions, with an EC2 whose answers a test sets by zone.

What EC2 does with a reservation, and what CloudFormation does around it, is in
tests/faults/test_capacity.py on the embedded AWS.
"""

from __future__ import annotations

import datetime
from collections.abc import Callable
from typing import Any

import pytest
from botocore.exceptions import ClientError, ReadTimeoutError

from gpustation.aws import capacity
from gpustation.catalog.capacity import HOLD_TAG, Kind, kind_of
from gpustation.handlers import capacity_hold
from gpustation.handlers.capacity_hold import Clients, Found
from gpustation.handlers.responder import MAX_REASON, RefusedError
from tests.unit.stubbed_aws import STACK_ID, make_event

ZONES = ["us-east-1c", "us-east-1a", "us-east-1b"]
LINUX = "Linux/UNIX"
FULL = "InsufficientInstanceCapacity"
G_FAMILY = "G/OnDemand"


def error(code: str, text: str = "", status: int = 400) -> ClientError:
    response: Any = {
        "Error": {"Code": code, "Message": text},
        "ResponseMetadata": {"HTTPStatusCode": status},
    }
    return ClientError(response, "CreateCapacityReservation")


class Pages:
    def __init__(self, result: Callable[[], dict[str, Any]]) -> None:
        self._result = result

    def paginate(self, **_parameters: Any) -> Pages:
        return self

    def build_full_result(self) -> dict[str, Any]:
        return self._result()


class FakeEc2:
    """Makes reservations; what a zone answers is in ``answers``, one for each call, then room."""

    def __init__(self) -> None:
        self.answers: dict[str, list[Exception | str]] = {}
        self.default: Exception | None = None
        self.made: list[dict[str, Any]] = []
        self.cancelled: list[str] = []
        self.instances: list[dict[str, Any]] = []
        self.reservations: list[dict[str, Any]] = []
        self.absorbed = False
        self.lose = 0
        self.meta = type("Meta", (), {"region_name": "us-east-1"})()

    def create_capacity_reservation(self, **call: Any) -> dict[str, Any]:
        zone = call["AvailabilityZone"]
        queued = self.answers.get(zone, [])
        answer = queued.pop(0) if queued else self.default
        if isinstance(answer, Exception):
            self.made.append(call | {"id": None})
            raise answer
        same = [old for old in self.made if old["ClientToken"] == call["ClientToken"] and old["id"]]
        number = same[0]["id"] if same else f"cr-{len(self.made)}"
        self.made.append(call | {"id": number})
        if self.lose:
            self.lose -= 1
            raise ReadTimeoutError(endpoint_url="ec2")
        free = 0 if self.absorbed and call["InstanceMatchCriteria"] == "open" else 1
        state = answer or "active"
        row = {"CapacityReservationId": number, "State": state, "AvailableInstanceCount": free}
        return {"CapacityReservation": row}

    def cancel_capacity_reservation(self, CapacityReservationId: str) -> dict[str, Any]:
        self.cancelled.append(CapacityReservationId)
        return {"Return": True}

    def get_paginator(self, operation: str) -> Pages:
        if operation == "describe_instances":
            return Pages(lambda: {"Reservations": [{"Instances": self.instances}]})
        return Pages(lambda: {"CapacityReservations": self.reservations})

    @property
    def kept(self) -> list[dict[str, Any]]:
        """What is billed: reservations that were made and not cancelled."""
        ids = {one["id"] for one in self.made if one["id"]} - set(self.cancelled)
        return [one for one in self.made if one["id"] in ids]

    def zones(self) -> list[tuple[str, str]]:
        return [(one["AvailabilityZone"], one["InstanceMatchCriteria"]) for one in self.made]


class FakeQuotas:
    def __init__(self, limit: float | None) -> None:
        self.limit = limit

    def get_service_quota(self, **_names: str) -> dict[str, Any]:
        if self.limit is None:
            raise error("AccessDeniedException")
        metric = {"MetricDimensions": {"Class": G_FAMILY}}
        return {"Quota": {"Value": self.limit, "UsageMetric": metric}}


class FakeStacks:
    status = "UPDATE_IN_PROGRESS"

    def describe_stacks(self, **_names: str) -> dict[str, Any]:
        return {"Stacks": [{"StackStatus": self.status}]}


class Account:
    def __init__(self, limit: float | None = 8) -> None:
        self.ec2 = FakeEc2()
        self.quotas = FakeQuotas(limit)
        self.stacks = FakeStacks()

    @property
    def clients(self) -> Clients:
        fakes: Any = (self.stacks, self.ec2, self.ec2, self.quotas)
        return Clients(*fakes)


@pytest.fixture
def account() -> Account:
    return Account()


class FakeTime:
    def __init__(self) -> None:
        self.now = 0.0

    def sleep(self, seconds: float) -> None:
        self.now += seconds

    def monotonic(self) -> float:
        return self.now


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> FakeTime:
    clock = FakeTime()
    monkeypatch.setattr(capacity_hold.time, "sleep", clock.sleep)
    monkeypatch.setattr(capacity_hold.time, "monotonic", clock.monotonic)
    return clock


def create(**properties: str) -> dict[str, Any]:
    return make_event("Create", {"InstanceType": "g4dn.xlarge", "Generation": "2"} | properties)


def new_machine(
    account: Account,
    zones: list[str] = ZONES,
    others: list[str] | None = None,
    platform: str = LINUX,
    **properties: str,
) -> Found:
    event = create(**properties)
    return capacity_hold.for_new_machine(
        event, zones, platform, account.clients, others=others or []
    )


def refused(account: Account, zones: list[str] = ZONES, others: list[str] | None = None) -> str:
    with pytest.raises(RefusedError) as refusal:
        new_machine(account, zones, others)
    return str(refusal.value)


def test_the_first_zone_with_room_is_held(account: Account) -> None:
    found = new_machine(account)
    assert found == Found("us-east-1c", "us-east-1c has room", "cr-0")
    assert account.ec2.zones() == [("us-east-1c", "open")]


def test_one_machine_is_reserved_at_once_and_ends_by_itself(account: Account) -> None:
    """A future-dated reservation has a commitment, whose cancellation is charged (EC2 API)."""
    new_machine(account)
    (call,) = account.ec2.made
    end = call.pop("EndDate") - datetime.datetime.now(datetime.timezone.utc)
    assert datetime.timedelta(minutes=14) < end <= datetime.timedelta(minutes=15)
    assert len(call.pop("ClientToken")) <= 64
    tags = {tag["Key"]: tag["Value"] for tag in call.pop("TagSpecifications")[0]["Tags"]}
    assert tags == {
        "gpustation": "GpuWorkstation",
        HOLD_TAG: STACK_ID,
        "gpustation:generation": "2",
    }
    assert call == {
        "AvailabilityZone": "us-east-1c",
        "EndDateType": "limited",
        "InstanceCount": 1,
        "InstanceMatchCriteria": "open",
        "InstancePlatform": LINUX,
        "InstanceType": "g4dn.xlarge",
        "id": "cr-0",
    }


@pytest.mark.parametrize("code", [FULL, "InsufficientHostCapacity", "Unsupported"])
def test_a_zone_that_refuses_is_followed_by_the_next(account: Account, code: str) -> None:
    account.ec2.answers = {"us-east-1c": [error(code, status=500)]}
    found = new_machine(account)
    assert (found.zone, found.text) == ("us-east-1a", f"us-east-1a has room; us-east-1c: {code}")
    assert [one["AvailabilityZone"] for one in account.ec2.kept] == ["us-east-1a"]


def test_a_reservation_that_fails_after_its_request_is_no_room(account: Account) -> None:
    account.ec2.answers = {"us-east-1c": ["failed"]}
    assert new_machine(account).zone == "us-east-1a"


def test_all_zones_refuse_in_one_line_each(account: Account) -> None:
    account.ec2.answers = {
        "us-east-1c": [error(FULL)],
        "us-east-1a": [error("Unsupported")],
        "us-east-1b": [error(FULL)],
    }
    lines = refused(account).splitlines()
    assert lines[:4] == [
        "no zone of us-east-1 has room for a g4dn.xlarge now:",
        f"us-east-1c: {FULL}",
        "us-east-1a: Unsupported",
        f"us-east-1b: {FULL}",
    ]
    for remedy in ("g5.xlarge", "gpustation regions g4dn.xlarge", "later", "capacity_check=false"):
        assert remedy in lines[4]
    assert not account.ec2.kept


def test_six_zones_fit_into_the_message_that_is_shown(account: Account) -> None:
    zones = [f"ap-northeast-1{letter}" for letter in "abcdef"]
    account.ec2.default = error("InsufficientReservedInstanceCapacity")
    assert len(refused(account, zones)) <= MAX_REASON


def test_a_pinned_zone_that_refuses_names_those_with_room(
    account: Account, clock: FakeTime
) -> None:
    account.ec2.answers = {"us-east-1c": [error(FULL)], "us-east-1a": [error(FULL)]}
    text = refused(account, ["us-east-1c"], ["us-east-1a", "us-east-1b"])
    assert text.startswith("availability_zone=us-east-1c has no room for a g4dn.xlarge now:\n")
    assert "There is room in us-east-1b: set availability_zone" in text
    assert account.ec2.zones()[1:] == [("us-east-1a", "targeted"), ("us-east-1b", "targeted")]
    assert not account.ec2.kept


def test_a_pinned_zone_that_refuses_when_no_other_has_room(account: Account) -> None:
    account.ec2.default = error(FULL)
    text = refused(account, ["us-east-1c"], ["us-east-1a"])
    assert "No other zone of us-east-1 has room." in text


@pytest.mark.parametrize("limit", [4, 7, None])
def test_with_room_for_one_machine_only_it_is_a_probe(limit: float | None) -> None:
    """Whether EC2 counts the hold and the machine in it twice is not documented."""
    account = Account(limit)
    found = new_machine(account)
    assert (found.zone, found.reservation) == ("us-east-1c", "")
    assert account.ec2.zones() == [("us-east-1c", "targeted")]
    assert not account.ec2.kept


def test_a_hold_that_a_running_machine_takes_becomes_a_probe(account: Account) -> None:
    account.ec2.absorbed = True
    found = new_machine(account)
    assert (found.text, found.reservation) == ("us-east-1c has room", "")
    assert account.ec2.zones() == [("us-east-1c", "open"), ("us-east-1c", "targeted")]
    assert not account.ec2.kept


def test_a_running_machine_takes_the_hold_and_the_zone_is_full(account: Account) -> None:
    account.ec2.absorbed = True
    account.ec2.answers = {"us-east-1c": ["active", error(FULL)]}
    assert new_machine(account).zone == "us-east-1a"


@pytest.mark.parametrize("code", ["VcpuLimitExceeded", "InstanceLimitExceeded"])
def test_a_quota_that_was_used_up_meanwhile_is_no_lack_of_capacity(code: str) -> None:
    account = Account(3)
    account.ec2.default = error(code)
    text = refused(account)
    assert text.startswith("the quota was used up since it was checked: g4dn.xlarge needs 4 vCPUs")
    assert "capacity" not in text
    assert len(account.ec2.made) == 1


def test_a_quota_code_that_the_quota_contradicts_is_left_to_the_launch(account: Account) -> None:
    account.ec2.default = error("VcpuLimitExceeded")
    found = new_machine(account)
    assert found.zone == "us-east-1c"
    assert "not checked in us-east-1c: the quota has no room for a hold" in found.text


@pytest.mark.parametrize(
    "fault",
    [
        error("UnauthorizedOperation", "with an explicit deny in a service control policy", 403),
        error("AccessDenied", "because of a Service Control Policy"),
        error("UnknownOperation"),
        error("InvalidAction"),
        error("Brandnew"),
    ],
)
def test_what_says_nothing_about_room_does_not_fail_the_deploy(
    account: Account, clock: FakeTime, fault: ClientError
) -> None:
    account.ec2.default = fault
    found = new_machine(account)
    assert found == Found(
        "us-east-1c", f"not checked in us-east-1c: {fault.response['Error']['Code']}"
    )
    assert len(account.ec2.made) == 1
    assert clock.now == 0


def test_a_denial_is_retried_while_the_role_may_be_new(account: Account, clock: FakeTime) -> None:
    account.ec2.answers = {"us-east-1c": [error("UnauthorizedOperation")] * 5}
    assert new_machine(account).reservation == "cr-5"
    assert clock.now == 10


def test_a_lasting_denial_costs_twenty_seconds(account: Account, clock: FakeTime) -> None:
    account.ec2.default = error("UnauthorizedOperation")
    assert new_machine(account).text == "not checked in us-east-1c: UnauthorizedOperation"
    assert clock.now == 20


def test_a_denial_after_an_accepted_call_is_not_retried(account: Account, clock: FakeTime) -> None:
    account.ec2.answers = {"us-east-1c": [error(FULL)], "us-east-1a": [error("AccessDenied")]}
    found = new_machine(account)
    assert found.text == f"not checked in us-east-1a: AccessDenied; us-east-1c: {FULL}"
    assert clock.now == 0


def test_throttling_is_no_lack_of_capacity(account: Account, clock: FakeTime) -> None:
    account.ec2.answers = {"us-east-1c": [error("RequestLimitExceeded", status=503)] * 3}
    assert new_machine(account).zone == "us-east-1c"
    assert 3 <= clock.now <= 9


def test_lasting_throttling_ends(account: Account, clock: FakeTime) -> None:
    account.ec2.default = error("RequestLimitExceeded", status=503)
    assert new_machine(account).text == "not checked in us-east-1c: RequestLimitExceeded"
    assert clock.now == pytest.approx(capacity.THROTTLE_SECONDS)


def test_a_lost_answer_gets_the_same_reservation_again(account: Account) -> None:
    account.ec2.lose = 1
    assert new_machine(account).reservation == "cr-0"
    assert [one["id"] for one in account.ec2.made] == ["cr-0", "cr-0"]


def test_answers_that_stay_lost_do_not_fail_the_deploy(account: Account) -> None:
    account.ec2.lose = 2
    assert new_machine(account).text == "not checked in us-east-1c: ReadTimeoutError"


def test_an_earlier_attempt_with_another_end_date_is_no_obstacle(account: Account) -> None:
    account.ec2.answers = {"us-east-1c": [error("IdempotentParameterMismatch")]}
    assert new_machine(account).reservation == "cr-1"
    assert len({one["ClientToken"] for one in account.ec2.made}) == 2


def test_no_zone_reserves_the_type(account: Account) -> None:
    account.ec2.default = error("Unsupported")
    found = new_machine(account)
    assert found == Found("us-east-1c", "not checked: EC2 reserves no g4dn.xlarge here")


@pytest.mark.parametrize("platform", ["Ubuntu Pro", "SUSE Linux", ""])
def test_another_platform_is_not_asked(account: Account, platform: str) -> None:
    found = new_machine(account, platform=platform)
    assert found.text == f"not checked: the image's platform is {platform or 'unknown'}"
    assert not account.ec2.made


def test_the_deadline_ends_it(account: Account, clock: FakeTime) -> None:
    def slowly(**_call: Any) -> None:
        clock.now += 60
        raise error(FULL)

    account.ec2.create_capacity_reservation = slowly  # type: ignore[assignment]
    found = new_machine(account)
    assert found.text.startswith("not checked in us-east-1b: no time left; us-east-1c: ")


def test_an_unexpected_answer_does_not_fail_the_deploy(account: Account) -> None:
    account.ec2.create_capacity_reservation = lambda **_call: {}  # type: ignore[method-assign]
    found = new_machine(account)
    assert found == Found("us-east-1c", "not checked: unexpected error (KeyError)")


def reservation(**changes: Any) -> dict[str, Any]:
    return {
        "CapacityReservationId": "cr-own",
        "InstanceType": "g4dn.xlarge",
        "TotalInstanceCount": 1,
        "AvailableInstanceCount": 1,
        "AvailabilityZone": "us-east-1b",
        "InstancePlatform": LINUX,
        "InstanceMatchCriteria": "open",
        "Tenancy": "default",
    } | changes


def test_an_open_reservation_of_the_person_is_taken_first(account: Account) -> None:
    account.ec2.reservations = [reservation()]
    found = new_machine(account)
    assert found == Found("us-east-1b", "us-east-1b has an open capacity reservation with room")
    assert not account.ec2.made


def test_the_hold_of_another_stack_is_not_taken(account: Account) -> None:
    tags = [{"Key": HOLD_TAG, "Value": f"{STACK_ID}-of-another"}]
    account.ec2.reservations = [reservation(Tags=tags)]
    assert new_machine(account).zone == "us-east-1c"


def test_the_hold_of_another_stack_counts_against_the_quota(account: Account) -> None:
    tags = [{"Key": HOLD_TAG, "Value": f"{STACK_ID}-of-another"}]
    account.ec2.reservations = [reservation(Tags=tags)]
    new_machine(account)
    assert account.ec2.zones() == [("us-east-1c", "targeted")]


def test_the_own_hold_does_not(account: Account) -> None:
    account.ec2.reservations = [reservation(Tags=[{"Key": HOLD_TAG, "Value": STACK_ID}])]
    new_machine(account)
    assert account.ec2.zones() == [("us-east-1c", "open")]


class TestNewType:
    def machine(self, **changes: Any) -> dict[str, Any]:
        return {
            "InstanceId": "i-1",
            "InstanceType": "g4dn.xlarge",
            "State": {"Name": "running"},
            "PlatformDetails": LINUX,
            "Placement": {"AvailabilityZone": "us-east-1a"},
            "Tags": [{"Key": "aws:cloudformation:stack-id", "Value": STACK_ID}],
        } | changes

    def find(self, account: Account, instance_type: str = "g5.xlarge") -> Found:
        new = {"InstanceType": instance_type, "Generation": "2"}
        event = make_event("Update", new, {"InstanceType": "g4dn.xlarge"})
        return capacity_hold.for_new_type(event, "us-east-1a", account.clients)

    def test_is_held_in_the_zone_of_the_machine(self, account: Account) -> None:
        account.ec2.instances = [self.machine()]
        found = self.find(account)
        assert found == Found("us-east-1a", "us-east-1a has room", "cr-0")
        assert account.ec2.zones() == [("us-east-1a", "open")]
        assert account.ec2.made[0]["InstanceType"] == "g5.xlarge"

    def test_without_room_the_machine_is_unchanged(self, account: Account) -> None:
        account.ec2.instances = [self.machine()]
        account.ec2.default = error(FULL, status=500)
        with pytest.raises(RefusedError) as refusal:
            self.find(account)
        text = str(refusal.value)
        assert text.startswith(
            f"us-east-1a, the machine's zone, has no room for a g5.xlarge now ({FULL}); the "
            "machine is unchanged and runs on as g4dn.xlarge."
        )
        assert not account.ec2.kept

    @pytest.mark.parametrize("limit", [4, 7, None])
    def test_is_not_asked_without_quota_beside_the_running_machine(
        self, limit: float | None
    ) -> None:
        """A change that works today goes on working: the old type's vCPUs are freed first."""
        account = Account(limit)
        account.ec2.instances = [self.machine()]
        account.ec2.default = error(FULL)
        found = self.find(account)
        assert found.text == "not checked: the quota has no room beside the running machine"
        assert not account.ec2.made

    def test_a_smaller_type_is_held_where_it_fits_beside_the_machine(self) -> None:
        account = Account(12)
        account.ec2.instances = [self.machine(InstanceType="g4dn.2xlarge")]
        assert self.find(account, "g5.xlarge").reservation == "cr-0"

    def test_another_bucket_has_room_of_its_own(self) -> None:
        """Its limit is that of P types: the machine of a G type does not count against it."""
        account = Account(96)
        account.ec2.instances = [self.machine()]
        quota: Any = account.quotas
        metric = {"MetricDimensions": {"Class": "P/OnDemand"}}
        quota.get_service_quota = lambda **_names: {"Quota": {"Value": 96, "UsageMetric": metric}}
        assert self.find(account, "p4d.24xlarge").reservation == "cr-0"

    @pytest.mark.parametrize("code", ["VcpuLimitExceeded", "Unsupported", "Brandnew"])
    def test_another_refusal_is_left_to_the_start(self, account: Account, code: str) -> None:
        account.ec2.instances = [self.machine()]
        account.ec2.default = error(code)
        assert code in self.find(account).text

    @pytest.mark.parametrize("state", ["stopped", "stopping", "terminated"])
    def test_is_not_asked_for_a_machine_that_does_not_run(
        self, account: Account, state: str
    ) -> None:
        account.ec2.instances = [self.machine(State={"Name": state})]
        assert self.find(account).text == "not checked: the machine does not run"
        assert not account.ec2.made

    def test_is_not_asked_if_the_machine_has_it_already(self, account: Account) -> None:
        account.ec2.instances = [self.machine(InstanceType="g5.xlarge")]
        assert self.find(account).text == "not checked: the machine is a g5.xlarge already"

    def test_a_rollback_never_asks_and_ends_what_was_held(self, account: Account) -> None:
        account.stacks.status = "UPDATE_ROLLBACK_IN_PROGRESS"
        account.ec2.instances = [self.machine()]
        account.ec2.default = error(FULL)
        account.ec2.reservations = [reservation()]
        assert self.find(account).text == "not checked: the stack was rolling back"
        assert account.ec2.cancelled == ["cr-own"]


def test_a_hold_is_released_by_its_id_although_it_is_not_listed_yet(account: Account) -> None:
    ec2: Any = account.ec2
    capacity_hold.release(create(), ec2, "cr-7")
    assert account.ec2.cancelled == ["cr-7"]


@pytest.mark.parametrize("code", ["InvalidCapacityReservationId.NotFound", "Brandnew"])
def test_a_hold_that_is_gone_is_released(account: Account, code: str) -> None:
    def fail(**_names: str) -> None:
        raise error(code)

    ec2: Any = account.ec2
    ec2.cancel_capacity_reservation = fail
    capacity_hold.release(create(), ec2, "cr-7")


@pytest.mark.parametrize("code", ["Throttling", "RequestLimitExceeded", "InternalError", ""])
def test_other_codes_say_nothing_about_room(code: str) -> None:
    assert kind_of(code) is Kind.UNKNOWN


class TestExchange:
    def used(self, account: Account, inside: str, free: list[int]) -> FakeEc2:
        ec2: Any = account.ec2

        def describe_instances(**_ids: Any) -> dict[str, Any]:
            row = {"CapacityReservationId": inside} if inside else {}
            return {"Reservations": [{"Instances": [row]}]}

        def describe_capacity_reservations(**_ids: Any) -> dict[str, Any]:
            left = free.pop(0) if len(free) > 1 else free[0]
            row = {"State": "active", "AvailableInstanceCount": left}
            return {"CapacityReservations": [row]}

        ec2.describe_instances = describe_instances
        ec2.describe_capacity_reservations = describe_capacity_reservations
        return account.ec2

    @pytest.mark.parametrize("inside", ["cr-own", ""])
    def test_a_machine_in_its_own_hold_waits_for_nobody(
        self, account: Account, clock: FakeTime, inside: str
    ) -> None:
        ec2: Any = self.used(account, inside, [1])
        capacity_hold.await_exchange(ec2, "i-1", "cr-own")
        assert clock.now == 0

    def test_a_machine_in_the_hold_of_another_leaves_its_own_to_it(
        self, account: Account, clock: FakeTime
    ) -> None:
        ec2: Any = self.used(account, "cr-other", [1, 1, 1, 0])
        capacity_hold.await_exchange(ec2, "i-1", "cr-own")
        assert clock.now == 6

    def test_it_ends_if_nobody_comes(self, account: Account, clock: FakeTime) -> None:
        ec2: Any = self.used(account, "cr-other", [1])
        capacity_hold.await_exchange(ec2, "i-1", "cr-own")
        assert clock.now == 90
