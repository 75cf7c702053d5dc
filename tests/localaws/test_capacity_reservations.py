"""On-Demand Capacity Reservations: slots, matching, quota, refusals, and how they end.

AWS documents the states, the matching, the end date and that reservations count against the
quota. What is not documented is said in the test.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timezone
from typing import Any

import pytest
from botocore.exceptions import ClientError, ConnectionClosedError

from localaws import LocalAws
from tests.support.ec2_probe import KIND, ZONE, client, code, launch, machines, subnet
from tests.support.probe_stack import G_QUOTA, Stack, instance, network

TAGS = [{"ResourceType": "capacity-reservation", "Tags": [{"Key": "owner", "Value": "me"}]}]


@pytest.fixture
def ec2(aws: LocalAws) -> Iterator[Any]:
    """What is left of a test ends with it: instances and reservations are resources."""
    left = client(aws)
    before = {one["InstanceId"] for one in machines(left)}
    yield left
    aws.control.reset()
    for row in active(left):
        left.cancel_capacity_reservation(CapacityReservationId=row["CapacityReservationId"])
    made = [one["InstanceId"] for one in machines(left) if one["InstanceId"] not in before]
    if made:
        left.terminate_instances(InstanceIds=made)


def reserve(ec2: Any, **more: Any) -> dict[str, Any]:
    """The reservation of one machine."""
    asked = {
        "InstanceType": KIND,
        "InstancePlatform": "Linux/UNIX",
        "AvailabilityZone": ZONE,
        "InstanceCount": 1,
        **more,
    }
    return dict(ec2.create_capacity_reservation(**asked)["CapacityReservation"])


def shown(ec2: Any, reservation: dict[str, Any]) -> dict[str, Any]:
    name = reservation["CapacityReservationId"]
    (row,) = ec2.describe_capacity_reservations(CapacityReservationIds=[name])[
        "CapacityReservations"
    ]
    return dict(row)


def active(ec2: Any) -> list[dict[str, Any]]:
    filters = [{"Name": "state", "Values": ["active"]}]
    rows: list[dict[str, Any]] = ec2.describe_capacity_reservations(Filters=filters)[
        "CapacityReservations"
    ]
    return rows


def free(ec2: Any, reservation: dict[str, Any]) -> int:
    return int(shown(ec2, reservation)["AvailableInstanceCount"])


def cancel(ec2: Any, reservation: dict[str, Any]) -> None:
    ec2.cancel_capacity_reservation(CapacityReservationId=reservation["CapacityReservationId"])


class TestReservation:
    def test_it_is_active_at_once_and_described_in_full(self, ec2: Any, aws: LocalAws) -> None:
        made = reserve(ec2, TagSpecifications=TAGS, InstanceCount=2)
        assert (made["State"], made["TotalInstanceCount"]) == ("active", 2)
        assert made["AvailableInstanceCount"] == 2
        assert (made["InstanceMatchCriteria"], made["EndDateType"]) == ("open", "unlimited")
        name = made["CapacityReservationId"]
        assert made["CapacityReservationArn"] == (
            f"arn:aws:ec2:us-east-1:{aws.account}:capacity-reservation/{name}"
        )
        assert made["AvailabilityZoneId"] == "use1-az2"
        assert made["Tags"] == [{"Key": "owner", "Value": "me"}]
        assert shown(ec2, made) == made

    @pytest.mark.parametrize(
        ("name", "value"),
        [
            ("state", "active"),
            ("instance-type", "g4dn.*"),
            ("availability-zone", ZONE),
            ("tag:owner", "me"),
            ("tag-key", "owner"),
            ("instance-match-criteria", "targeted"),
            ("end-date-type", "unlimited"),
        ],
    )
    def test_filters(self, ec2: Any, name: str, value: str) -> None:
        made = reserve(ec2, TagSpecifications=TAGS, InstanceMatchCriteria="targeted")

        def found(value: str) -> list[str]:
            rows = ec2.describe_capacity_reservations(Filters=[{"Name": name, "Values": [value]}])
            return [row["CapacityReservationId"] for row in rows["CapacityReservations"]]

        assert made["CapacityReservationId"] in found(value)
        assert made["CapacityReservationId"] not in found("other")

    def test_a_zone_may_be_named_by_its_id(self, ec2: Any) -> None:
        asked = {"InstanceType": KIND, "InstancePlatform": "Linux/UNIX", "InstanceCount": 1}
        made = ec2.create_capacity_reservation(AvailabilityZoneId="use1-az2", **asked)
        assert made["CapacityReservation"]["AvailabilityZone"] == ZONE

    def test_cancelled_it_is_still_described(self, ec2: Any) -> None:
        made = reserve(ec2)
        cancel(ec2, made)
        row = shown(ec2, made)
        assert (row["State"], row["AvailableInstanceCount"]) == ("cancelled", 0)

    def test_cancelled_twice_it_is_refused(self, ec2: Any) -> None:
        """Neither refusal nor code is documented: whoever cancels must take any answer."""
        made = reserve(ec2)
        cancel(ec2, made)
        with pytest.raises(ClientError) as refused:
            cancel(ec2, made)
        assert code(refused) == "InvalidCapacityReservationState"

    def test_fails_when_it_does_not_exist(self, ec2: Any) -> None:
        nobody = {"CapacityReservationId": "cr-00000000000000000"}
        for call in (cancel, shown):
            with pytest.raises(ClientError) as refused:
                call(ec2, nobody)
            assert code(refused) == "InvalidCapacityReservationId.NotFound"

    def test_it_is_of_its_region(self, ec2: Any, aws: LocalAws) -> None:
        made = reserve(ec2)
        elsewhere = aws.client("ec2", "eu-west-1")
        assert elsewhere.describe_capacity_reservations()["CapacityReservations"] == []
        with pytest.raises(ClientError, match="does not exist"):
            cancel(elsewhere, made)

    @pytest.mark.parametrize(
        ("asked", "refusal"),
        [
            ({"InstanceCount": 0}, "InvalidParameterValue"),
            ({"InstanceCount": 1001}, "InvalidParameterValue"),
            ({"AvailabilityZone": "us-east-1z"}, "InvalidParameterValue"),
            ({"InstanceType": "g4dn.xlrge"}, "InvalidParameterValue"),
            ({"InstanceMatchCriteria": "closed"}, "InvalidParameterValue"),
            ({"EndDateType": "limited"}, "InvalidParameterCombination"),
            ({"EndDate": "2099-01-01T00:00:00Z"}, "InvalidParameterCombination"),
            (
                {"EndDateType": "limited", "EndDate": "2020-01-01T00:00:00Z"},
                "InvalidParameterValue",
            ),
            ({"ClientToken": "x" * 65}, "InvalidParameterValue"),
            ({"AvailabilityZone": "us-east-1e"}, "Unsupported"),
            ({"DryRun": True}, "DryRunOperation"),
        ],
        ids=str,
    )
    def test_fails_when_asked_wrongly(self, ec2: Any, asked: dict[str, Any], refusal: str) -> None:
        """AWS documents none of these codes; that of a count is in boto3#2962."""
        with pytest.raises(ClientError) as refused:
            reserve(ec2, **asked)
        assert code(refused) == refusal
        assert active(ec2) == []

    def test_fails_when_it_would_begin_later_with_a_commitment(self, ec2: Any) -> None:
        with pytest.raises(ClientError, match="CommitmentDuration, StartDate: the embedded AWS"):
            reserve(ec2, StartDate="2099-01-01T00:00:00Z", CommitmentDuration=1209600)

    def test_history_inventory_and_the_seconds_to_pay(self, ec2: Any, aws: LocalAws) -> None:
        made = reserve(ec2, InstanceCount=2)
        name = made["CapacityReservationId"]
        (row,) = [row for row in aws.inventory() if row.id == name]
        assert (row.kind, row.detail) == ("capacity reservation", f"{KIND} {ZONE}")
        box = launch(ec2)["InstanceId"]
        (report,) = [r for r in aws.control.reservations() if r.reservation_id == name]
        assert (report.instances, report.available, report.ended) == ([box], 1, None)
        cancel(ec2, made)
        (report,) = [r for r in aws.control.reservations() if r.reservation_id == name]
        assert report.state == "cancelled" and report.ended is not None
        lived = report.ended - report.created
        assert lived < report.unused_seconds < 2 * lived, "two slots, then one"
        events = aws.control.history(name)
        assert [event.event for event in events] == ["reserved", "cancelled"]
        assert name not in {event.instance_id for event in aws.control.history()}
        assert name not in {row.id for row in aws.inventory()}


