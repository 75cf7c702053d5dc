"""Every call of the leftovers' search reads all pages, and tells when it cannot."""

from __future__ import annotations

import datetime
import functools
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import botocore.session
import pytest
from botocore.exceptions import EndpointConnectionError
from botocore.model import Shape
from botocore.stub import Stubber
from leftovers_account import WrittenAccount

from gpustation.leftovers import find
from gpustation.leftovers.account import Account, Call, moment, tags_of
from gpustation.leftovers.result import NotChecked
from gpustation.leftovers.table import KINDS

LIBRARY = Path(__file__).resolve().parents[2] / "constructs" / "gpustation" / "leftovers"
NAMED = {
    "list_change_sets": {"StackName": "GpuWorkstation"},
    "list_component_build_versions": {"componentVersionArn": "arn:aws:imagebuilder:a/b/1.0.0"},
    "list_image_build_versions": {"imageVersionArn": "arn:aws:imagebuilder:a/b/1.0.0"},
    "list_stack_resources": {"StackName": "GpuWorkstation"},
    "list_role_tags": {"RoleName": "role"},
    "list_role_policies": {"RoleName": "role"},
    "list_attached_role_policies": {"RoleName": "role"},
    "list_instance_profiles_for_role": {"RoleName": "role"},
    "list_instance_profile_tags": {"InstanceProfileName": "profile"},
    "list_policy_tags": {"PolicyArn": "arn:aws:iam::123456789012:policy/own"},
    "list_tags_of_resource": {"ResourceArn": "arn:aws:dynamodb:us-east-1:123456789012:table/one"},
    "list_targets_by_rule": {"Rule": "one"},
    "list_entities_for_policy": {"PolicyArn": "arn:aws:iam::123456789012:policy/own"},
}
"""Arguments of the calls that need some."""


def calls() -> list[Call]:
    """Service, operation and member of every call that returns a list."""
    made = {call for kind in KINDS for call in kind.calls}
    return sorted(call for call in made if call.operation.startswith(("list_", "describe_")))


SERVICES = (
    *("ec2", "iam", "cloudformation", "imagebuilder", "lambda", "logs", "ssm", "s3"),
    *("scheduler", "events", "sns", "dynamodb"),
)


def client(service: str) -> Any:
    make: Any = boto3.client
    return make(service, "us-east-1", aws_access_key_id="x", aws_secret_access_key="x")


known = functools.cache(client)
"""A client to look at, not to stub."""


def least(shape: Shape) -> Any:
    """The least that an answer of this shape may hold."""
    if shape.type_name == "structure":
        required = getattr(shape, "required_members", [])
        return {name: least(shape.members[name]) for name in required}  # type: ignore[attr-defined]
    if shape.type_name in ("list", "map"):
        return [] if shape.type_name == "list" else {}
    if shape.type_name == "timestamp":
        return datetime.datetime(2026, 11, 24, tzinfo=datetime.timezone.utc)
    return {"boolean": False, "integer": 1, "long": 1}.get(shape.type_name, "x" * 40)


PAGINATED = [call for call in calls() if known(call[0]).can_paginate(call[1])]


def test_the_table_of_calls_is_not_empty() -> None:
    assert len(PAGINATED) > 25
    assert ("ec2", "describe_snapshots", "Snapshots") in PAGINATED
    assert ("imagebuilder", "list_image_build_versions", "imageSummaryList") in PAGINATED


@pytest.mark.parametrize(("service", "operation", "member"), PAGINATED)
def test_all_pages_are_read(
    account: Account, stubbed: dict[str, Stubber], service: str, operation: str, member: str
) -> None:
    stub = stubbed[service]
    meta = stub.client.meta
    name = meta.method_to_api_mapping[operation]
    session = botocore.session.get_session()
    pages = session.get_paginator_model(service).get_paginator(name)
    shape = meta.service_model.operation_model(name).output_shape
    row = least(shape.members[member].member)
    more = {pages["more_results"]: True} if "more_results" in pages else {}
    rest = {one: least(shape.members[one]) for one in shape.required_members}
    stub.add_response(
        operation, {**rest, member: [row, row], pages["output_token"]: "a-token", **more}
    )
    stub.add_response(operation, {**rest, member: [row]})
    found = account.list(service, operation, member, **NAMED.get(operation, {}))
    assert len(found) == 3
    stub.assert_no_pending_responses()


@pytest.fixture
def stubbed() -> dict[str, Stubber]:
    made = {service: Stubber(client(service)) for service in SERVICES}
    for stub in made.values():
        stub.activate()
    return made


@pytest.fixture
def account(stubbed: dict[str, Stubber], monkeypatch: pytest.MonkeyPatch) -> Iterator[Account]:
    def get(self: Account, service: str, region: str = "") -> Any:
        return stubbed[service].client

    monkeypatch.setattr(Account, "client", get)
    yield Account(boto3.session.Session(), "us-east-1")


@pytest.mark.parametrize(("service", "operation", "member"), calls())
def test_call_without_pages_has_no_next_one(service: str, operation: str, member: str) -> None:
    meta = known(service).meta
    model = meta.service_model.operation_model(meta.method_to_api_mapping[operation])
    marks = [
        one for one in model.output_shape.members if re.search("(?i)token|marker|trunc|last", one)
    ]
    assert bool(marks) == known(service).can_paginate(operation)


