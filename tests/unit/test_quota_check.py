"""The quota handler against stubbed AWS answers, both ways of every branch."""

import math
from collections.abc import Callable
from typing import Any

import pytest

from gpustation.aws import account_plan
from gpustation.handlers import quota_check
from gpustation.handlers.quota_check import Clients
from gpustation.handlers.responder import MAX_REASON, RefusedError, Response
from tests.unit.stubbed_aws import LONG_AGO, STACK_ID, Event, SerialPool, StubbedAws

G_QUOTA = "L-DB2E81BA"
MakeEvent = Callable[..., Event]


def properties(**changes: str) -> dict[str, str]:
    return {
        "InstanceType": "g4dn.xlarge",
        "Framework": "mxnet",
        "Generation": "1",
        "Mode": "enforce",
    } | changes


def quota(value: float, usage_class: str = "G/OnDemand") -> dict[str, Any]:
    return {
        "Quota": {
            "QuotaCode": G_QUOTA,
            "QuotaName": "Running On-Demand G and VT instances",
            "Value": value,
            "UsageMetric": {"MetricDimensions": {"Class": usage_class}},
        }
    }


def instance(
    instance_type: str, *, own: bool = False, state: str = "running", zone: str = "us-east-1a"
) -> dict[str, Any]:
    tags = [{"Key": "aws:cloudformation:stack-id", "Value": STACK_ID}] if own else []
    return {
        "InstanceId": "i-own" if own else "i-other",
        "InstanceType": instance_type,
        "State": {"Name": state},
        "Placement": {"AvailabilityZone": zone},
        "Tags": tags,
    }


def answer_instances(aws: StubbedAws, *instances: dict[str, Any]) -> None:
    aws.answer("ec2", "describe_instances", {"Reservations": [{"Instances": list(instances)}]})
    answer_reservations(aws)


def answer_reservations(aws: StubbedAws, *reservations: dict[str, Any]) -> None:
    expected = {"Filters": [{"Name": "state", "Values": ["active", "pending"]}]}
    answer = {"CapacityReservations": list(reservations)}
    aws.answer("ec2", "describe_capacity_reservations", answer, expected)


def answer_zones(aws: StubbedAws, *zones: str) -> None:
    ordinary = [{"ZoneName": name} for name in ("us-east-1a", "us-east-1b")]
    aws.answer("ec2", "describe_availability_zones", {"AvailabilityZones": ordinary})
    offered = [{"Location": zone} for zone in zones or ("us-east-1a", "us-east-1b")]
    aws.answer("ec2", "describe_instance_type_offerings", {"InstanceTypeOfferings": offered})


def answer_requests(aws: StubbedAws, *requests: dict[str, Any]) -> None:
    aws.answer(
        "service-quotas",
        "list_requested_service_quota_change_history_by_quota",
        {"RequestedQuotas": list(requests)},
    )


def answer_all(aws: StubbedAws, limit: float, *instances: dict[str, Any]) -> None:
    aws.answer("service-quotas", "get_service_quota", quota(limit))
    answer_instances(aws, *instances)
    answer_zones(aws)
    answer_requests(aws)


def decide(event: Event, aws: StubbedAws) -> Response:
    names = ("cloudformation", "ec2", "service-quotas", "freetier", "pricing")
    clients = Clients(*(aws.clients[name] if aws.asked(name) else None for name in names))
    return quota_check.decide(event, clients, SerialPool())


def message(event: Event, aws: StubbedAws) -> str:
    answer = decide(event, aws)
    aws.assert_all_asked()
    return answer.data["Message"]


def refusal(event: Event, aws: StubbedAws) -> str:
    with pytest.raises(RefusedError) as refused:
        decide(event, aws)
    aws.assert_all_asked()
    text = str(refused.value)
    assert len(text) <= MAX_REASON
    return text


def test_exactly_enough_passes_with_a_sentence(aws: StubbedAws, event: MakeEvent) -> None:
    answer_all(aws, 8, instance("g4dn.xlarge"))
    text = message(event("Create", properties()), aws)
    assert text.startswith("g4dn.xlarge needs 4 vCPUs, 4 free (limit 8, in use 4;")
    assert G_QUOTA in text


