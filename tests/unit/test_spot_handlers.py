"""Which zone a spot machine gets, whether it is one, and the end of its request."""

from __future__ import annotations

import datetime
from typing import Any

import pytest
from botocore.exceptions import ClientError

from gpustation.catalog.quotas import Instance, Need, counts, judge
from gpustation.handlers import spot_choice, spot_request
from gpustation.handlers.capacity_hold import Clients
from gpustation.handlers.responder import MAX_REASON, RefusedError, respond
from gpustation.handlers.spot_choice import Market
from tests.unit.stubbed_aws import STACK_ID, StubbedAws, make_event

ZONES = ["us-east-1b", "us-east-1a", "us-east-1c"]
SPOT_QUOTA = "L-3819A6DF"


def answer_scores(aws: StubbedAws, **scores: int) -> None:
    zones = [{"ZoneName": f"us-east-1{letter}", "ZoneId": f"use1-{letter}"} for letter in "abc"]
    aws.answer("ec2", "describe_availability_zones", {"AvailabilityZones": zones})
    rows = [{"AvailabilityZoneId": f"use1-{z}", "Score": score} for z, score in scores.items()]
    aws.answer("ec2", "get_spot_placement_scores", {"SpotPlacementScores": rows})


def answer_prices(aws: StubbedAws, *rows: tuple[str, str]) -> None:
    begin = datetime.datetime(2026, 11, 1, tzinfo=datetime.timezone.utc)
    history = [
        {
            "AvailabilityZone": f"us-east-1{zone}",
            "SpotPrice": price,
            "Timestamp": begin + datetime.timedelta(hours=hour),
        }
        for hour, (zone, price) in enumerate(rows)
    ]
    aws.answer("ec2", "describe_spot_price_history", {"SpotPriceHistory": history[::-1]})


def read(aws: StubbedAws) -> Market:
    return spot_choice.read_market("g4dn.xlarge", ZONES, aws.clients["ec2"])


def test_the_best_score_comes_first(aws: StubbedAws) -> None:
    answer_scores(aws, a=3, b=1, c=2)
    answer_prices(aws, ("a", "0.3"), ("b", "0.1"), ("c", "0.2"))
    market = read(aws)
    assert market.zones == ["us-east-1a", "us-east-1c", "us-east-1b"]
    assert str(market) == "spot in us-east-1a: placement score 3, 0.3 USD per hour now"


def test_of_equal_scores_the_lowest_price(aws: StubbedAws) -> None:
    answer_scores(aws, a=1, b=1, c=1)
    answer_prices(aws, ("a", "0.3"), ("b", "0.2"), ("c", "0.1"), ("c", "0.4"))
    assert read(aws).zones == ["us-east-1b", "us-east-1a", "us-east-1c"]


def test_a_zone_without_a_price_does_not_sell_it(aws: StubbedAws) -> None:
    answer_scores(aws, a=9, b=1, c=1)
    answer_prices(aws, ("b", "0.2"))
    assert read(aws).zones == ["us-east-1b"]


def test_without_any_knowledge_the_order_is_kept(aws: StubbedAws) -> None:
    aws.fail("ec2", "describe_availability_zones", "RequestLimitExceeded", 503)
    aws.fail("ec2", "describe_spot_price_history", "RequestLimitExceeded", 503)
    market = read(aws)
    assert (market.zones, str(market)) == (ZONES, "spot in us-east-1b")


def clients(aws: StubbedAws) -> Clients:
    ec2 = aws.clients["ec2"]
    return Clients(aws.clients["cloudformation"], ec2, ec2, aws.clients["service-quotas"])


def answer_use(aws: StubbedAws, limit: float, *types: str, waiting: tuple[str, ...] = ()) -> None:
    metric = {"MetricDimensions": {"Class": "G/Spot"}}
    quota = {"Quota": {"Value": limit, "UsageMetric": metric}}
    expected = {"ServiceCode": "ec2", "QuotaCode": SPOT_QUOTA}
    aws.answer("service-quotas", "get_service_quota", quota, expected)
    rows = [
        {
            "InstanceId": f"i-{number}",
            "InstanceType": kind,
            "State": {"Name": "running"},
            "InstanceLifecycle": "spot",
        }
        for number, kind in enumerate(types)
    ]
    aws.answer("ec2", "describe_instances", {"Reservations": [{"Instances": rows}]})
    requests = [
        {"SpotInstanceRequestId": f"sir-{n}", "LaunchSpecification": {"InstanceType": kind}}
        for n, kind in enumerate(waiting)
    ]
    aws.answer("ec2", "describe_spot_instance_requests", {"SpotInstanceRequests": requests})


def against(aws: StubbedAws, prices: dict[str, float] | None, instance_type: str) -> str:
    event = make_event("Create", {"InstanceType": instance_type})
    why = spot_choice.against_spot(event, Market(ZONES, {}, prices), clients(aws))
    aws.assert_all_asked()
    return why


class TestPrefer:
    def test_takes_spot_if_the_quota_suffices(self, aws: StubbedAws) -> None:
        answer_use(aws, 8, "g5.xlarge")
        assert against(aws, {"us-east-1a": 0.1}, "g4dn.xlarge") == ""

    def test_counts_open_requests_too(self, aws: StubbedAws) -> None:
        """AWS counts running spot machines and open requests (EC2 user guide, spot limits)."""
        answer_use(aws, 8, "g5.xlarge", waiting=("g4dn.xlarge",))
        text = against(aws, None, "g4dn.xlarge")
        assert "has 0 of 4 vCPUs free (limit 8, in use 8)" in text

    def test_takes_on_demand_if_no_zone_sells_it(self, aws: StubbedAws) -> None:
        assert against(aws, {}, "g4dn.xlarge") == "no zone sells it as spot"

    def test_takes_on_demand_if_the_quota_is_unknown(self, aws: StubbedAws) -> None:
        aws.fail("service-quotas", "get_service_quota", "ServiceException", 500)
        aws.answer("ec2", "describe_instances", {"Reservations": []})
        aws.answer("ec2", "describe_spot_instance_requests", {"SpotInstanceRequests": []})
        assert "is unknown" in against(aws, None, "g4dn.xlarge")

    def test_takes_on_demand_if_public_tables_disagree_on_the_quota(self, aws: StubbedAws) -> None:
        assert "not known which spot quota" in against(aws, None, "p6-b200.48xlarge")


