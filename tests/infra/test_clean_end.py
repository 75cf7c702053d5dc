"""`cdk destroy` leaves nothing that costs, and nothing that comes back."""

from __future__ import annotations

import fnmatch
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from aws_cdk.assertions import Template

from gpustation.leftovers.ours import Names
from tests.support.synthesis import synthesize, synthesize_image, synthesize_role

Resources = dict[str, dict[str, Any]]
TEMPLATES: dict[str, Callable[[], Template]] = {
    "GpuWorkstation": synthesize,
    "GpuWorkstation, second generation": lambda: synthesize(generation=2, quota="request"),
    "GpuImage": synthesize_image,
    "GpuDeployRole": lambda: synthesize_role(github_repository="octo-org/octo-repo"),
}
CREATES = "logs:CreateLogGroup"
NOTHING_STAYS = {
    "AWS::CloudFormation::WaitCondition": "is nothing but a wait",
    "AWS::CloudFormation::WaitConditionHandle": "is an address",
    "AWS::EC2::Instance": "terminated; its only disk goes with it (test below)",
    "AWS::EC2::InternetGateway": "",
    "AWS::EC2::Route": "",
    "AWS::EC2::RouteTable": "",
    "AWS::EC2::SecurityGroup": "",
    "AWS::EC2::Subnet": "",
    "AWS::EC2::SubnetRouteTableAssociation": "",
    "AWS::EC2::VPC": "with the default group, ACL and route table that AWS made in it",
    "AWS::EC2::VPCGatewayAttachment": "",
    "AWS::IAM::InstanceProfile": "",
    "AWS::IAM::OIDCProvider": "",
    "AWS::IAM::Policy": "",
    "AWS::IAM::Role": "",
    "AWS::ImageBuilder::Component": "",
    "AWS::ImageBuilder::Image": "with AMI and snapshots, by its deletion settings (test below)",
    "AWS::ImageBuilder::ImageRecipe": "",
    "AWS::ImageBuilder::InfrastructureConfiguration": "",
    "AWS::Lambda::Function": "its log group is the stack's own (test below)",
    "AWS::Logs::LogGroup": "",
    "AWS::SSM::Parameter": "",
    "Custom::ImageChoice": "is an answer, not a thing",
    "Custom::QuotaCheck": "is an answer, not a thing",
}
"""Every type that was thought about: what becomes of it, where that is not plain."""


@pytest.fixture(params=TEMPLATES)
def resources(request: pytest.FixtureRequest) -> Resources:
    found: Resources = TEMPLATES[request.param]().to_json()["Resources"]
    return found


def of_type(resources: Resources, kind: str) -> Resources:
    return {name: one for name, one in resources.items() if one["Type"] == kind}


def references(value: Any) -> Iterator[str]:
    """Every logical id that a value names."""
    if isinstance(value, dict):
        if isinstance(value.get("Ref"), str):
            yield value["Ref"]
        if "Fn::GetAtt" in value:
            yield value["Fn::GetAtt"][0]
        for each in value.values():
            yield from references(each)
    elif isinstance(value, list):
        for each in value:
            yield from references(each)


def outlives(resources: Resources, name: str) -> set[str]:
    """What is created before a resource, and so deleted after it."""
    found: set[str] = set()
    waiting = [name]
    while waiting:
        one = resources[waiting.pop()]
        needs = {*references(one.get("Properties", {})), *one.get("DependsOn", [])}
        fresh = (needs & resources.keys()) - found
        found |= fresh
        waiting += fresh
    return found


def test_every_type_was_thought_about(resources: Resources) -> None:
    assert {one["Type"] for one in resources.values()} <= NOTHING_STAYS.keys()


def test_nothing_is_retained(resources: Resources) -> None:
    policies = {
        one.get(name)
        for one in resources.values()
        for name in ("DeletionPolicy", "UpdateReplacePolicy")
    }
    assert policies <= {None, "Delete"}


def test_disks_go_with_their_machine(resources: Resources) -> None:
    for instance in of_type(resources, "AWS::EC2::Instance").values():
        for disk in instance["Properties"]["BlockDeviceMappings"]:
            assert disk["Ebs"]["DeleteOnTermination"] is True
    for recipe in of_type(resources, "AWS::ImageBuilder::ImageRecipe").values():
        for disk in recipe["Properties"]["BlockDeviceMappings"]:
            assert disk["Ebs"]["DeleteOnTermination"] is True
    for place in of_type(resources, "AWS::ImageBuilder::InfrastructureConfiguration").values():
        assert place["Properties"]["TerminateInstanceOnFailure"] is True


