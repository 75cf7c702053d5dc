"""``price``, ``types``, ``quota`` and ``regions`` against the embedded AWS."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from typing import Any

import pytest
from botocore.config import Config

from gpustation.catalog.names import WORKSTATION, WORKSTATION_DESCRIPTION
from gpustation.console.statuses import FINDING, NO_ACCESS, NO_CAPACITY, TIMED_OUT, USAGE
from gpustation.offers import quota
from gpustation.offers import regions as offers
from localaws import LocalAws
from tests.cli.conftest import Ran, Verb
from tests.support.probe_stack import G_QUOTA, Stack, instance, network

TEMPLATE = {
    "Description": WORKSTATION_DESCRIPTION,
    "Resources": network() | {"Machine": instance(InstanceType="g4dn.2xlarge")},
    "Outputs": {"InstanceId": {"Value": {"Ref": "Machine"}}},
}
"""What the command knows a workstation by, without its set-up."""


@pytest.fixture
def nobody(verb: Verb, monkeypatch: pytest.MonkeyPatch) -> None:
    """No credentials."""
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")


class TestPrice:
    def test_the_price_list_is_asked(self, verb: Verb) -> None:
        document = verb("price", "g5.xlarge", "--region", "eu-west-1", "--json").document
        machine = document["prices"]["machine_per_hour"]
        assert machine["source"] == "AWS price list"
        assert (machine["region"], machine["as_of"]) == ("eu-west-1", "2026-11-20")
        assert machine["usd"] != 1.006, "that of us-east-1"
        assert document["why_catalog"] is None

    def test_what_it_costs(self, verb: Verb) -> None:
        ran = verb("price", "g4dn.xlarge", "--hours", "12", "--disk-gib", "100")
        usd = {row[0]: row[1] for row in ran.rows}
        assert ran.status == 0
        assert usd == {
            "machine": "0.5260",
            "address": "0.0050",
            "disk": "8.00",
            "hour": "0.5420",
            "day": "13.01",
            "stopped": "8.00",
            "month": f"{0.531 * 365 + 8:.2f}",
        }
        assert "the bill decides" in ran.err and "2026-11-20" in ran.err

    @pytest.mark.parametrize("kind", ["deny", "throttle", "hang"])
    def test_without_the_price_list_it_is_the_catalogs_and_says_why(
        self, aws: LocalAws, verb: Verb, kind: Any
    ) -> None:
        aws.control.fault("GetProducts", kind)
        ran = verb("price", "g5.xlarge", "--region", "eu-west-1")
        assert ran.status == 0
        assert "NOT LIVE: " in ran.err
        assert {"deny": "pricing:GetProducts", "throttle": "Rate exceeded", "hang": "timeout"}[
            kind
        ] in ran.err
        assert "machine, disk: catalog of 2026-07-20, us-east-1" in ran.err or (
            "machine: catalog of 2026-07-20, us-east-1" in ran.err
        )

    @pytest.mark.usefixtures("nobody")
    def test_without_credentials_too(self, verb: Verb) -> None:
        document = verb("price", "--json").document
        assert document["instance_type"] == "g4dn.xlarge"
        assert document["prices"]["machine_per_hour"]["source"] == "catalog"
        assert "credentials" in document["why_catalog"]

    def test_without_a_region_too(self, verb: Verb, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.delenv("AWS_REGION")
        monkeypatch.delenv("AWS_DEFAULT_REGION")
        assert "no region" in verb("price", "--json").document["why_catalog"]

    @pytest.mark.parametrize("words", [["t3.micro"], ["--hours", "25"], ["--disk-gib", "0"]])
    def test_what_has_no_price_is_refused(self, verb: Verb, words: list[str]) -> None:
        assert verb("price", *words).status == USAGE


class TestTypes:
    def test_those_that_run_the_framework_with_their_zones(self, verb: Verb) -> None:
        ran = verb("types", "--gpus", "4", "--max-price", "6")
        rows = {row[0]: row for row in ran.rows}
        assert ran.status == 0
        assert rows["g4dn.12xlarge"][1:5] == ["T4", "4", "48", "3.912"]
        assert rows["g4dn.12xlarge"][5].split() == ["a", "b", "c", "d", "f"]
        assert all(row[2] == "4" and float(row[4]) <= 6 for row in ran.rows)
        assert "2026-07-20" in ran.err and "the bill decides" in ran.err

    def test_why_others_cannot(self, verb: Verb) -> None:
        few = verb("types", "--framework", "mxnet").rows
        every = {row[0]: row for row in verb("types", "--framework", "mxnet", "--all").rows}
        assert len(every) > len(few)
        assert "AMD" in every["g4ad.xlarge"][6]
        assert "compute capability 9.0" in every["p5.48xlarge"][6]

    def test_zones_of_another_region(self, verb: Verb) -> None:
        found = verb("types", "--region", "eu-north-1", "--json").document
        zones = {one["instance_type"]: one["zones"] for one in found["types"]}
        assert zones["g4dn.xlarge"] == ["eu-north-1a", "eu-north-1b", "eu-north-1c"]
        assert found["price"]["region"] == "us-east-1"

    @pytest.mark.usefixtures("nobody")
    def test_without_access_the_catalog_is_there(self, verb: Verb) -> None:
        ran = verb("types")
        assert ran.status == 0
        assert {row[5] for row in ran.rows} == {"unknown"}
        assert "The zones are unknown: Unable to locate credentials" in ran.err

    def test_a_denial_is_named(self, aws: LocalAws, verb: Verb) -> None:
        aws.control.fault("DescribeInstanceTypeOfferings", "deny")
        found = verb("types", "--json").document
        assert "DescribeInstanceTypeOfferings" in found["zones_unknown"]
        assert all(one["zones"] is None for one in found["types"])


class TestQuota:
    def test_enough(self, verb: Verb) -> None:
        ran = verb("quota")
        facts = dict(ran.rows)
        assert ran.status == 0
        assert (facts["type"], facts["limit"], facts["free"]) == (
            "g4dn.xlarge",
            "12 vCPUs",
            "12 vCPUs",
        )
        assert facts["verdict"] == "suffices"

    def test_too_little(self, verb: Verb) -> None:
        ran = verb("quota", "g4dn.4xlarge", "--json")
        assert ran.status == NO_CAPACITY
        assert ran.document["suffices"] is False
        assert ran.document["vcpus_needed"] == 16

    def test_reserved_capacity_counts_though_it_is_not_used(
        self, aws: LocalAws, verb: Verb
    ) -> None:
        aws.control.reserve_capacity(
            "cr-0", "g4dn.2xlarge", "us-east-1a", total=1, available=1, match="targeted"
        )
        found = verb("quota", "g4dn.2xlarge", "--json")
        assert found.status == NO_CAPACITY
        assert (found.document["in_use"], found.document["reserved"]) == (8, 8)
        assert "8 reserved and unused" in verb("quota", "g4dn.2xlarge").out

    def test_an_open_reservation_of_the_type_has_room(self, aws: LocalAws, verb: Verb) -> None:
        aws.control.reserve_capacity("cr-0", "g4dn.2xlarge", "us-east-1a")
        ran = verb("quota", "g4dn.2xlarge")
        assert ran.status == 0
        assert "only for the capacity reservation in us-east-1a" in ran.out

    @pytest.mark.parametrize(
        "operation", ["DescribeCapacityReservations", "DescribeInstances", "GetServiceQuota"]
    )
    def test_what_may_not_be_read_is_unknown(
        self, aws: LocalAws, verb: Verb, operation: str
    ) -> None:
        aws.control.fault(operation, "deny")
        ran = verb("quota", "g4dn.xlarge", "--json")
        assert ran.status == NO_ACCESS
        assert ran.document["suffices"] is None and ran.document["free"] is None
        assert operation in ran.err

    @pytest.mark.usefixtures("nobody")
    def test_without_credentials(self, verb: Verb) -> None:
        ran = verb("quota", "g4dn.xlarge")
        assert ran.status == NO_ACCESS
        assert "aws configure" in ran.err

    def test_expired_credentials_are_named(self, aws: LocalAws, verb: Verb) -> None:
        aws.control.fault("DescribeStacks", "expired")
        ran = verb("quota")
        assert ran.status == NO_ACCESS and "expired" in ran.err

    @pytest.mark.parametrize("operation", ["DescribeStacks", "DescribeInstances"])
    def test_throttling_is_waited_for(self, aws: LocalAws, verb: Verb, operation: str) -> None:
        aws.control.fault(operation, "throttle", times=2)
        assert verb("quota").status == 0

    def test_an_unknown_type_is_refused(self, verb: Verb) -> None:
        assert verb("quota", "g4dn.huge").status == USAGE
        assert verb("quota", "request", "g4dn.huge").status == USAGE


class TestQuotaRequest:
    WORDS = ("quota", "request", "p4d.24xlarge")

    def test_nothing_is_requested_unasked(self, verb: Verb) -> None:
        ran = verb(*self.WORDS)
        assert ran.status == FINDING and "--yes" in ran.err
        assert verb("quota", "p4d.24xlarge", "--json").document["open_requests"] == []

    def test_a_second_one_finds_the_first(self, verb: Verb) -> None:
        first = verb(*self.WORDS, "--machines", "2", "--yes", "--json").document
        assert (first["filed"], first["desired"]) == (True, 192)
        second = verb(*self.WORDS, "--json").document
        assert second["filed"] is False
        assert second["request"]["id"] == first["request"]["id"]

    def test_enough_is_not_requested(self, verb: Verb) -> None:
        ran = verb("quota", "request", "g4dn.xlarge", "--machines", "3")
        assert ran.status == 0 and "suffices already" in ran.out

    def test_a_denial_names_the_permission(self, aws: LocalAws, verb: Verb) -> None:
        aws.control.fault("RequestServiceQuotaIncrease", "deny")
        ran = verb(*self.WORDS, "--yes")
        assert ran.status == NO_ACCESS
        assert "servicequotas:RequestServiceQuotaIncrease" in ran.err

    def test_an_unknown_use_is_not_guessed(self, aws: LocalAws, verb: Verb) -> None:
        aws.control.fault("DescribeInstances", "deny")
        ran = verb("quota", "request", "g4dn.xlarge", "--yes")
        assert ran.status == NO_ACCESS and "nothing was requested" in ran.err


class TestQuotaWatch:
    WORDS = ("quota", "watch", "p4d.24xlarge")

    @pytest.fixture(autouse=True)
    def impatient(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(quota, "POLL_SECONDS", 0.2)

    @pytest.fixture
    def filed(self, verb: Verb) -> str:
        ran = verb("quota", "request", "p4d.24xlarge", "--yes", "--json")
        return str(ran.document["request"]["id"])

    @pytest.mark.parametrize(
        ("status", "limit", "granted"),
        [
            ("APPROVED", 96, True),
            ("CASE_CLOSED", 96, True),
            ("CASE_CLOSED", None, False),
            ("DENIED", None, False),
        ],
    )
    def test_it_follows_it_to_the_decision(
        self, aws: LocalAws, verb: Verb, filed: str, status: str, limit: int, granted: bool
    ) -> None:
        aws.control.decide_request(filed, status, limit)
        ran = verb(*self.WORDS, "--json")
        assert ran.status == (0 if granted else NO_CAPACITY)
        assert ran.document["granted"] is granted
        assert ran.document["request"]["status"] == status

    @pytest.mark.usefixtures("filed")
    def test_it_ends(self, verb: Verb) -> None:
        ran = verb(*self.WORDS, "--timeout", "1")
        assert ran.status == TIMED_OUT
        assert "still PENDING" in ran.err

    def test_without_a_request_there_is_nothing_to_follow(self, verb: Verb) -> None:
        ran = verb(*self.WORDS)
        assert ran.status == FINDING
        assert "quota request p4d.24xlarge" in ran.err


class TestRegions:
    HUNG, DENIED, DISABLED = ("eu-west-1", "eu-south-2"), "us-west-1", "me-south-1"

    @pytest.fixture
    def names(self, aws: LocalAws) -> list[str]:
        """Thirty regions, of which one is not enabled."""
        rows = aws.client("ec2").describe_regions(AllRegions=True)["Regions"]
        names = [row["RegionName"] for row in rows]
        for name in names:
            aws.control.set_region(name, name != self.DISABLED)
        assert len(names) == 30
        return names

    def test_all_are_rows_though_two_hang_and_one_denies(
        self, aws: LocalAws, verb: Verb, names: list[str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """On a busy computer the other 27 regions need longer than a person shall wait."""
        assert offers.DEADLINE_SECONDS < 10
        monkeypatch.setattr(offers, "DEADLINE_SECONDS", 60.0)
        monkeypatch.setattr(offers, "FIRST_SECONDS", 30.0)
        verb("regions")  # the embedded AWS reads its data of each region once
        for name in self.HUNG:
            aws.control.fault("*", "hang", region=name)
        aws.control.fault("*", "deny", region=self.DENIED)
        ran = verb("regions", "--json")
        rows = {row["region"]: row for row in ran.document["rows"]}
        assert ran.status == 0
        assert sorted(rows) == names
        for name in self.HUNG:
            assert rows[name]["verdict"] == "unknown"
            assert rows[name]["zones"] is None and rows[name]["quota"]["free"] is None
            assert {"zones", "quota", "spot"} <= {*rows[name]["unknown"]}
            assert rows[name]["reason"] == "no answer in time"
        assert "no permission for" in rows[self.DENIED]["reason"]
        assert rows[self.DENIED]["verdict"] == "unknown"
        assert rows[self.DISABLED]["verdict"] == "not enabled"
        assert rows["ap-south-2"]["verdict"] == "not offered"
        assert rows["us-east-1"]["verdict"] == "suits"

    def test_the_deadline_holds_whatever_a_call_does(
        self, aws: LocalAws, verb: Verb, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A server that sends a byte now and then never runs into the time-out of a read."""
        monkeypatch.setattr(offers, "QUICK", Config(read_timeout=100))
        monkeypatch.setattr(offers, "DEADLINE_SECONDS", 6.0)
        aws.control.fault("*", "hang", region="eu-west-1")
        begin = time.monotonic()
        rows = {row["region"]: row for row in verb("regions", "--json").document["rows"]}
        assert time.monotonic() - begin < 60
        assert len(rows) == 30
        assert rows["eu-west-1"]["reason"] == "no answer in time"

    def test_a_row_has_what_a_choice_needs(self, verb: Verb) -> None:
        ran = verb("regions", "g5.xlarge", "p4d.24xlarge")
        rows = {tuple(row[:2]): row for row in ran.rows}
        suits = rows["us-east-1", "g5.xlarge"]
        assert suits[2:5] == ["5", "12 of 12", "1.006"]
        assert 0 < float(suits[5]) < 1.006 and float(suits[6]) >= 0
        assert suits[7:] == ["suits", "zones and quota"]
        assert rows["us-east-1", "p4d.24xlarge"][7] == "quota too small"
        verdicts = [row[7] for row in ran.rows]
        assert verdicts == sorted(
            verdicts,
            key=["suits", "quota too small", "unknown", "not offered", "not enabled"].index,
        )
        assert "2026-11-20" in ran.err and "the bill decides" in ran.err

    def test_without_the_price_list_prices_are_unknown(self, aws: LocalAws, verb: Verb) -> None:
        aws.control.fault("GetProducts", "deny")
        ran = verb("regions", "--json")
        assert all(row["usd_per_hour"] is None for row in ran.document["rows"])
        assert "no permission for GetProducts" in ran.document["rows"][0]["unknown"]["price"]

    def test_no_region_suits(self, aws: LocalAws, verb: Verb) -> None:
        aws.control.set_quota(G_QUOTA, 0)
        assert verb("regions").status == FINDING

    @pytest.mark.parametrize(
        ("operation", "kind", "status", "words"),
        [
            ("DescribeRegions", "deny", NO_ACCESS, "DescribeRegions"),
            ("DescribeRegions", "hang", NO_ACCESS, "timeout"),
        ],
    )
    def test_without_the_list_of_the_regions_there_is_nothing(
        self, aws: LocalAws, verb: Verb, operation: str, kind: Any, status: int, words: str
    ) -> None:
        aws.control.fault(operation, kind)
        ran = verb("regions")
        assert ran.status == status
        assert words in ran.err and ran.out == ""

    @pytest.mark.usefixtures("nobody")
    def test_without_credentials(self, verb: Verb) -> None:
        assert verb("regions").status == NO_ACCESS

    def test_progress_is_for_a_terminal(self, verb: Verb, monkeypatch: pytest.MonkeyPatch) -> None:
        assert " answers" not in verb("regions").err
        monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
        assert " answers" in verb("regions").err