def test_too_little_is_refused_with_all_that_helps(aws: StubbedAws, event: MakeEvent) -> None:
    answer_all(aws, 0)
    text = refusal(event("Create", properties()), aws)
    first = text.splitlines()[0]
    assert "g4dn.xlarge needs 4 vCPUs, 0 free in us-east-1 (limit 0, in use 0)" in first
    assert (
        "aws service-quotas request-service-quota-increase --region us-east-1 --service-code ec2 "
        "--quota-code L-DB2E81BA --desired-value 4" in first
    )
    assert "Running On-Demand G and VT instances (L-DB2E81BA)" in text
    assert "https://us-east-1.console.aws.amazon.com/servicequotas" in text
    assert "No type of this quota fits" in text


def test_types_that_would_fit_are_named_cheapest_first(aws: StubbedAws, event: MakeEvent) -> None:
    answer_all(aws, 8)
    text = refusal(event("Create", properties(InstanceType="g4dn.12xlarge")), aws)
    assert "Would fit now (vCPUs): g4dn.xlarge (4), g4dn.2xlarge (8), g6.xlarge (4)." in text


def test_the_longest_text_keeps_its_end(aws: StubbedAws, event: MakeEvent) -> None:
    aws.answer("service-quotas", "get_service_quota", quota(1000))
    answer_instances(aws, instance("g6e.48xlarge", own=True), *[instance("g6e.48xlarge")] * 4)
    answer_zones(aws)
    answer_requests(
        aws,
        {
            "Id": "a" * 40,
            "Status": "CASE_OPENED",
            "DesiredValue": 1152.0,
            "Created": LONG_AGO,
        },
    )
    new = properties(InstanceType="g6e.48xlarge", Generation="2", Mode="request")
    aws.answer("cloudformation", "describe_stacks", stack_status("UPDATE_IN_PROGRESS"))
    text = refusal(event("Update", new, properties()), aws)
    assert text.endswith(f"quotas/{G_QUOTA}"), "nothing was cut"


def stack_status(status: str) -> dict[str, Any]:
    return {
        "Stacks": [{"StackName": "GpuWorkstation", "CreationTime": LONG_AGO, "StackStatus": status}]
    }


def test_no_applied_value_means_the_default(aws: StubbedAws, event: MakeEvent) -> None:
    aws.fail("service-quotas", "get_service_quota", "NoSuchResourceException")
    aws.answer("service-quotas", "get_aws_default_service_quota", quota(0))
    answer_instances(aws)
    answer_zones(aws)
    answer_requests(aws)
    assert "limit 0" in refusal(event("Create", properties()), aws)


@pytest.mark.parametrize(
    ("code", "status", "word"),
    [
        ("TooManyRequestsException", 429, "TooManyRequestsException"),
        ("ThrottlingException", 400, "ThrottlingException"),
        ("ServiceException", 500, "ServiceException"),
        ("IllegalArgumentException", 400, "IllegalArgumentException"),
    ],
)
def test_an_unknown_quota_is_neither_zero_nor_enough(
    aws: StubbedAws, event: MakeEvent, code: str, status: int, word: str
) -> None:
    aws.fail("service-quotas", "get_service_quota", code, status)
    answer_instances(aws)
    answer_zones(aws)
    answer_requests(aws)
    text = message(event("Create", properties()), aws)
    assert text.startswith("UNKNOWN whether the quota suffices")
    assert word in text
    assert "4 vCPUs" in text


def test_a_missing_permission_is_waited_for_then_unknown(
    aws: StubbedAws, event: MakeEvent, pauses: list[float]
) -> None:
    for _ in range(9):
        aws.fail("service-quotas", "get_service_quota", "AccessDeniedException")
    answer_instances(aws)
    answer_zones(aws)
    answer_requests(aws)
    text = message(event("Create", properties()), aws)
    assert "permission is missing (AccessDeniedException)" in text
    assert 45 < sum(pauses) <= 60


