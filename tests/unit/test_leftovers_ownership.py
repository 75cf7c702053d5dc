"""Whose a thing is: what proves it, what only points to us, and what is another's."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from gpustation.catalog.names import STACK_NAMES
from gpustation.leftovers.ownership import (
    BUILDER_TAG,
    NOT_PROVEN,
    PATHS,
    STACK_NAME_TAG,
    Names,
    Ownership,
    is_generated_name,
    is_logical_id,
)

SNAPSHOTS = Path(__file__).resolve().parents[1] / "snapshot" / "__snapshots__"
NAMED = (
    "AWS::IAM::InstanceProfile",
    "AWS::IAM::Role",
    "AWS::Lambda::Function",
    "AWS::Logs::LogGroup",
    "AWS::EC2::SecurityGroup",
    "AWS::DynamoDB::Table",
    "AWS::Events::Rule",
    "AWS::SNS::Topic",
    "AWS::Scheduler::Schedule",
    "AWS::Scheduler::ScheduleGroup",
)
"""Types whose resources CloudFormation names after stack and logical id."""
TAIL = "UJ5n2NwuSPZB"
ROLE = "GpuImage-ImageRole1BFBDE6E"
FUNCTION = "GpuWorkstation-QuotaCheckHandlerFunction9D5A8239"


def logical_ids() -> set[str]:
    """Those that our templates have and CloudFormation makes names of."""
    found = set()
    for path in SNAPSHOTS.glob("test_snapshots/*.json"):
        for name, one in json.loads(path.read_text()).get("Resources", {}).items():
            nameless = "Name" not in one.get("Properties", {})
            if one["Type"] in NAMED or (one["Type"] == "AWS::SSM::Parameter" and nameless):
                found.add(name)
    return found


def test_paths_are_those_of_the_templates() -> None:
    found = logical_ids()
    assert len(found) > len(PATHS)
    assert [name for name in found if not is_logical_id(name)] == []
    starts = {path.split("/")[0].partition("{")[0] for path in PATHS}
    assert [one for one in starts if not any(name.startswith(one) for name in found)] == []


@pytest.mark.parametrize(
    "name",
    [
        f"{ROLE}-{TAIL}",
        f"{ROLE}-1N2QJ0CXV8VX5",
        f"{FUNCTION}-{TAIL}",
        f"/aws/lambda/{FUNCTION}-{TAIL}",
        f"GpuWorkstation-Generation1MachineRoleB54D23D1-{TAIL}",
        f"GpuWorkstation-Generation2MachineInstanceInstanceProfile6CDCFCE9-{TAIL}",
        f"CFN-Generation1MachineSettings81C4D060-{TAIL}",
        # Of stacks with a person's name, whole and cut off
        f"GpuImage-anna-{ROLE.partition('-')[2]}-{TAIL}",
        f"GpuImage-a-b-{ROLE.partition('-')[2]}-{TAIL}",
        f"GpuWorkstation-anna-Generation1MachineRoleB54D23D1-{TAIL}",
        f"GpuWorkstation-abcdefghi-Generation1MachineRoleB54D-{TAIL}",
        f"/aws/lambda/GpuWorkstation-abcdefghi-QuotaCheckHandlerFunction9-{TAIL}",
        f"/aws/lambda/GpuWorkstation-abcdefghij-QuotaCheckHandlerFunction-{TAIL}",
    ],
)
def test_physical_name_is_proof(name: str) -> None:
    found = Names().ownership({}, name)
    assert found is not None
    assert found.doubt == ""
    assert "CloudFormation's name of" in found.reason


@pytest.mark.parametrize(
    "name",
    [
        "GpuImage-thumbnails-prod",
        "/aws/lambda/GpuImage-thumbnails",
        "/aws/lambda/GpuImage-thumbnails-UJ5n2NwuSPZB",
        "/gpustation/other-tool",
        "/gpustation/image/mxnet",
        "gpuimage-thumbnails",
        "gpuimage-mxnet",
        "/aws/imagebuilder/gpuimage-mxnet",
        "/aws/imagebuilder/GpuImage-Logs-UJ5n2NwuSPZB",
        "/aws/imagebuilder/GpuImage",
        "GpuWorkstation-",
        # Nearly CloudFormation's
        ROLE,
        f"{ROLE}-",
        f"{ROLE}-thumbnails",
        f"{ROLE}-{TAIL}xx",
        f"{ROLE}-{TAIL[:11]}",
        f"{ROLE}-{TAIL}-prod",
        f"{ROLE}-{TAIL}\n",
        f"{ROLE}-{TAIL[:11]}\u0661",
        f"{ROLE}x-{TAIL}",
        f"{ROLE[:-1]}F-{TAIL}",
        f"GpuWorkstation-Generation2MachineRoleB54D23D1-{TAIL}",
        f"GpuWorkstation-Generation1MachineRole-{TAIL}",
        f"GpuImage-1a-{ROLE.partition('-')[2]}-{TAIL}",
        f"GpuImage-{'a' * 21}-{ROLE.partition('-')[2]}-{TAIL}",
        f"GpuImage--{ROLE.partition('-')[2]}-{TAIL}",
        # Made by our library in an app of somebody's own
        f"Lab-QuotaCheckHandlerFunction9D5A8239-{TAIL}",
        f"/aws/lambda/Lab-QuotaCheckHandlerFunction9D5A8239-{TAIL}",
    ],
)
def test_beginning_of_a_name_is_no_proof(name: str) -> None:
    assert Names().ownership({}, name) == Ownership("its name", NOT_PROVEN)


@pytest.mark.parametrize(
    ("name", "tags"),
    [
        ("Gpu", {}),
        ("GpuImages", {}),
        ("gpuworkstation", {}),
        ("my-GpuImage-role", {}),
        ("/aws/lambda/Lab-Function9D5A8239-UJ5n2NwuSPZB", {}),
        ("/aws/imagebuilder/another-mxnet", {}),
        ("/gpu/image", {}),
        ("", {"gpustations": "GpuImage", "GPUSTATION": "GpuImage", "Name": "GpuImage"}),
        ("", {BUILDER_TAG: "arn:aws:imagebuilder:us-east-1:1:image/another-mxnet/1.0.0/1"}),
        # AWS itself says that another stack made it
        (f"{ROLE}-{TAIL}", {STACK_NAME_TAG: "VideoPipeline"}),
        ("GpuImage-thumbnails", {STACK_NAME_TAG: "GpuImage-thumbnails"}),
    ],
)
def test_others_are_not_ours(name: str, tags: dict[str, str]) -> None:
    assert Names().ownership(tags, name) is None


@pytest.mark.parametrize(
    "tags",
    [
        {"gpustation:framework": "mxnet"},
        {STACK_NAME_TAG: "GpuImage"},
        {BUILDER_TAG: "arn:aws:imagebuilder:us-east-1:1:image/gpuimage-thumbnails/1.0.0/1"},
    ],
)
def test_tag_that_another_may_have_is_no_proof(tags: dict[str, str]) -> None:
    found = Names().ownership(tags)
    assert found is not None
    assert (found.doubt, found.reason.startswith("tag ")) == (NOT_PROVEN, True)


def test_our_tag_is_proof_and_so_is_a_list_and_the_persons_word() -> None:
    assert Names().ownership({"gpustation": "bob"}) == Ownership("tag gpustation=bob")
    listed = Names().ownership({}, "/gpustation/image/mxnet", lambda: "a stack lists it")
    assert listed == Ownership("a stack lists it")
    taken = Names().ownership({"team": "video"}, "/gpustation/image/mxnet", lambda: "listed")
    assert taken == Ownership("its name", NOT_PROVEN), "another uses the name since"
    named = Names(("alice",)).ownership({STACK_NAME_TAG: "alice"})
    assert named == Ownership(f"tag {STACK_NAME_TAG}=alice, which --stack names")
    assert Names().ownership({STACK_NAME_TAG: "alice"}) is None
    found = Names(("alice",)).ownership({}, "alice-thumbnails")
    assert found is not None and found.doubt == NOT_PROVEN


def test_lists_are_asked_only_where_they_matter() -> None:
    def never() -> str:
        raise AssertionError

    for tags, name in (
        ({}, "another"),
        ({"gpustation": "bob"}, "/gpustation/x"),
        ({}, f"{ROLE}-{TAIL}"),
    ):
        Names().ownership(tags, name, never)


@pytest.mark.parametrize(
    ("stack", "logical_id", "name"),
    [
        # Of public accounts: IAM roles and a Lambda function; stacks of 26, 21 and 35 characters
        (
            "ChineseboostAnalyticsStack",
            "RainlyticsSummariesJobFunctionServiceRole",
            "ChineseboostAnalyticsStac-RainlyticsSummariesJobFun-UjecjFhpdr1d",
        ),
        (
            "OpenReception-Web-dev",
            "CustomS3AutoDeleteObjectsCustomResourceProviderRole3B1BD092",
            "OpenReception-Web-dev-CustomS3AutoDeleteObjectsCust-yIrNw85NvcWP",
        ),
        (
            "MyStackDev-MyNestedApplicationStack",
            "MyLambdaFunctionName",
            "MyStackDev-MyNestedApplicatio-MyLambdaFunctionName-1U44TLUZ7OR55",
        ),
        (
            "GpuWorkstation",
            "Generation12345MachineRoleB54D23D1WithMuchMoreThanFits",
            "GpuWorkstation-Generation12345MachineRoleB54D23D1Wi-AbCdEfGhIj12",
        ),
    ],
)
def test_long_names_are_shortened_as_cloudformation_does(
    stack: str, logical_id: str, name: str
) -> None:
    assert is_generated_name(name, stack, logical_id)
    head, _, tail = name.rpartition("-")
    assert not is_generated_name(f"{head[:-2]}-{tail}", stack, logical_id)
    assert not is_generated_name(f"{head}x-{tail}", stack, logical_id)
    assert not is_generated_name(name, f"x{stack}", logical_id)


def none() -> list[str]:
    return []


@pytest.mark.parametrize("name", STACK_NAMES)
def test_stack_of_our_name_alone_is_not_proven(name: str) -> None:
    assert Names().stack_ownership(name, {}, none) == Ownership("its name", NOT_PROVEN)
    ours = Names().stack_ownership(name, {}, lambda: ["Other", "ImageRole1BFBDE6E"])
    assert ours == Ownership("its name and its template")
    tagged = Names().stack_ownership(name, {"gpustation": name}, none)
    assert tagged is not None and not tagged.doubt
    assert Names().stack_ownership(f"{name}-thumbnails", {}, none) is None
    assert Names().stack_ownership(f"{name}-thumbnails", {}, lambda: ["Other"]) is None


@pytest.mark.parametrize("name", ["GpuWorkstation-anna", "GpuImage-Anna-2", "GpuWorkstation-a"])
def test_template_proves_the_stack_of_a_persons_name(name: str) -> None:
    ours = Names().stack_ownership(name, {}, lambda: ["Other", "ImageRole1BFBDE6E"])
    assert ours == Ownership("its name and its template")


@pytest.mark.parametrize(
    "name", ["GpuWorkstation-", "GpuImage-1", "GpuDeployRole-a", "GpuAcceptanceRole-a", "Gpu-a"]
)
def test_template_proves_nothing_of_a_name_that_nobody_can_give(name: str) -> None:
    assert Names().stack_ownership(name, {}, lambda: ["ImageRole1BFBDE6E"]) is None


def test_stack_that_the_person_names_is_ours() -> None:
    found = Names(("alice",)).stack_ownership("alice", {}, none)
    assert found == Ownership("its name, which --stack names")
    assert Names().may_be_ours("GpuWorkstation-team", {}), "what it owns is safe"