class TestClientToken:
    def test_the_same_call_again_makes_no_second_one(self, ec2: Any) -> None:
        made = reserve(ec2, ClientToken="a", TagSpecifications=TAGS)
        again = reserve(ec2, ClientToken="a", TagSpecifications=TAGS)
        assert again == made
        assert len(active(ec2)) == 1

    def test_fails_when_the_call_is_another_one(self, ec2: Any) -> None:
        reserve(ec2, ClientToken="b")
        with pytest.raises(ClientError) as refused:
            reserve(ec2, ClientToken="b", InstanceMatchCriteria="targeted")
        assert code(refused) == "IdempotentParameterMismatch"

    def test_after_the_end_it_gives_what_has_ended(self, ec2: Any) -> None:
        """Not documented: AWS may as well make another one."""
        cancel(ec2, reserve(ec2, ClientToken="c"))
        assert reserve(ec2, ClientToken="c")["State"] == "cancelled"

    def test_a_refused_call_does_not_use_it_up(self, ec2: Any, aws: LocalAws) -> None:
        aws.control.set_capacity(KIND, False)
        with pytest.raises(ClientError):
            reserve(ec2, ClientToken="d")
        aws.control.set_capacity(KIND, True)
        assert reserve(ec2, ClientToken="d")["State"] == "active"