def test_a_permission_that_comes_late_is_in_time(
    aws: StubbedAws, event: MakeEvent, pauses: list[float]
) -> None:
    aws.fail("service-quotas", "get_service_quota", "AccessDeniedException")
    aws.fail("service-quotas", "get_service_quota", "AccessDeniedException")
    answer_all(aws, 4)
    assert "4 free" in message(event("Create", properties()), aws)
    assert pauses == [1.0, 2.0]


NO_VALUE = {"ErrorReason": {"ErrorCode": "DEPENDENCY_SERVICE_ERROR", "ErrorMessage": "try again"}}


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (NO_VALUE, "(DEPENDENCY_SERVICE_ERROR)"),
        ({}, "(a value of None)"),
        ({"Value": math.nan}, "(a value of nan)"),
        ({"Value": math.inf}, "(a value of inf)"),
    ],
)
def test_a_quota_without_a_number_is_unknown(
    aws: StubbedAws, event: MakeEvent, value: dict[str, Any], words: str
) -> None:
    told = {key: row for key, row in quota(0)["Quota"].items() if key != "Value"}
    aws.answer("service-quotas", "get_service_quota", {"Quota": told | value})
    answer_instances(aws)
    answer_zones(aws)
    answer_requests(aws)
    text = message(event("Create", properties()), aws)
    assert text.startswith("UNKNOWN whether the quota suffices: quota L-DB2E81BA:")
    assert words in text


def test_a_quota_without_a_name_is_known_by_its_code(aws: StubbedAws, event: MakeEvent) -> None:
    told = {key: row for key, row in quota(8)["Quota"].items() if key != "QuotaName"}
    aws.answer("service-quotas", "get_service_quota", {"Quota": told})
    answer_instances(aws)
    answer_zones(aws)
    answer_requests(aws)
    assert "(limit 8, in use 0; the quota, L-DB2E81BA" in message(
        event("Create", properties()), aws
    )


@pytest.mark.parametrize("row", [{}, {"InstanceType": "g5.xlarge", "InstanceId": "i-1"}])
def test_an_instance_without_a_state_makes_the_use_unknown(
    aws: StubbedAws, event: MakeEvent, row: dict[str, Any]
) -> None:
    aws.answer("service-quotas", "get_service_quota", quota(8))
    answer_instances(aws, row)
    answer_zones(aws)
    answer_requests(aws)
    text = message(event("Create", properties()), aws)
    assert "UNKNOWN whether the quota suffices: unexpected response of AWS (Key" in text


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ({}, "request without an id for unknown vCPUs"),
        ({"Id": "r1", "DesiredValue": math.inf}, "request r1 for unknown vCPUs"),
    ],
)
def test_an_open_request_without_its_numbers_is_still_told(
    aws: StubbedAws, event: MakeEvent, row: dict[str, Any], words: str
) -> None:
    aws.answer("service-quotas", "get_service_quota", quota(0))
    answer_instances(aws)
    answer_zones(aws)
    answer_requests(aws, {"Status": "PENDING"} | row, {})
    assert words in refusal(event("Create", properties()), aws)


def test_no_zone_at_all_is_no_statement_about_the_type(aws: StubbedAws, event: MakeEvent) -> None:
    aws.answer("service-quotas", "get_service_quota", quota(8))
    answer_instances(aws)
    aws.answer("ec2", "describe_availability_zones", {"AvailabilityZones": []})
    aws.answer("ec2", "describe_instance_type_offerings", {"InstanceTypeOfferings": []})
    answer_requests(aws)
    assert "8 free" in decide(event("Create", properties()), aws).data["Message"]


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("OptInRequired", "the account is not signed up for EC2 yet"),
        ("AuthFailure", "the account may not use EC2 in this region"),
        ("PendingVerification", "AWS is still verifying the new account in this region"),
    ],
)
def test_an_account_that_may_not_ask_is_told_so_in_words(
    aws: StubbedAws, event: MakeEvent, code: str, words: str
) -> None:
    aws.answer("service-quotas", "get_service_quota", quota(8))
    aws.fail("ec2", "describe_instances", code, 401)
    answer_reservations(aws)
    answer_zones(aws)
    answer_requests(aws)
    text = message(event("Create", properties()), aws)
    assert text.startswith("UNKNOWN") and words in text and code in text