class TestCounting:
    def test_spot_machines_count_against_the_spot_quota_alone(self) -> None:
        spot = Instance("i-1", "g4dn.xlarge", lifecycle="spot")
        plain = Instance("i-2", "g4dn.xlarge")
        assert [counts(one, "G/Spot") for one in (spot, plain)] == [True, False]
        assert [counts(one, "G/OnDemand") for one in (spot, plain)] == [False, True]

    @pytest.mark.parametrize(("kind", "counted"), [("p4d.24xlarge", True), ("p5.48xlarge", False)])
    def test_p5_has_a_spot_quota_of_its_own(self, kind: str, counted: bool) -> None:
        assert counts(Instance("i-1", kind, lifecycle="spot"), "P/Spot") is counted

    def test_a_reservation_is_no_room_for_spot(self) -> None:
        need = Need(4, replaces_own=False, instance_type="g4dn.xlarge")
        verdict = judge(need, "G/Spot", 8, [], {"g4dn.xlarge": 4}, None)
        assert (verdict.free, verdict.room_in) == (8, ())


class FakeEc2:
    """Requests that are cancelled at once, unless they stay."""

    def __init__(
        self, *ids: str, stays: bool = False, fault: str = "", faults: int = 10**6
    ) -> None:
        self.alive = [*ids]
        self.stays, self.fault, self.faults = stays, fault, faults
        self.cancelled: list[str] = []
        self.filters: list[Any] = []
        self.meta = type("Meta", (), {"region_name": "us-east-1"})()

    def get_paginator(self, _operation: str) -> FakeEc2:
        return self

    def paginate(self, Filters: list[Any]) -> FakeEc2:
        self.filters = Filters
        return self

    def build_full_result(self) -> dict[str, Any]:
        return {"SpotInstanceRequests": [{"SpotInstanceRequestId": one} for one in self.alive]}

    def cancel_spot_instance_requests(self, SpotInstanceRequestIds: list[str]) -> None:
        self.faults -= 1
        if self.fault and self.faults >= 0:
            raise ClientError({"Error": {"Code": self.fault}}, "CancelSpotInstanceRequests")
        self.cancelled += SpotInstanceRequestIds
        if not self.stays:
            self.alive = []


def delete(ec2: FakeEc2) -> None:
    event = make_event("Delete", {"InstanceId": "i-1", "Generation": "2"})
    now = [0.0]

    def sleep(seconds: float) -> None:
        now[0] += seconds

    client: Any = ec2
    spot_request.cancel(event, client, sleep, lambda: now[0])


class TestCancel:
    def test_of_this_generation_of_this_stack(self) -> None:
        ec2 = FakeEc2("sir-1")
        delete(ec2)
        assert ec2.cancelled == ["sir-1"]
        names = {row["Name"]: row["Values"] for row in ec2.filters}
        assert names["tag:gpustation:spot-of"] == [STACK_ID]
        assert names["tag:gpustation:generation"] == ["2"]
        assert names["state"] == ["active", "disabled", "open"]

    def test_nothing_to_cancel(self) -> None:
        delete(FakeEc2())

    @pytest.mark.parametrize(
        ("ec2", "words"),
        [
            (FakeEc2("sir-1", stays=True), "still there: sir-1"),
            (FakeEc2("sir-1", fault="RequestLimitExceeded"), "AWS did not respond"),
            (FakeEc2("sir-1", fault="Brandnew"), "CancelSpotInstanceRequests: Brandnew"),
        ],
    )
    def test_what_stays_fails_the_deletion(self, ec2: FakeEc2, words: str) -> None:
        with pytest.raises(RefusedError) as refusal:
            delete(ec2)
        long = f"arn:aws:cloudformation:us-gov-west-1:123456789012:stack/{'s' * 128}/uuid-1"
        event = {**make_event("Delete", {}), "StackId": long}
        text = spot_request.advice(event, str(refusal.value))
        assert words in text
        assert "gpustation leftovers --region us-gov-west-1" in text
        assert text.endswith(f"--stack-name {'s' * 128} --retain-resources Resource")
        assert len(text) <= MAX_REASON

    def test_it_is_tried_again_until_the_service_answers(self) -> None:
        ec2 = FakeEc2("sir-1", fault="RequestLimitExceeded", faults=9)
        delete(ec2)
        assert ec2.cancelled == ["sir-1"]


def test_a_failed_cancel_is_a_failed_delete(monkeypatch: pytest.MonkeyPatch) -> None:
    sent: list[str] = []
    monkeypatch.setattr(
        "gpustation.handlers.responder._put", lambda _url, body: sent.append(body.decode())
    )

    def refuse(_event: Any) -> None:
        raise RefusedError("still there")

    event = make_event("Delete", {})
    respond(event, None, spot_request.exists, on_delete=refuse)
    respond(event, None, spot_request.exists, on_delete=refuse, undeleted=spot_request.advice)
    assert '"Status": "SUCCESS"' in sent[0]
    assert '"Status": "FAILED"' in sent[1]
    assert "was not cancelled (still there)" in sent[1]