def test_images_go_with_their_stack_and_their_role_goes_after_them(resources: Resources) -> None:
    for name, image in of_type(resources, "AWS::ImageBuilder::Image").items():
        (role,) = references(image["Properties"]["DeletionSettings"])
        kept = outlives(resources, name)
        assert role in kept
        policies = of_type(resources, "AWS::IAM::Policy").items()
        assert {n for n, one in policies if role in references(one["Properties"])} <= kept


def test_log_groups_end_with_the_stack_and_forget_before(resources: Resources) -> None:
    groups = of_type(resources, "AWS::Logs::LogGroup")
    assert bool(groups) == bool(of_type(resources, "AWS::Lambda::Function"))
    for group in groups.values():
        assert group["Properties"]["RetentionInDays"] <= 30
        assert group["DeletionPolicy"] == group["UpdateReplacePolicy"] == "Delete"


def test_no_role_may_make_a_log_group_that_outlives_it(resources: Resources) -> None:
    """A line that AWS delivers after the group is gone finds nobody who may make it anew.

    Only Image Builder's machines may make a group: theirs, which is there before their policy and
    gone after it.
    """
    roles, policies = of_type(resources, "AWS::IAM::Role"), of_type(resources, "AWS::IAM::Policy")
    for role in roles.values():
        assert not role["Properties"].get("ManagedPolicyArns"), "AWS's own policies may"
        for policy in role["Properties"].get("Policies", []):
            assert not making_groups(policy)
    groups = of_type(resources, "AWS::Logs::LogGroup").keys()
    for name, policy in policies.items():
        for statement in making_groups(policy["Properties"]):
            (group,) = references(statement["Resource"])
            assert group in groups & outlives(resources, name)
            assert "LogGroupName" in resources[group]["Properties"]
            (role,) = references(policy["Properties"]["Roles"])
            assert role.startswith("ImageRole")


def making_groups(policy: dict[str, Any]) -> list[dict[str, Any]]:
    """The statements of a policy that allow to make log groups."""
    found = []
    for statement in policy["PolicyDocument"]["Statement"]:
        actions = statement["Action"]
        for action in [actions] if isinstance(actions, str) else actions:
            if fnmatch.fnmatch(CREATES.lower(), action.lower()):
                found.append(statement)
    return found


def test_what_writes_a_log_is_gone_before_the_log(resources: Resources) -> None:
    groups = of_type(resources, "AWS::Logs::LogGroup").keys()
    written = set()
    for name, function in of_type(resources, "AWS::Lambda::Function").items():
        (group,) = references(function["Properties"]["LoggingConfig"]["LogGroup"])
        assert group in outlives(resources, name) & groups
        written.add(group)
    for name, one in resources.items():
        if one["Type"].startswith("Custom::"):
            (function,) = references(one["Properties"]["ServiceToken"])
            assert function in outlives(resources, name), "its Delete runs the function"
            assert outlives(resources, function) & groups <= outlives(resources, name)
    for name in of_type(resources, "AWS::ImageBuilder::Image"):
        written |= outlives(resources, name) & groups
    assert written == groups, "a group that nothing waits for may go before its last line"


def test_names_that_cloudformation_makes_of_ours_are_known(resources: Resources) -> None:
    """Where a thing may have no tags, and the person tells the stack's name."""
    named = {
        *("AWS::Lambda::Function", "AWS::Logs::LogGroup", "AWS::IAM::Role"),
        "AWS::IAM::InstanceProfile",
    }
    for name, one in resources.items():
        fixed = one["Type"] == "AWS::SSM::Parameter" and "Name" in one["Properties"]
        if one["Type"] in named or (one["Type"] == "AWS::SSM::Parameter" and not fixed):
            start = "CFN" if one["Type"] == "AWS::SSM::Parameter" else "alice"
            assert Names(("alice",)).generated(f"{start}-{name}-AbCdEfGhIj12"), name
    assert not Names(("alice",)).generated("alice-Function9D5A8239-AbCdEfGhIj12")


def test_image_that_is_to_stay_is_not_built_anew() -> None:
    def recipe(**settings: Any) -> dict[str, Any]:
        template = synthesize_image(**settings)
        (found,) = template.find_resources("AWS::ImageBuilder::ImageRecipe").values()
        properties: dict[str, Any] = found["Properties"]
        return properties

    assert recipe() == recipe(image_retain=True), "a recipe of the same version cannot change"