@pytest.mark.parametrize("missing", ["Framework", "Generation", "Mode"])
def test_a_property_that_another_version_lacks_has_its_default(
    aws: StubbedAws, event: MakeEvent, missing: str
) -> None:
    less = {key: value for key, value in properties().items() if key != missing}
    answer_all(aws, 8)
    assert "8 free" in message(event("Create", less), aws)
    for new, old in ((less, properties()), (properties(), less)):
        aws.answer("cloudformation", "describe_stacks", stack_status("UPDATE_IN_PROGRESS"))
        answer_all(aws, 8)
        assert "starts no machine" in message(event("Update", new, old), aws)


@pytest.mark.parametrize("answer", [{"Stacks": []}, stack_status("UPDATE_ROLLBACK_FAILED")])
def test_a_stack_that_is_not_told_of_may_be_going_back(
    aws: StubbedAws, event: MakeEvent, answer: dict[str, Any]
) -> None:
    aws.answer("cloudformation", "describe_stacks", answer)
    update = event("Update", properties(), properties(Generation="2"))
    assert "rolling back" in message(update, aws)


class TestFreePlan:
    """Its accounts launch no GPU type, whatever the quota."""

    def tell(self, aws: StubbedAws, kind: str, status: str = "ACTIVE") -> None:
        answer = {"accountId": "1" * 12, "accountPlanType": kind, "accountPlanStatus": status}
        aws.answer("freetier", "get_account_plan_state", answer)

    def test_is_refused_with_what_to_do(self, aws: StubbedAws, event: MakeEvent) -> None:
        self.tell(aws, "FREE")
        answer_all(aws, 8)
        text = refusal(event("Create", properties()), aws)
        assert text.startswith("this account is on AWS's free plan, which launches no GPU type")
        assert "upgrade it to the paid plan" in text
        assert "quota=warn" in text
        assert "quota too small" not in text

    def test_comes_before_a_quota_that_is_too_small(
        self, aws: StubbedAws, event: MakeEvent
    ) -> None:
        self.tell(aws, "FREE")
        answer_all(aws, 0)
        first, second, *_ = refusal(event("Create", properties(Mode="request")), aws).splitlines()
        assert "free plan" in first, "and nothing is filed"
        assert second.startswith("quota too small")

    def test_is_only_said_with_warn(self, aws: StubbedAws, event: MakeEvent) -> None:
        self.tell(aws, "FREE")
        answer_all(aws, 8)
        text = message(event("Create", properties(Mode="warn")), aws)
        assert text.startswith("FREE PLAN, warning only (quota=warn): this account is on")

    @pytest.mark.parametrize(
        ("kind", "status"), [("PAID", "ACTIVE"), ("FREE", "EXPIRED"), ("FREE", "NOT_STARTED")]
    )
    def test_another_state_is_silent(
        self, aws: StubbedAws, event: MakeEvent, kind: str, status: str
    ) -> None:
        self.tell(aws, kind, status)
        answer_all(aws, 8)
        assert "plan" not in message(event("Create", properties()), aws)

    @pytest.mark.parametrize(
        "code", ["ResourceNotFoundException", "ValidationException", "InternalServerException"]
    )
    def test_unknown_is_silent(self, aws: StubbedAws, event: MakeEvent, code: str) -> None:
        aws.fail("freetier", "get_account_plan_state", code)
        answer_all(aws, 8)
        assert "plan" not in message(event("Create", properties()), aws)

    def test_denied_is_silent_after_a_moment(
        self, aws: StubbedAws, event: MakeEvent, pauses: list[float]
    ) -> None:
        for _ in range(4):
            aws.fail("freetier", "get_account_plan_state", "AccessDeniedException")
        answer_all(aws, 8)
        assert "plan" not in message(event("Create", properties()), aws)
        assert sum(pauses) <= 10

    def test_a_deploy_that_starts_no_machine_goes_on(
        self, aws: StubbedAws, event: MakeEvent
    ) -> None:
        self.tell(aws, "FREE")
        aws.answer("cloudformation", "describe_stacks", stack_status("UPDATE_IN_PROGRESS"))
        answer_all(aws, 8)
        assert "starts no machine" in message(event("Update", properties(), properties()), aws)

    @pytest.mark.parametrize("partition", ["aws-cn", "aws-us-gov"])
    def test_other_partitions_have_none(self, partition: str) -> None:
        assert account_plan.client(partition) is None
        assert account_plan.is_free(None) is False