class TestMatching:
    def test_an_open_one_takes_a_running_machine_in_at_once(self, ec2: Any) -> None:
        box = launch(ec2)
        made = reserve(ec2)
        assert made["AvailableInstanceCount"] == 0
        (row,) = [one for one in machines(ec2) if one["InstanceId"] == box["InstanceId"]]
        assert row["CapacityReservationId"] == made["CapacityReservationId"]
        assert row["PlatformDetails"] == "Linux/UNIX"

    def test_people_of_the_account_take_it_too(self, ec2: Any, aws: LocalAws) -> None:
        aws.control.crowd(KIND, 1)
        assert reserve(ec2, AvailabilityZone="us-east-1a")["AvailableInstanceCount"] == 0
        aws.control.crowd(KIND, 0)

    @pytest.mark.parametrize(
        "other",
        [
            {"InstanceMatchCriteria": "targeted"},
            {"AvailabilityZone": "us-east-1c"},
            {"InstanceType": "g4dn.2xlarge"},
            {"InstancePlatform": "Windows"},
            {"Tenancy": "dedicated"},
        ],
        ids=str,
    )
    def test_only_what_fits_is_taken(self, ec2: Any, other: dict[str, Any]) -> None:
        before = launch(ec2)
        made = reserve(ec2, **other)
        after = launch(ec2)
        assert free(ec2, made) == 1
        rows = {one["InstanceId"]: one for one in machines(ec2)}
        for box in (before, after):
            assert "CapacityReservationId" not in rows[box["InstanceId"]]

    def test_a_launch_takes_the_slot_and_its_end_frees_it(self, ec2: Any) -> None:
        made = reserve(ec2)
        box = launch(ec2)
        assert box["CapacityReservationId"] == made["CapacityReservationId"]
        assert free(ec2, made) == 0
        ec2.stop_instances(InstanceIds=[box["InstanceId"]])
        assert free(ec2, made) == 1
        ec2.start_instances(InstanceIds=[box["InstanceId"]])
        assert free(ec2, made) == 0
        ec2.terminate_instances(InstanceIds=[box["InstanceId"]])
        assert free(ec2, made) == 1

    def test_a_machine_may_avoid_it(self, ec2: Any) -> None:
        made = reserve(ec2)
        wish = {"CapacityReservationPreference": "none"}
        assert "CapacityReservationId" not in launch(ec2, CapacityReservationSpecification=wish)
        assert free(ec2, made) == 1
        with pytest.raises(ClientError, match="embedded AWS knows the preferences open and none"):
            launch(
                ec2,
                CapacityReservationSpecification={
                    "CapacityReservationTarget": {
                        "CapacityReservationId": made["CapacityReservationId"]
                    }
                },
            )

    def test_a_spot_machine_does_not_take_it(self, ec2: Any, aws: LocalAws) -> None:
        aws.control.set_quota("L-3819A6DF", 8)
        made = reserve(ec2)
        launch(ec2, InstanceMarketOptions={"MarketType": "spot"})
        assert free(ec2, made) == 1

    def test_its_platform_is_that_of_the_image(self, ec2: Any, aws: LocalAws) -> None:
        aws.control.add_image("ami-red", platform="Red Hat Enterprise Linux")
        made = reserve(ec2)
        request = {"InstanceType": KIND, "MinCount": 1, "MaxCount": 1, "ImageId": "ami-red"}
        ec2.run_instances(SubnetId=subnet(ec2, ZONE), **request)
        assert free(ec2, made) == 1

    def test_ended_it_leaves_its_machine_running(self, ec2: Any) -> None:
        made = reserve(ec2)
        box = launch(ec2)["InstanceId"]
        cancel(ec2, made)
        (row,) = [one for one in machines(ec2) if one["InstanceId"] == box]
        assert row["State"]["Name"] == "running"
        assert "CapacityReservationId" not in row

    def test_a_stack_lands_in_it_though_the_zone_is_full(
        self, ec2: Any, aws: LocalAws, stack: Stack
    ) -> None:
        made = reserve(ec2)
        aws.control.set_capacity(None, False, zone=ZONE)
        assert stack.create({**network(ZONE), "Box": instance()}) == "CREATE_COMPLETE"
        assert free(ec2, made) == 0
        assert stack.delete() == "DELETE_COMPLETE"
        assert free(ec2, made) == 1


