"""Prices, costs and verdicts of what AWS offers."""

from __future__ import annotations

import json
from typing import Any

import boto3
import pytest
from botocore.stub import Stubber

from gpustation.aws.price_list import PRICE_LIST, Price, from_price_list, of_all_regions
from gpustation.catalog.quotas import Verdict
from gpustation.offers.costs import Costs
from gpustation.offers.price import address_from_catalog, disk_from_catalog
from gpustation.offers.regions import DISABLED, NOT_OFFERED, SUITS, TOO_SMALL, UNKNOWN, Row
from gpustation.offers.types import select

ENOUGH, TOO_LITTLE = Verdict(4, 8, 4), Verdict(4, 8, 8)


def price(usd: float | None) -> Price:
    return Price(usd, "us-east-1", "2026-11-20", PRICE_LIST)


class TestCosts:
    def test_a_month_is_that_of_the_hours_and_the_disk_is_billed_at_all_times(self) -> None:
        costs = Costs("x", price(1.0), disk_from_catalog(), address_from_catalog(), 100, 12)
        assert costs.disk_month == pytest.approx(8.0)
        assert costs.month == pytest.approx(1.005 * 365 + 8.0)
        assert costs.running_hour == pytest.approx(1.005 + 8 / 730)

    def test_all_day_is_the_hourly_cost_of_730_hours(self) -> None:
        costs = Costs("x", price(1.0), disk_from_catalog(), address_from_catalog(), 64, 24)
        assert costs.running_hour and costs.month == pytest.approx(costs.running_hour * 730)

    def test_never_running_is_the_disk(self) -> None:
        costs = Costs("x", price(1.0), disk_from_catalog(), address_from_catalog(), 64, 0)
        assert costs.month == costs.disk_month

    def test_an_unknown_price_is_not_free(self) -> None:
        costs = Costs("x", price(None), disk_from_catalog(), address_from_catalog(), 64, 8)
        assert costs.month is None and costs.running_hour is None


def product(region: str, usd: str, unit: str = "Hrs", date: str = "2026-11-20T00:00:00Z") -> str:
    dimension = {"unit": unit, "pricePerUnit": {"USD": usd}}
    return json.dumps(
        {
            "product": {"attributes": {"regionCode": region}},
            "publicationDate": date,
            "terms": {"OnDemand": {"a": {"priceDimensions": {"b": dimension}}}},
        }
    )


@pytest.fixture
def pricing() -> Any:
    keys = {"aws_access_key_id": "x", "aws_secret_access_key": "x"}
    client = boto3.client("pricing", region_name="us-east-1", **keys)  # type: ignore[call-overload]
    with Stubber(client) as stubber:
        client.stubber = stubber
        yield client


class TestPriceList:
    def answer(self, pricing: Any, *products: str, token: str = "") -> None:
        answer: dict[str, Any] = {"PriceList": [*products]}
        pricing.stubber.add_response(
            "get_products", answer | ({"NextToken": token} if token else {})
        )

    def test_the_price_has_its_date_and_region(self, pricing: Any) -> None:
        self.answer(pricing, product("eu-west-1", "0.5870000000"))
        found = from_price_list(pricing, "eu-west-1", "g4dn.xlarge")
        assert found == Price(0.587, "eu-west-1", "2026-11-20", PRICE_LIST)
        assert found.origin == "AWS price list of 2026-11-20, eu-west-1"

    @pytest.mark.parametrize(
        "products",
        [
            [],
            ["{}"],
            [product("eu-west-1", "1.0"), product("eu-west-1", "2.0")],
            [product("eu-west-1", "0.0")],
            [product("eu-west-1", "1.0", unit="Quantity")],
            [product("eu-west-2", "1.0")],
        ],
        ids=["none", "not understood", "two", "free", "another unit", "another region"],
    )
    def test_what_is_no_single_price_is_none(self, pricing: Any, products: list[str]) -> None:
        self.answer(pricing, *products)
        assert from_price_list(pricing, "eu-west-1", "g4dn.xlarge") is None

    def test_all_regions_come_in_pages(self, pricing: Any) -> None:
        self.answer(pricing, product("eu-west-1", "1.0"), token="2")
        self.answer(pricing, product("eu-west-2", "2.0"))
        found = of_all_regions(pricing, "g4dn.xlarge")
        assert {region: one.usd_per_hour for region, one in found.items()} == {
            "eu-west-1": 1.0,
            "eu-west-2": 2.0,
        }


def row(**changes: Any) -> Row:
    given: dict[str, Any] = {
        "zones": ["eu-west-1a"],
        "quota": ENOUGH,
        "latency": 20.0,
        "price": price(0.5),
    }
    return Row("eu-west-1", "g4dn.xlarge", "opted-in", **given | changes)


class TestVerdicts:
    @pytest.mark.parametrize(
        ("one", "verdict"),
        [
            (row(), SUITS),
            (row(zones=[]), NOT_OFFERED),
            (row(zones=[], quota=None), NOT_OFFERED),
            (row(quota=TOO_LITTLE), TOO_SMALL),
            (row(zones=None), UNKNOWN),
            (row(quota=None), UNKNOWN),
            (row(quota=Verdict(4, 8, None)), UNKNOWN),
            (row(quota=Verdict(4, None, 0)), UNKNOWN),
            (row(zones=None, quota=Verdict(4, 0, None)), TOO_SMALL),
            (Row("eu-south-1", "g4dn.xlarge", "not-opted-in"), DISABLED),
        ],
    )
    def test_only_known_zones_and_quota_are_good(self, one: Row, verdict: str) -> None:
        assert one.verdict == verdict

    def test_a_good_verdict_names_what_it_rests_on(self) -> None:
        assert row().reason == "zones and quota"
        assert row(unknown={"spot": "denied"}).reason == "zones and quota; spot unknown"

    def test_a_quota_that_is_too_small_says_by_how_much(self) -> None:
        assert row(quota=TOO_LITTLE).reason == "4 vCPUs needed, 0 of 8 free"

    def test_an_unknown_one_names_each_reason_once(self) -> None:
        unknown = {"zones": "no answer", "quota": "no answer", "spot": "denied"}
        assert row(zones=None, quota=None, unknown=unknown).reason == "no answer"

    def test_best_first_then_nearest_then_cheapest(self) -> None:
        rows = [
            row(quota=TOO_LITTLE, latency=1.0),
            row(latency=None),
            row(latency=30.0),
            row(latency=20.0, price=None),
            row(latency=20.0),
        ]
        ordered = sorted(rows, key=lambda one: one.order)
        assert ordered == [rows[4], rows[3], rows[2], rows[1], rows[0]]


class TestTypes:
    def test_the_filters_narrow(self) -> None:
        found = [one.gpu_type.name for one in select("mxnet", 4, 6.0) if one.obstacle is None]
        assert "g4dn.12xlarge" in found and "g4dn.xlarge" not in found
        assert all("p4d" not in name for name in found)

    def test_cheapest_first_and_without_a_price_last(self) -> None:
        prices = [one.gpu_type.usd_per_hour for one in select("mxnet", None, None)]
        known = [usd for usd in prices if usd is not None]
        assert known == sorted(known)
        assert prices[: len(known)] == known