def test_unknown_use_is_unknown_unless_the_limit_alone_decides(
    aws: StubbedAws, event: MakeEvent
) -> None:
    aws.answer("service-quotas", "get_service_quota", quota(8))
    aws.fail("ec2", "describe_instances", "RequestLimitExceeded", 503)
    answer_reservations(aws)
    answer_zones(aws)
    answer_requests(aws)
    assert "UNKNOWN" in message(event("Create", properties()), aws)

    aws.answer("service-quotas", "get_service_quota", quota(0))
    aws.fail("ec2", "describe_instances", "RequestLimitExceeded", 503)
    answer_reservations(aws)
    answer_zones(aws)
    answer_requests(aws)
    assert "limit 0, in use unknown" in refusal(event("Create", properties()), aws)


def test_a_quota_that_counts_something_else_is_unknown(aws: StubbedAws, event: MakeEvent) -> None:
    aws.answer("service-quotas", "get_service_quota", quota(0, "Standard/OnDemand"))
    answer_instances(aws)
    answer_zones(aws)
    answer_requests(aws)
    assert "unsupported usage class Standard/OnDemand" in message(
        event("Create", properties()), aws
    )


def test_a_running_type_outside_the_catalog_is_asked_for(aws: StubbedAws, event: MakeEvent) -> None:
    answer_all(aws, 8, instance("g3s.xlarge"))
    aws.answer(
        "ec2",
        "describe_instance_types",
        {"InstanceTypes": [{"InstanceType": "g3s.xlarge", "VCpuInfo": {"DefaultVCpus": 4}}]},
        {"InstanceTypes": ["g3s.xlarge"]},
    )
    assert "in use 4" in message(event("Create", properties()), aws)


def test_warn_says_so_and_passes(aws: StubbedAws, event: MakeEvent) -> None:
    answer_all(aws, 0)
    text = message(event("Create", properties(Mode="warn")), aws)
    assert text.startswith("TOO SMALL, warning only (quota=warn)")


def test_a_type_that_no_zone_offers_is_refused(aws: StubbedAws, event: MakeEvent) -> None:
    aws.answer("service-quotas", "get_service_quota", quota(100))
    answer_instances(aws)
    answer_zones(aws, "us-east-1-bos-1a")
    answer_requests(aws)
    text = refusal(event("Create", properties(Mode="warn")), aws)
    assert "no zone of us-east-1 offers it" in text


class TestUpdate:
    @pytest.fixture(autouse=True)
    def in_progress(self, aws: StubbedAws) -> None:
        aws.answer(
            "cloudformation",
            "describe_stacks",
            stack_status("UPDATE_IN_PROGRESS"),
            {"StackName": STACK_ID},
        )

    def test_keeping_the_machine_needs_nothing(self, aws: StubbedAws, event: MakeEvent) -> None:
        answer_all(aws, 0, instance("g4dn.xlarge", own=True))
        text = message(event("Update", properties(Mode="warn"), properties()), aws)
        assert "starts no machine and needs no vCPUs" in text

    def test_a_new_generation_needs_room_beside_the_old(
        self, aws: StubbedAws, event: MakeEvent
    ) -> None:
        answer_all(aws, 4, instance("g4dn.xlarge", own=True))
        text = refusal(event("Update", properties(Generation="2"), properties()), aws)
        assert "aws ec2 stop-instances --region us-east-1 --instance-ids i-own" in text

    def test_a_new_type_needs_the_difference(self, aws: StubbedAws, event: MakeEvent) -> None:
        answer_all(aws, 8, instance("g4dn.xlarge", own=True))
        new = properties(InstanceType="g4dn.2xlarge")
        assert "8 free" in message(event("Update", new, properties()), aws)

    def test_a_new_type_must_be_offered_where_the_machine_is(
        self, aws: StubbedAws, event: MakeEvent
    ) -> None:
        aws.answer("service-quotas", "get_service_quota", quota(100))
        answer_instances(aws, instance("g4dn.xlarge", own=True, state="stopped"))
        answer_zones(aws, "us-east-1b")
        answer_requests(aws)
        new = properties(InstanceType="g6.xlarge")
        text = refusal(event("Update", new, properties()), aws)
        assert "the machine is in us-east-1a, and only us-east-1b offer this type" in text