def test_two_stacks_do_not_share_one_slot(ec2: Any, aws: LocalAws) -> None:
    """Stacks are made on threads of their own: whoever comes second finds the zone full."""
    made = reserve(ec2)
    aws.control.set_capacity(None, False, zone=ZONE)
    stacks = [Stack(aws, f"rival-{number}") for number in range(4)]
    with ThreadPoolExecutor() as pool:
        template = {**network(ZONE), "Box": instance()}
        statuses = [*pool.map(lambda stack: stack.create(template), stacks)]
    assert sorted(statuses) == ["CREATE_COMPLETE"] + 3 * ["ROLLBACK_COMPLETE"]
    assert free(ec2, made) == 0
    for stack in stacks:
        assert stack.delete() == "DELETE_COMPLETE"
    assert free(ec2, made) == 1


class TestCapacity:
    def test_a_zone_refuses_the_launch_the_reservation_or_both(
        self, ec2: Any, aws: LocalAws
    ) -> None:
        control = aws.control

        def refused() -> set[str]:
            outcomes = set()
            made: dict[str, Any] = {}
            for name, call in (("reservation", reserve), ("launch", launch)):
                try:
                    made = call(ec2)
                except ClientError as error:
                    assert error.response["Error"]["Code"] == "InsufficientInstanceCapacity"
                    assert error.response["ResponseMetadata"]["HTTPStatusCode"] == 500
                    outcomes.add(name)
            if "InstanceId" in made:
                ec2.terminate_instances(InstanceIds=[made["InstanceId"]])
            for row in active(ec2):
                cancel(ec2, row)
            return outcomes

        control.set_capacity(KIND, False)
        assert refused() == {"reservation", "launch"}
        control.set_capacity(KIND, True, zone=ZONE)
        assert refused() == set()
        control.set_capacity(None, False, zone=ZONE, use="reservation")
        assert refused() == {"reservation"}
        control.set_capacity(KIND, True)
        control.set_capacity(KIND, False, use="launch")
        assert refused() == set(), "the reservation's slot needs no capacity"
        control.set_capacity("g4dn.2xlarge", False)
        control.set_capacity(KIND, False, zone="us-east-1c")
        control.set_capacity(KIND, True, use="launch")
        assert refused() == set()

    def test_probed_and_then_refused(self, ec2: Any, aws: LocalAws) -> None:
        """The race of a probe: what was there for the reservation is gone for the launch."""
        aws.control.set_capacity(KIND, False, use="launch")
        cancel(ec2, reserve(ec2, InstanceMatchCriteria="targeted"))
        with pytest.raises(ClientError) as refused:
            launch(ec2)
        assert code(refused) == "InsufficientInstanceCapacity"

    def test_held_and_then_lost_to_others(self, ec2: Any, aws: LocalAws) -> None:
        """The race of a hold: another machine of the account takes the slot first."""
        aws.control.take_slots(times=1)
        made = reserve(ec2)
        assert made["AvailableInstanceCount"] == 1, "the answer is true when it is given"
        assert free(ec2, made) == 0
        aws.control.set_capacity(KIND, False, use="launch")
        with pytest.raises(ClientError):
            launch(ec2)
        assert free(ec2, reserve(ec2)) == 1, "only one was to be lost"


