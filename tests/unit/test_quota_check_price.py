"""The price that the quota check gives the machine's settings: whatever happens, there is one."""

import json
from typing import Any

import pytest
from botocore.exceptions import ConnectTimeoutError

from gpustation.catalog.gpu_types import gpu_types
from gpustation.catalog.prices import CATALOG_ORIGIN
from gpustation.handlers import quota_check
from gpustation.handlers.quota_check import Clients
from tests.unit.stubbed_aws import Event, SerialPool, StubbedAws, make_event
from tests.unit.test_offers import product
from tests.unit.test_quota_check import answer_all, decide, properties, stack_status

PRICED = properties(Price="true")
LIVE = {"UsdPerHour": "0.587", "PriceOf": "us-east-1 list price of 2026-11-20"}
CATALOGS = {"UsdPerHour": "0.526", "PriceOf": CATALOG_ORIGIN}


def answer_price(aws: StubbedAws, *products: str) -> None:
    aws.answer("pricing", "get_products", {"PriceList": [*products]})


def price(event: Event, aws: StubbedAws) -> dict[str, str]:
    """The attributes beside the message, which says that all is well."""
    data = decide(event, aws).data
    aws.assert_all_asked()
    assert not data.pop("Message").startswith(("UNKNOWN", "TOO SMALL"))
    return data


def test_it_is_that_of_the_region(aws: StubbedAws) -> None:
    answer_price(aws, product("us-east-1", "0.5870000000"))
    answer_all(aws, 8)
    assert price(make_event("Create", PRICED), aws) == LIVE


def test_it_is_not_read_unless_the_template_uses_it(aws: StubbedAws) -> None:
    answer_all(aws, 8)
    event = make_event("Create", properties())
    clients = Clients(*(aws.clients[name] for name in ("cloudformation", "ec2", "service-quotas")))
    assert clients.pricing is None
    data = quota_check.decide(event, clients, SerialPool()).data
    assert {name: data[name] for name in CATALOGS} == CATALOGS


@pytest.mark.parametrize(
    "products",
    [
        [],
        [product("us-east-1", "0.5"), product("us-east-1", "0.6")],
        [product("eu-west-1", "0.5")],
        [product("us-east-1", "0.0")],
        ["{}"],
        ["not JSON"],
    ],
    ids=["none", "several", "of another region", "free", "empty", "no JSON"],
)
def test_without_a_single_price_it_is_the_catalogs(aws: StubbedAws, products: list[str]) -> None:
    answer_price(aws, *products)
    answer_all(aws, 8)
    assert price(make_event("Create", PRICED), aws) == CATALOGS


@pytest.mark.parametrize("code", ["InternalErrorException", "ThrottlingException", "Other"])
def test_a_price_list_that_fails_does_not_fail_the_deploy(aws: StubbedAws, code: str) -> None:
    aws.fail("pricing", "get_products", code)
    answer_all(aws, 8)
    assert price(make_event("Create", PRICED), aws) == CATALOGS


def test_a_price_list_that_is_not_reached_does_not_either(aws: StubbedAws) -> None:
    def time_out(**_: Any) -> None:
        raise ConnectTimeoutError(endpoint_url="https://api.pricing")

    aws.clients["pricing"].meta.events.register("before-call", time_out)
    aws.fail("pricing", "get_products", "never")
    answer_all(aws, 8)
    data = decide(make_event("Create", PRICED), aws).data
    assert {name: data[name] for name in CATALOGS} == CATALOGS


def test_a_permission_is_waited_for_a_while(aws: StubbedAws, pauses: list[float]) -> None:
    aws.fail("pricing", "get_products", "AccessDeniedException")
    answer_price(aws, product("us-east-1", "0.5870000000"))
    answer_all(aws, 8)
    assert price(make_event("Create", PRICED), aws) == LIVE
    assert pauses == [1.0]


def test_a_permission_that_never_comes_costs_seconds(aws: StubbedAws, pauses: list[float]) -> None:
    for _ in range(5):
        aws.fail("pricing", "get_products", "AccessDeniedException")
    answer_all(aws, 8)
    assert price(make_event("Create", PRICED), aws) == CATALOGS
    assert 10 < sum(pauses) <= quota_check.PRICE_PATIENCE_SECONDS


def test_the_first_price_of_a_stack_that_exists_is_no_machine(aws: StubbedAws) -> None:
    """An earlier release made the stack: only the property that asks for the price is new."""
    aws.answer("cloudformation", "describe_stacks", stack_status("UPDATE_IN_PROGRESS"))
    answer_price(aws, product("us-east-1", "0.5870000000"))
    answer_all(aws, 4, {"InstanceType": "g4dn.xlarge", "State": {"Name": "running"}})
    data = decide(make_event("Update", PRICED, properties()), aws).data
    assert data.pop("Message").startswith("this deploy starts no machine")
    assert data == LIVE


@pytest.mark.parametrize("products", [[product("us-east-1", "0.5870000000")], []])
def test_a_rollback_has_the_price_of_the_type_that_it_goes_back_to(
    aws: StubbedAws, products: list[str]
) -> None:
    aws.answer("cloudformation", "describe_stacks", stack_status("UPDATE_ROLLBACK_IN_PROGRESS"))
    wanted = {
        "ServiceCode": "AmazonEC2",
        "Filters": [
            {"Type": "TERM_MATCH", "Field": field, "Value": value}
            for field, value in {
                "operatingSystem": "Linux",
                "tenancy": "Shared",
                "preInstalledSw": "NA",
                "capacitystatus": "Used",
                "licenseModel": "No License required",
                "regionCode": "us-east-1",
                "instanceType": "g4dn.xlarge",
            }.items()
        ],
    }
    aws.answer("pricing", "get_products", {"PriceList": products}, wanted)
    update = make_event("Update", PRICED, PRICED | {"InstanceType": "g5.xlarge"})
    assert price(update, aws) == (LIVE if products else CATALOGS)


def test_warning_has_the_price_too(aws: StubbedAws) -> None:
    answer_price(aws, product("us-east-1", "0.5870000000"))
    answer_all(aws, 0)
    data = decide(make_event("Create", PRICED | {"Mode": "warn"}), aws).data
    assert data.pop("Message").startswith("TOO SMALL")
    assert data == LIVE


def test_a_check_that_could_not_be_made_has_the_catalogs() -> None:
    data = quota_check.unknown(make_event("Create", PRICED), "no answer").data
    assert data.pop("Message").startswith("UNKNOWN")
    assert data == CATALOGS


@pytest.mark.parametrize(
    "name", ["m5.large", next(name for name, row in gpu_types().items() if not row.usd_per_hour)]
)
def test_a_type_without_a_price_has_an_attribute_nevertheless(name: str) -> None:
    data = quota_check.unknown(make_event("Create", PRICED | {"InstanceType": name}), "").data
    assert data["UsdPerHour"] == "unknown"
    assert json.dumps(data["PriceOf"])
