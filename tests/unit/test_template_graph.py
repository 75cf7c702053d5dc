"""The forms of reference that today's templates do not hold, so that no other test shows them."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.template_graph import TemplateGraph, actions, statements

TEMPLATE = {
    "Parameters": {"Version": {}},
    "Resources": {
        "Vpc": {"Type": "AWS::EC2::VPC"},
        "Subnet": {"Type": "AWS::EC2::Subnet", "Properties": {"VpcId": {"Ref": "Vpc"}}},
        "Instance": {"Type": "AWS::EC2::Instance", "DependsOn": "Subnet"},
    },
}


@pytest.mark.parametrize(
    "value",
    [
        {"Ref": "Vpc"},
        {"Fn::GetAtt": ["Vpc", "CidrBlock"]},
        {"Fn::Sub": "${AWS::Region}-${!Subnet}-${Vpc}"},
        {"Fn::Sub": "${Vpc.CidrBlock}"},
        {"Fn::Sub": ["${id}", {"id": {"Ref": "Vpc"}}]},
        {"DependsOn": "Vpc"},
        {"DependsOn": ["Vpc"]},
        {"Fn::Join": ["", [{"Ref": "AWS::Region"}, {"Ref": "Version"}, {"Ref": "Vpc"}]]},
    ],
)
def test_every_form_of_reference_is_read_and_no_parameter(value: Any) -> None:
    assert TemplateGraph(TEMPLATE).references({"Properties": [value]}) == {"Vpc"}


def test_what_a_resource_needs_is_created_before_it() -> None:
    graph = TemplateGraph(TEMPLATE)
    assert graph.created_before("Instance") == {"Vpc", "Subnet"}
    assert graph.created_before("Vpc") == set()
    assert graph.dependents("Vpc") == {"Subnet"}
    assert graph.of_type("AWS::EC2::VPC") == {"Vpc": {"Type": "AWS::EC2::VPC"}}


def test_statements_are_found_in_any_property() -> None:
    allow, deny = {"Effect": "Allow", "Action": "s3:*"}, {"Effect": "Deny", "Action": ["a", "b"]}
    resource = {"Properties": {"Policies": [{"Document": {"Statement": allow}}], "Own": [deny]}}
    assert [*statements(resource)] == [allow, deny]
    assert [actions(statement) for statement in statements(resource)] == [["s3:*"], ["a", "b"]]