@pytest.mark.parametrize("status", ["UPDATE_ROLLBACK_IN_PROGRESS", "ROLLBACK_IN_PROGRESS"])
def test_a_rollback_always_passes(aws: StubbedAws, event: MakeEvent, status: str) -> None:
    aws.answer("cloudformation", "describe_stacks", stack_status(status))
    update = event("Update", properties(), properties(Generation="2"))
    assert "rolling back" in message(update, aws)


def test_a_status_that_cannot_be_had_passes(
    aws: StubbedAws, event: MakeEvent, pauses: list[float]
) -> None:
    aws.fail("cloudformation", "describe_stacks", "ValidationError")
    update = event("Update", properties(), properties(Generation="2"))
    assert "rolling back" in message(update, aws)


class TestRequest:
    """``quota=request`` files the increase once, or finds the open one."""

    event_properties = properties(Mode="request")

    def test_files_the_increase_and_fails_with_its_id(
        self, aws: StubbedAws, event: MakeEvent
    ) -> None:
        answer_all(aws, 0, instance("g5.xlarge"))
        aws.answer(
            "service-quotas",
            "request_service_quota_increase",
            {"RequestedQuota": {"Id": "abc123", "Status": "PENDING"}},
            {"ServiceCode": "ec2", "QuotaCode": G_QUOTA, "DesiredValue": 8.0},
        )
        text = refusal(event("Create", self.event_properties), aws)
        assert "requested 8 vCPUs: request abc123 (PENDING)" in text

    def test_an_open_request_is_told_and_no_second_one_is_filed(
        self, aws: StubbedAws, event: MakeEvent
    ) -> None:
        aws.answer("service-quotas", "get_service_quota", quota(0))
        answer_instances(aws)
        answer_zones(aws)
        answer_requests(
            aws,
            {"Id": "old", "Status": "DENIED", "DesiredValue": 4.0, "Created": LONG_AGO},
            {"Id": "open1", "Status": "PENDING", "DesiredValue": 4.0, "Created": LONG_AGO},
        )
        text = refusal(event("Create", self.event_properties), aws)
        assert "Open: request open1 for 4 vCPUs of 2026-09-30 (PENDING)" in text
        assert "no new request: one is open" in text

    @pytest.mark.parametrize(
        ("code", "words"),
        [
            ("ResourceAlreadyExistsException", "no new request: one is open"),
            ("QuotaExceededException", "not requested, QuotaExceededException"),
            (
                "DependencyAccessDeniedException",
                "aws iam create-service-linked-role --aws-service-name servicequotas.amazonaws.com",
            ),
        ],
    )
    def test_what_becomes_of_the_request_is_said(
        self, aws: StubbedAws, event: MakeEvent, code: str, words: str
    ) -> None:
        answer_all(aws, 0)
        for _ in range(9):  # a denial may be a policy that is not in force yet
            aws.fail("service-quotas", "request_service_quota_increase", code)
            if not code.endswith("DeniedException"):
                break
        assert words in refusal(event("Create", self.event_properties), aws)

    def test_an_answer_without_an_id_is_said_as_such(
        self, aws: StubbedAws, event: MakeEvent
    ) -> None:
        answer_all(aws, 0)
        aws.answer("service-quotas", "request_service_quota_increase", {"RequestedQuota": {}})
        text = refusal(event("Create", self.event_properties), aws)
        assert "requested 4 vCPUs: request without an id (status unknown)" in text

    def test_nothing_is_filed_when_the_quota_suffices(
        self, aws: StubbedAws, event: MakeEvent
    ) -> None:
        answer_all(aws, 4)
        assert "4 free" in message(event("Create", self.event_properties), aws)