class TestQuota:
    def test_reservations_count_used_or_not(self, ec2: Any, aws: LocalAws) -> None:
        """Documented; but not that AWS's code for the refusal is this one."""
        aws.control.set_quota(G_QUOTA, 8)
        made = reserve(ec2, InstanceMatchCriteria="targeted")
        launch(ec2)
        with pytest.raises(ClientError) as refused:
            reserve(ec2)
        assert code(refused) == "InstanceLimitExceeded"
        with pytest.raises(ClientError) as refused:
            launch(ec2)
        assert code(refused) == "VcpuLimitExceeded"
        cancel(ec2, made)
        launch(ec2)

    def test_a_machine_inside_counts_once(self, ec2: Any, aws: LocalAws) -> None:
        """Not documented in so many words: it follows from the rule that reservations count."""
        aws.control.set_quota(G_QUOTA, 4)
        made = reserve(ec2)
        box = launch(ec2)
        assert box["CapacityReservationId"] == made["CapacityReservationId"]
        cancel(ec2, made)
        with pytest.raises(ClientError) as refused:
            launch(ec2)
        assert code(refused) == "VcpuLimitExceeded", "it counts by itself then"

    def test_it_needs_room_beside_what_runs(self, ec2: Any, aws: LocalAws) -> None:
        """Documented: what can be reserved is the limit less what runs, absorbed or not."""
        aws.control.set_quota(G_QUOTA, 7)
        launch(ec2)
        with pytest.raises(ClientError) as refused:
            reserve(ec2)
        assert code(refused) == "InstanceLimitExceeded"

    def test_another_bucket_and_the_spot_bucket_are_not_touched(
        self, ec2: Any, aws: LocalAws
    ) -> None:
        aws.control.set_quota(G_QUOTA, 4)
        aws.control.set_quota("L-3819A6DF", 4)
        aws.control.set_quota("L-1216C47A", 4)
        reserve(ec2, InstanceMatchCriteria="targeted")
        reserve(ec2, InstanceType="c5.large")
        launch(ec2, InstanceMarketOptions={"MarketType": "spot"})

    def test_one_that_others_share_counts_with_them(self, ec2: Any, aws: LocalAws) -> None:
        aws.control.set_quota(G_QUOTA, 4)
        aws.control.reserve_capacity("cr-shared", KIND, ZONE, total=9, available=9, owner="9" * 12)
        launch(ec2)
        with pytest.raises(ClientError):
            launch(ec2)