class TestOfAWorkstation:
    @pytest.fixture(autouse=True)
    def stack(self, aws: LocalAws, verb: Verb) -> Iterator[Stack]:
        stack = Stack(aws, WORKSTATION)
        assert stack.deploy("create_stack", TEMPLATE) == "CREATE_COMPLETE"
        yield stack
        aws.control.reset()
        stack.delete()

    def test_its_type_is_the_default(self, verb: Verb) -> None:
        assert verb("price", "--json").document["instance_type"] == "g4dn.2xlarge"
        assert verb("regions", "--json").document["instance_types"] == ["g4dn.2xlarge"]

    def test_it_needs_nothing_while_it_runs(self, aws: LocalAws, verb: Verb) -> None:
        running = verb("quota", "--json")
        assert running.status == 0
        assert (running.document["vcpus_needed"], running.document["in_use"]) == (0, 8)
        assert verb("quota", "g4dn.2xlarge").status == NO_CAPACITY, "another one"
        aws.control.set_quota(G_QUOTA, 4)
        assert verb("stop", "--yes").status == 0
        assert verb("quota").status == NO_CAPACITY


def test_an_error_is_one_line(aws: LocalAws, verb: Verb) -> None:
    aws.control.fault("DescribeRegions", "deny")
    ran: Ran = verb("regions")
    assert len(ran.err.splitlines()) == 1


class TestSpotQuota:
    """`gpustation quota --spot`: the quota of spot machines, and what counts against it."""

    def test_is_another_quota(self, aws: LocalAws, verb: Verb) -> None:
        aws.control.set_quota("L-3819A6DF", 7)
        answer = verb("quota", "g4dn.xlarge", "--spot", "--json").document
        assert (answer["quota_code"], answer["limit"]) == ("L-3819A6DF", 7)
        assert (answer["in_use"], answer["suffices"]) == (0, True)

    def test_too_small_it_names_the_request(self, aws: LocalAws, verb: Verb) -> None:
        aws.control.set_quota("L-3819A6DF", 0)
        ran = verb("quota", "g4dn.xlarge", "--spot")
        assert ran.status == NO_CAPACITY
        assert "`gpustation quota request g4dn.xlarge --spot` asks for 4 vCPUs" in ran.out

    def test_a_type_whose_spot_quota_is_not_known(self, verb: Verb) -> None:
        ran = verb("quota", "p6-b200.48xlarge", "--spot")
        assert ran.status == FINDING
        assert "it is not known which spot quota counts a p6-b200.48xlarge" in ran.err