def reservation(unused: int, **changes: Any) -> dict[str, Any]:
    return {
        "CapacityReservationId": "cr-1",
        "OwnerId": "123456789012",
        "InstanceType": "g4dn.xlarge",
        "InstancePlatform": "Linux/UNIX",
        "AvailabilityZone": "us-east-1b",
        "Tenancy": "default",
        "TotalInstanceCount": 2,
        "AvailableInstanceCount": unused,
        "InstanceMatchCriteria": "targeted",
    } | changes


class TestReservations:
    def answer(self, aws: StubbedAws, *reservations: dict[str, Any], limit: float = 8) -> None:
        aws.answer("service-quotas", "get_service_quota", quota(limit))
        aws.answer("ec2", "describe_instances", {"Reservations": []})
        answer_reservations(aws, *reservations)
        answer_zones(aws)
        answer_requests(aws)

    def test_what_is_reserved_and_unused_counts(self, aws: StubbedAws, event: MakeEvent) -> None:
        self.answer(aws, reservation(2))
        text = refusal(event("Create", properties()), aws)
        assert "limit 8, in use 8 with 8 of unused capacity reservations" in text
        assert "--desired-value 12" in text

    def test_an_open_one_takes_the_machine(self, aws: StubbedAws, event: MakeEvent) -> None:
        self.answer(aws, reservation(2, InstanceMatchCriteria="open"))
        text = message(event("Create", properties()), aws)
        assert "only into the capacity reservation with room in us-east-1b" in text

    @pytest.mark.parametrize(
        "other",
        [
            {"InstancePlatform": "Windows"},
            {"Tenancy": "dedicated"},
            {"AvailableInstanceCount": 0},
            {"InstanceType": "g4dn.2xlarge", "TotalInstanceCount": 1},
        ],
    )
    def test_another_open_one_does_not(
        self, aws: StubbedAws, event: MakeEvent, other: dict[str, Any]
    ) -> None:
        self.answer(aws, reservation(1, InstanceMatchCriteria="open") | other)
        assert "quota too small" in refusal(event("Create", properties()), aws)

    @pytest.mark.parametrize(
        "other", [{"OwnerId": "999999999999"}, {"ReservationType": "capacity-block"}]
    )
    def test_only_on_demand_ones_of_the_account_count(
        self, aws: StubbedAws, event: MakeEvent, other: dict[str, Any]
    ) -> None:
        self.answer(aws, reservation(2) | other)
        assert "8 free (limit 8, in use 0;" in message(event("Create", properties()), aws)

    def test_a_denial_is_unknown_and_not_zero(self, aws: StubbedAws, event: MakeEvent) -> None:
        aws.answer("service-quotas", "get_service_quota", quota(8))
        aws.answer("ec2", "describe_instances", {"Reservations": []})
        aws.fail("ec2", "describe_capacity_reservations", "UnauthorizedOperation", 403)
        answer_zones(aws)
        answer_requests(aws)
        text = message(event("Create", properties()), aws)
        assert text.startswith("UNKNOWN whether the quota suffices: capacity reservations:")

    def test_what_certainly_runs_refuses_nevertheless(
        self, aws: StubbedAws, event: MakeEvent
    ) -> None:
        aws.answer("service-quotas", "get_service_quota", quota(8))
        rows = [instance("g4dn.2xlarge")]
        aws.answer("ec2", "describe_instances", {"Reservations": [{"Instances": rows}]})
        aws.fail("ec2", "describe_capacity_reservations", "UnauthorizedOperation", 403)
        answer_zones(aws)
        answer_requests(aws)
        assert "quota too small" in refusal(event("Create", properties()), aws)