def test_empty_page_is_not_the_last(account: Account, stubbed: dict[str, Stubber]) -> None:
    stubbed["ec2"].add_response("describe_vpcs", {"Vpcs": [], "NextToken": "more"})
    stubbed["ec2"].add_response("describe_vpcs", {"Vpcs": [{"VpcId": "vpc-1"}]})
    assert account.list("ec2", "describe_vpcs", "Vpcs") == [{"VpcId": "vpc-1"}]


def test_list_that_ends_early_is_no_short_list(
    account: Account, stubbed: dict[str, Stubber]
) -> None:
    """It says that there is more, and not where."""
    stubbed["iam"].add_response("list_role_policies", {"PolicyNames": ["a"], "IsTruncated": True})
    assert account.read("iam", "list_role_policies", "PolicyNames", RoleName="role") is None
    (told,) = account.not_checked
    assert (told.action, told.reason) == (
        "iam:ListRolePolicies",
        "the list is cut off: no marker for its next page",
    )


@pytest.mark.parametrize("operation", ["describe_vpcs", "describe_addresses"])
def test_answer_without_its_list_is_no_empty_list(
    account: Account, stubbed: dict[str, Stubber], operation: str
) -> None:
    member = {"describe_vpcs": "Vpcs", "describe_addresses": "Addresses"}[operation]
    stubbed["ec2"].add_response(operation, {})
    assert account.read("ec2", operation, member) is None
    assert account.not_checked[0].reason == f"the response has no {member}"


def test_thing_without_tags_is_none_that_could_not_be_asked(
    account: Account, stubbed: dict[str, Stubber]
) -> None:
    stubbed["logs"].add_response("list_tags_for_resource", {})
    assert account.tags("logs", "list_tags_for_resource", "tags", resourceArn="arn:aws:x") == {}
    assert account.not_checked == []


def test_physical_id_that_no_stack_has_is_no_failure(
    account: Account, stubbed: dict[str, Stubber]
) -> None:
    call = ("cloudformation", "describe_stack_resources", "StackResources")
    stub = stubbed["cloudformation"]
    stub.add_client_error(call[1], "ValidationError", "Stack for vol-1 does not exist")
    assert account.read(*call, PhysicalResourceId="vol-1") == []
    stub.add_client_error("list_stack_resources", "ValidationError", "Stack x does not exist")
    named = ("cloudformation", "list_stack_resources", "StackResourceSummaries")
    assert account.read(*named, StackName="x") is None, "then what it owns is not known"


def test_row_that_lacks_a_key_ends_its_kinds_and_nothing_looks_clean(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    tags = [{"Key": "gpustation", "Value": "gone"}]
    whole = {"AllocationId": "eipalloc-1", "PublicIp": "192.0.2.1", "Tags": tags}
    answers = {
        "describe_addresses": [whole, {"PublicIp": "192.0.2.2"}],
        "describe_vpcs": [{"VpcId": "vpc-1", "Tags": tags}],
    }
    monkeypatch.setattr(find, "Account", lambda *_: WrittenAccount(answers))
    found = find.find_leftovers(boto3.session.Session(), region="us-east-1")
    assert [row.id for row in found.rows] == ["eipalloc-1", "vpc-1"]
    (told,) = found.not_checked
    assert (told.action, "AllocationId" in told.reason) == ("the rest of kind address", True)


def test_failing_second_page_is_no_short_list(
    account: Account, stubbed: dict[str, Stubber]
) -> None:
    stubbed["ec2"].add_response("describe_vpcs", {"Vpcs": [{}], "NextToken": "more"})
    stubbed["ec2"].add_client_error("describe_vpcs", "UnauthorizedOperation", "no", 403)
    assert account.read("ec2", "describe_vpcs", "Vpcs") is None
    told = NotChecked("ec2:DescribeVpcs", "us-east-1", "UnauthorizedOperation: no")
    assert account.not_checked == [told]


def test_thing_that_went_meanwhile_is_no_failure(
    account: Account, stubbed: dict[str, Stubber]
) -> None:
    stubbed["iam"].add_client_error("list_role_tags", "NoSuchEntity")
    assert account.read("iam", "list_role_tags", "Tags", RoleName="gone") == []
    assert account.not_checked == []


def test_same_failure_is_told_once_and_a_missing_endpoint_is_one(
    account: Account, stubbed: dict[str, Stubber]
) -> None:
    def unreachable(**_: Any) -> Any:
        raise EndpointConnectionError(endpoint_url="https://ec2.nowhere-1.amazonaws.com")

    stubbed["ec2"].deactivate()
    events = account.client("ec2").meta.events
    events.register("before-parameter-build.ec2.DescribeAddresses", unreachable)
    for _ in range(2):
        assert account.list("ec2", "describe_addresses", "Addresses") == []
    (told,) = account.not_checked
    assert (told.action, told.reason[:17]) == ("ec2:DescribeAddresses", "Could not connect")


def test_buckets_are_listed_by_another_right(account: Account, stubbed: dict[str, Stubber]) -> None:
    stubbed["s3"].add_client_error("list_buckets", "AccessDenied")
    account.list("s3", "list_buckets", "Buckets")
    assert [one.action for one in account.not_checked] == ["s3:ListAllMyBuckets"]


def test_tags_and_times_of_all_forms() -> None:
    assert tags_of([{"Key": "a", "Value": "b"}]) == tags_of({"a": "b"}) == {"a": "b"}
    assert tags_of(None) == {}
    moments = [moment("2026-11-24T10:00:00.000Z"), moment("2026-11-24T10:00:00.000+0000")]
    at_ten = datetime.datetime(2026, 11, 24, 10, tzinfo=datetime.timezone.utc)
    assert [*moments, moment(at_ten)] == [at_ten] * 3
    assert moment(None) is None