class TestEnd:
    @pytest.fixture
    def ec2(self, moved: LocalAws) -> Iterator[Any]:
        moved.control.reset()
        moved.control.set_quota(G_QUOTA, 64)
        left = client(moved)
        yield left
        moved.control.reset()
        for row in active(left):
            cancel(left, row)

    def until(self, moved: LocalAws, seconds: float) -> dict[str, Any]:
        end = datetime.fromtimestamp(moved.control.clock() + seconds, timezone.utc)
        return {"EndDateType": "limited", "EndDate": end}

    def test_it_expires_and_its_machine_runs_on(self, ec2: Any, moved: LocalAws) -> None:
        """AWS: within the hour after the date; here at the date."""
        made = reserve(ec2, **self.until(moved, 900), InstanceCount=2)
        assert made["EndDateType"] == "limited"
        box = launch(ec2)["InstanceId"]
        moved.control.advance(890)
        assert shown(ec2, made)["State"] == "active"
        moved.control.advance(20)
        row = shown(ec2, made)
        assert (row["State"], row["AvailableInstanceCount"]) == ("expired", 0)
        name = made["CapacityReservationId"]
        assert [e.event for e in moved.control.history(name)] == ["reserved", "expired"]
        (one,) = [m for m in machines(ec2) if m["InstanceId"] == box]
        assert one["State"]["Name"] == "running" and "CapacityReservationId" not in one
        (report,) = [r for r in moved.control.reservations() if r.reservation_id == name]
        assert report.ended is not None and 899 <= report.ended - report.created <= 901
        assert 899 <= report.unused_seconds < 950, "one slot was used almost from the start"
        ec2.terminate_instances(InstanceIds=[box])

    def test_cancelled_it_does_not_expire(self, ec2: Any, moved: LocalAws) -> None:
        made = reserve(ec2, **self.until(moved, 900))
        cancel(ec2, made)
        moved.control.advance(1000)
        assert shown(ec2, made)["State"] == "cancelled"

    def test_a_change_is_seen_late(self, ec2: Any, moved: LocalAws) -> None:
        """AWS: up to five minutes; the reservation works meanwhile."""
        moved.control.late_reservations(300)
        made = reserve(ec2)
        listed = {row["CapacityReservationId"] for row in active(ec2)}
        assert made["CapacityReservationId"] not in listed
        with pytest.raises(ClientError, match="does not exist"):
            shown(ec2, made)
        box = launch(ec2)
        assert box["CapacityReservationId"] == made["CapacityReservationId"]
        moved.control.advance(301)
        cancel(ec2, made)
        assert shown(ec2, made)["State"] == "active", "the cancellation is seen late too"
        moved.control.advance(301)
        assert shown(ec2, made)["State"] == "cancelled"
        ec2.terminate_instances(InstanceIds=[box["InstanceId"]])


class TestFaults:
    @pytest.mark.parametrize(
        ("kind", "refusal", "text"),
        [
            ("deny", "UnauthorizedOperation", "no identity-based policy"),
            ("forbid", "UnauthorizedOperation", "explicit deny in a service control policy"),
            ("throttle", "RequestLimitExceeded", "limit"),
            ("unsupported", "Unsupported", "not supported"),
        ],
    )
    def test_it_is_refused(
        self, ec2: Any, aws: LocalAws, kind: Any, refusal: str, text: str
    ) -> None:
        aws.control.fault("CreateCapacityReservation", kind, times=1)
        with pytest.raises(ClientError, match=text) as refused:
            reserve(ec2)
        assert code(refused) == refusal
        assert active(ec2) == []
        assert reserve(ec2)["State"] == "active"

    def test_its_answer_is_lost_after_it_was_made(self, ec2: Any, aws: LocalAws) -> None:
        aws.control.fault("CreateCapacityReservation", "lost", times=1)
        with pytest.raises(ConnectionClosedError):
            reserve(ec2, ClientToken="lost")
        (held,) = active(ec2)
        again = reserve(ec2, ClientToken="lost")
        assert again["CapacityReservationId"] == held["CapacityReservationId"]

    def test_the_sdk_tries_a_capacity_refusal_again(self, ec2: Any, aws: LocalAws) -> None:
        """As on AWS, where status 500 makes every SDK repeat it for seconds."""
        aws.control.set_capacity(KIND, False)
        before = len(aws.control.calls())
        with pytest.raises(ClientError):
            reserve(client(aws, tries=2))
        assert aws.control.calls()[before:].count("CreateCapacityReservation") == 2


