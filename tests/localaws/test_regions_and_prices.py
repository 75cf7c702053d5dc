"""Regions, prices, capacity reservations and calls that hang, as the embedded AWS answers them."""

from __future__ import annotations

import json
import time
from typing import Any

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError, ReadTimeoutError

from localaws import LocalAws
from tests.support.probe_stack import G_QUOTA

ASK = {"ServiceCode": "ec2", "QuotaCode": G_QUOTA}


def regions(aws: LocalAws, **more: Any) -> dict[str, str]:
    rows = aws.client("ec2").describe_regions(**more)["Regions"]
    return {row["RegionName"]: row["OptInStatus"] for row in rows}


def test_a_new_account_has_the_regions_that_need_no_opt_in(aws: LocalAws) -> None:
    enabled, every = regions(aws), regions(aws, AllRegions=True)
    assert (len(enabled), len(every)) == (17, 30)
    assert set(enabled.values()) == {"opt-in-not-required"}
    assert every["eu-south-1"] == "not-opted-in"


def test_a_region_is_enabled(aws: LocalAws) -> None:
    aws.control.set_region("eu-south-1", True)
    assert regions(aws)["eu-south-1"] == "opted-in"
    filters = [{"Name": "opt-in-status", "Values": ["opted-in"]}]
    assert [*regions(aws, Filters=filters)] == ["eu-south-1"]
    aws.control.set_region("eu-south-1", None)
    assert "eu-south-1" not in regions(aws)


def products(aws: LocalAws, **filters: str) -> list[dict[str, Any]]:
    pages = aws.client("pricing").get_paginator("get_products")
    rows = [{"Type": "TERM_MATCH", "Field": k, "Value": v} for k, v in filters.items()]
    return [
        json.loads(product)
        for page in pages.paginate(ServiceCode="AmazonEC2", Filters=rows)
        for product in page["PriceList"]
    ]


def usd(product: dict[str, Any]) -> float:
    (term,) = product["terms"]["OnDemand"].values()
    (dimension,) = term["priceDimensions"].values()
    return float(dimension["pricePerUnit"]["USD"])


def test_the_price_of_us_east_1_is_the_catalogs(aws: LocalAws) -> None:
    (one,) = products(aws, instanceType="g4dn.xlarge", regionCode="us-east-1")
    assert usd(one) == 0.526
    (other,) = products(aws, instanceType="g4dn.xlarge", regionCode="eu-west-1")
    assert usd(other) > 0.526


def test_a_list_of_prices_comes_in_pages(aws: LocalAws) -> None:
    found = products(aws, operatingSystem="Linux")
    assert len(found) > 100
    assert len({one["product"]["sku"] for one in found}) == len(found)


def test_a_type_has_no_price_where_it_is_not_offered(aws: LocalAws) -> None:
    assert products(aws, instanceType="p5.48xlarge", regionCode="eu-south-1") == []


def test_spot_is_cheaper_and_differs_by_zone(aws: LocalAws) -> None:
    rows = aws.client("ec2").describe_spot_price_history(
        InstanceTypes=["g4dn.xlarge"], ProductDescriptions=["Linux/UNIX"]
    )["SpotPriceHistory"]
    found = {row["AvailabilityZone"]: float(row["SpotPrice"]) for row in rows}
    assert {"us-east-1a", "us-east-1b"} <= {*found}
    assert max(found.values()) < 0.526 and len({*found.values()}) > 1
    with pytest.raises(ClientError, match="is invalid"):
        aws.client("ec2").describe_spot_price_history(Filters=[{"Name": "x", "Values": ["y"]}])


def test_reservations_are_those_of_the_region(aws: LocalAws) -> None:
    aws.control.reserve_capacity("cr-1", "g4dn.xlarge", "us-east-1a", total=3, available=2)
    aws.control.reserve_capacity("cr-2", "g4dn.xlarge", "eu-west-1a", owner="999999999999")
    (one,) = aws.client("ec2").describe_capacity_reservations()["CapacityReservations"]
    assert (one["OwnerId"], one["TotalInstanceCount"], one["AvailableInstanceCount"]) == (
        aws.account,
        3,
        2,
    )
    other = aws.client("ec2", "eu-west-1").describe_capacity_reservations(
        Filters=[{"Name": "state", "Values": ["active"]}]
    )["CapacityReservations"]
    assert [row["OwnerId"] for row in other] == ["999999999999"]


def test_a_request_is_decided(aws: LocalAws) -> None:
    quotas = aws.client("service-quotas")
    filed = quotas.request_service_quota_increase(**ASK, DesiredValue=100)["RequestedQuota"]
    aws.control.decide_request(filed["Id"], "APPROVED", 100)
    found = quotas.get_requested_service_quota_change(RequestId=filed["Id"])["RequestedQuota"]
    assert found["Status"] == "APPROVED"
    assert quotas.get_service_quota(**ASK)["Quota"]["Value"] == 100
    # A decided request does not stand in the way of the next
    quotas.request_service_quota_increase(**ASK, DesiredValue=200)
    with pytest.raises(ClientError) as missing:
        quotas.get_requested_service_quota_change(RequestId="none")
    assert missing.value.response["Error"]["Code"] == "NoSuchResourceException"


def brief(aws: LocalAws, service: str, region: str) -> Any:
    config = Config(read_timeout=1, retries={"total_max_attempts": 1})
    session = boto3.session.Session(
        aws.exports["AWS_ACCESS_KEY_ID"],
        aws.exports["AWS_SECRET_ACCESS_KEY"],
        region_name=region,
    )
    make: Any = session.client
    return make(service, endpoint_url=aws.url, config=config)


def test_a_call_hangs_in_one_region_and_holds_up_no_other(aws: LocalAws) -> None:
    aws.control.fault("*", "hang", region="eu-west-1")
    begin = time.monotonic()
    for service, call in (
        ("ec2", lambda client: client.describe_instances()),
        ("service-quotas", lambda client: client.get_service_quota(**ASK)),
    ):
        with pytest.raises(ReadTimeoutError):
            call(brief(aws, service, "eu-west-1"))
    aws.client("ec2").describe_instances()
    assert time.monotonic() - begin < 30, "not for as long as the call hangs"


def test_the_price_list_is_denied_and_throttled(aws: LocalAws) -> None:
    for kind, code in (("deny", "AccessDeniedException"), ("throttle", "ThrottlingException")):
        aws.control.fault("GetProducts", kind)  # type: ignore[arg-type]
        with pytest.raises(ClientError) as refused:
            brief(aws, "pricing", "us-east-1").get_products(ServiceCode="AmazonEC2")
        assert refused.value.response["Error"]["Code"] == code


def test_the_price_list_has_no_other_operations(aws: LocalAws) -> None:
    with pytest.raises(ClientError, match="no DescribeServices here"):
        aws.client("pricing").describe_services()
