"""`cdk destroy` leaves nothing that costs money, and nothing that is created again."""

from __future__ import annotations

import fnmatch
from collections.abc import Callable
from typing import Any

import pytest
from aws_cdk.assertions import Template

from gpustation.leftovers.ownership import Names
from tests.support.synthesis import (
    resource,
    synthesize,
    synthesize_acceptance_role,
    synthesize_image,
    synthesize_role,
)
from tests.support.template_graph import TemplateGraph, actions, statements

TEMPLATES: dict[str, Callable[[], Template]] = {
    "GpuWorkstation": synthesize,
    "GpuWorkstation, second generation": lambda: synthesize(generation=2, quota="request"),
    "GpuWorkstation, daily stop": lambda: synthesize(stop_at="02:30 Europe/Berlin"),
    "GpuImage": synthesize_image,
    "GpuDeployRole": lambda: synthesize_role(github_repository="octo-org/octo-repo"),
    "GpuAcceptanceRole": lambda: synthesize_acceptance_role(github_repository="octo-org/octo-repo"),
}
CREATES = "logs:CreateLogGroup"
RECIPE = "AWS::ImageBuilder::ImageRecipe"
NOTHING_STAYS = {
    "AWS::CloudFormation::WaitCondition": "only a wait",
    "AWS::CloudFormation::WaitConditionHandle": "only an address",
    "AWS::EC2::Instance": "terminated; its only disk is deleted with it (test below)",
    "AWS::EC2::InternetGateway": "",
    "AWS::EC2::Route": "",
    "AWS::EC2::RouteTable": "",
    "AWS::EC2::SecurityGroup": "",
    "AWS::EC2::Subnet": "",
    "AWS::EC2::SubnetRouteTableAssociation": "",
    "AWS::EC2::VPC": "with the default group, ACL and route table that AWS created in it",
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
    "AWS::Scheduler::Schedule": "",
    "AWS::Scheduler::ScheduleGroup": "",
    "Custom::CapacityRelease": "only an act",
    "Custom::ImageChoice": "an answer, and a hold that its deletion and its end date end",
    "Custom::QuotaCheck": "only an answer",
}
"""Every type that was considered, with what happens to it where that is not obvious."""


@pytest.fixture(params=TEMPLATES)
def graph(request: pytest.FixtureRequest) -> TemplateGraph:
    return TemplateGraph(TEMPLATES[request.param]().to_json())


def test_every_type_was_thought_about(graph: TemplateGraph) -> None:
    types = {row["Type"] for row in graph.resources.values()}
    assert types <= NOTHING_STAYS.keys()


def test_nothing_is_retained(graph: TemplateGraph) -> None:
    policies = {
        row.get(name)
        for row in graph.resources.values()
        for name in ("DeletionPolicy", "UpdateReplacePolicy")
    }
    assert policies <= {None, "Delete"}


def test_disks_go_with_their_machine(graph: TemplateGraph) -> None:
    for instance in graph.of_type("AWS::EC2::Instance").values():
        for disk in instance["Properties"]["BlockDeviceMappings"]:
            assert disk["Ebs"]["DeleteOnTermination"] is True
    for recipe in graph.of_type(RECIPE).values():
        for disk in recipe["Properties"]["BlockDeviceMappings"]:
            assert disk["Ebs"]["DeleteOnTermination"] is True
    for place in graph.of_type("AWS::ImageBuilder::InfrastructureConfiguration").values():
        assert place["Properties"]["TerminateInstanceOnFailure"] is True


def test_images_go_with_their_stack_and_their_role_goes_after_them(graph: TemplateGraph) -> None:
    for name, image in graph.of_type("AWS::ImageBuilder::Image").items():
        (role,) = graph.references(image["Properties"]["DeletionSettings"])
        deleted_later = graph.created_before(name)
        assert role in deleted_later
        policies = graph.of_type("AWS::IAM::Policy").keys()
        assert graph.dependents(role) & policies <= deleted_later


def test_log_groups_end_with_the_stack_and_forget_before(graph: TemplateGraph) -> None:
    groups = graph.of_type("AWS::Logs::LogGroup")
    assert bool(groups) == bool(graph.of_type("AWS::Lambda::Function"))
    for group in groups.values():
        assert group["Properties"]["RetentionInDays"] <= 30
        assert group["DeletionPolicy"] == group["UpdateReplacePolicy"] == "Delete"


def test_no_role_may_make_a_log_group_that_outlives_it(graph: TemplateGraph) -> None:
    """No role may create the group again for a line that AWS delivers after its deletion.

    Only Image Builder's machines may create a group: their own, which is created before their
    policy and deleted after it.
    """
    roles, policies = graph.of_type("AWS::IAM::Role"), graph.of_type("AWS::IAM::Policy")
    for role in roles.values():
        assert not role["Properties"].get("ManagedPolicyArns"), "AWS's own policies allow it"
        for policy in role["Properties"].get("Policies", []):
            assert not making_groups(policy)
    groups = graph.of_type("AWS::Logs::LogGroup").keys()
    for name, policy in policies.items():
        for statement in making_groups(policy["Properties"]):
            (group,) = graph.references(statement["Resource"])
            assert group in groups & graph.created_before(name)
            assert "LogGroupName" in graph.resources[group]["Properties"]
            (role,) = graph.references(policy["Properties"]["Roles"])
            assert role.startswith("ImageRole")


def making_groups(policy: dict[str, Any]) -> list[dict[str, Any]]:
    """The statements of a policy that allow to create log groups."""
    return [
        statement
        for statement in statements(policy)
        if any(fnmatch.fnmatch(CREATES.lower(), action.lower()) for action in actions(statement))
    ]


def test_what_writes_a_log_is_gone_before_the_log(graph: TemplateGraph) -> None:
    groups = graph.of_type("AWS::Logs::LogGroup").keys()
    written = set()
    for name, function in graph.of_type("AWS::Lambda::Function").items():
        (group,) = graph.references(function["Properties"]["LoggingConfig"]["LogGroup"])
        assert group in graph.created_before(name) & groups
        written.add(group)
    for name, row in graph.resources.items():
        if row["Type"].startswith("Custom::"):
            (function,) = graph.references(row["Properties"]["ServiceToken"])
            assert function in graph.created_before(name), "its Delete runs the function"
            assert graph.created_before(function) & groups <= graph.created_before(name)
    for name in graph.of_type("AWS::ImageBuilder::Image"):
        written |= graph.created_before(name) & groups
    assert written == groups, "a group without dependents may be deleted before its last line"


def test_names_that_cloudformation_makes_of_ours_are_known(graph: TemplateGraph) -> None:
    """For resources that may have no tags, where the person gives the stack's name."""
    named = {
        *("AWS::Lambda::Function", "AWS::Logs::LogGroup", "AWS::IAM::Role"),
        "AWS::IAM::InstanceProfile",
    }
    for name, row in graph.resources.items():
        parameter = row["Type"] == "AWS::SSM::Parameter"
        if row["Type"] in named or (parameter and "Name" not in row["Properties"]):
            start = "CFN" if parameter else "alice"
            assert Names(("alice",)).generated(f"{start}-{name}-AbCdEfGhIj12"), name
    assert not Names(("alice",)).generated("alice-Function9D5A8239-AbCdEfGhIj12")


def test_image_that_is_to_stay_is_not_built_anew() -> None:
    def recipe(**settings: Any) -> dict[str, Any]:
        template = synthesize_image(**settings)
        properties: dict[str, Any] = resource(template, RECIPE)["Properties"]
        return properties

    assert recipe() == recipe(image_retain=True), "a recipe of the same version cannot change"