ANY = "arn:aws:ec2:us-east-1:*:capacity-reservation/*"
MAY_CREATE = {"Effect": "Allow", "Action": "ec2:CreateCapacityReservation", "Resource": ANY}
MAY_TAG = {
    "Effect": "Allow",
    "Action": "ec2:CreateTags",
    "Resource": ANY,
    "Condition": {"StringEquals": {"ec2:CreateAction": "CreateCapacityReservation"}},
}
MAY_CANCEL = {
    "Effect": "Allow",
    "Action": "ec2:CancelCapacityReservation",
    "Resource": ANY,
    "Condition": {"StringEquals": {"aws:ResourceTag/owner": "me"}},
}


class TestRights:
    def caller(self, aws: LocalAws, *statements: dict[str, Any]) -> Any:
        """A client with the rights of these statements alone."""
        iam, name = aws.client("iam"), f"reserver-{time.time_ns()}"
        trust = {"Effect": "Allow", "Action": "sts:AssumeRole", "Principal": {"AWS": "*"}}
        document = json.dumps({"Version": "2012-10-17", "Statement": [trust]})
        iam.create_role(RoleName=name, AssumeRolePolicyDocument=document)
        rights = json.dumps({"Version": "2012-10-17", "Statement": list(statements)})
        iam.put_role_policy(RoleName=name, PolicyName="rights", PolicyDocument=rights)
        return client(aws, aws.control.role_session(name))

    def refused(self, call: Any) -> str:
        with pytest.raises(ClientError) as refused:
            call()
        assert code(refused) == "UnauthorizedOperation"
        return str(refused.value)

    def test_creating_with_tags_needs_the_right_to_tag(self, ec2: Any, aws: LocalAws) -> None:
        bare = self.caller(aws, MAY_CREATE)
        assert reserve(bare)["State"] == "active"
        said = self.refused(lambda: reserve(bare, TagSpecifications=TAGS))
        assert "ec2:CreateTags" in said
        assert len(active(ec2)) == 1, "nothing was made"
        both = self.caller(aws, MAY_CREATE, MAY_TAG)
        assert reserve(both, TagSpecifications=TAGS)["Tags"] == TAGS[0]["Tags"]

    def test_the_right_to_tag_is_for_one_kind_of_creation(self, ec2: Any, aws: LocalAws) -> None:
        other = {"StringEquals": {"ec2:CreateAction": "RunInstances"}}
        asked = self.caller(aws, MAY_CREATE, {**MAY_TAG, "Condition": other})
        assert "ec2:CreateTags" in self.refused(lambda: reserve(asked, TagSpecifications=TAGS))

    def test_the_requested_tags_are_condition_keys(self, ec2: Any, aws: LocalAws) -> None:
        mine = {"StringEquals": {"aws:RequestTag/owner": "me"}}
        caller = self.caller(aws, {**MAY_CREATE, "Condition": mine}, MAY_TAG)
        self.refused(lambda: reserve(caller))
        assert reserve(caller, TagSpecifications=TAGS)["State"] == "active"

    def test_cancelling_is_limited_to_a_tag(self, ec2: Any, aws: LocalAws) -> None:
        caller = self.caller(aws, MAY_CANCEL)
        untagged, tagged = reserve(ec2), reserve(ec2, TagSpecifications=TAGS)
        self.refused(lambda: cancel(caller, untagged))
        cancel(caller, tagged)
        assert [row["CapacityReservationId"] for row in active(ec2)] == [
            untagged["CapacityReservationId"]
        ]

    def test_describing_knows_no_resource(self, ec2: Any, aws: LocalAws) -> None:
        action = {"Effect": "Allow", "Action": "ec2:DescribeCapacityReservations"}
        made = reserve(ec2)
        self.refused(lambda: shown(self.caller(aws, {**action, "Resource": ANY}), made))
        assert shown(self.caller(aws, {**action, "Resource": "*"}), made)["State"] == "active"
