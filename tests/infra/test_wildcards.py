"""Every statement that allows actions on a wildcard is explained beside its resource.

cdk-nag demands one acknowledgement for each role with a wildcard (test_validation.py), however many
statements have one. Here the reason must name each statement by its Sid, so that another statement
in the same role fails until it is explained too.
"""

import re
from collections.abc import Iterator
from typing import Any

import aws_cdk as cdk
import pytest
from aws_cdk import aws_iam as iam
from constructs import IConstruct

from gpustation.synth.acknowledge import acknowledge_wildcards
from tests.support.synthesis import make_app
from tests.support.template_graph import statements
from tests.support.variants import ALL_VARIANTS

FINDING = "AwsSolutions::AwsSolutions-IAM5[Resource::"
SHORTEST_REASON = 20


def wildcards(statement: dict[str, Any]) -> list[str]:
    """Resources with a wildcard that a statement allows actions on; ``NotResource`` is one."""
    if statement["Effect"] == "Deny":
        return []
    named = statement.get("Resource", [])
    resources = [str(name) for name in (named if isinstance(named, list) else [named])]
    open_ended = [name for name in resources if "*" in name]
    return open_ended + ["NotResource"] * ("NotResource" in statement)


def reasons(construct: IConstruct) -> list[str]:
    """Reasons of the acknowledged wildcards of a construct, those above it included."""
    return [
        str(reason)
        for scope in construct.node.scopes
        for entry in scope.node.metadata
        if entry.type == "aws:cdk:acknowledged-rules"
        for finding, reason in dict(entry.data).items()
        if str(finding).startswith(FINDING)
    ]


def resources(app: cdk.App) -> Iterator[tuple[cdk.CfnResource, dict[str, Any]]]:
    """Each resource of all synthesized templates: its construct, and its part of the template."""
    templates = {
        artifact.stack_name: artifact.template for artifact in app.synth().stacks_recursively
    }
    for construct in app.node.find_all():
        if isinstance(construct, cdk.CfnResource):
            stack = cdk.Stack.of(construct)
            logical_id = stack.resolve(construct.logical_id)
            yield construct, templates[stack.stack_name]["Resources"][logical_id]


def unexplained(app: cdk.App) -> list[str]:
    """Statements with a wildcard that no reason of an acknowledgement names."""
    rows = []
    for construct, rendered in resources(app):
        for statement in statements(rendered):
            sid, on = statement.get("Sid", ""), wildcards(statement)
            if on and not any(names(reason, sid) for reason in reasons(construct)):
                rows.append(f"{construct.node.path}: {sid or statement} on {on}")
    return rows


def names(reason: str, sid: str) -> bool:
    return bool(sid) and len(reason) >= SHORTEST_REASON and sid in re.findall(r"\w+", reason)


@pytest.mark.parametrize("variant", ALL_VARIANTS)
def test_every_wildcard_is_explained(variant: str) -> None:
    assert unexplained(make_app(**ALL_VARIANTS[variant])) == []


def app_with(statement: iam.PolicyStatement, *, reason: str = "", resource: str = "*") -> cdk.App:
    """An app with one role that may do this; the reason is for the resource."""
    app = cdk.App(builtin_cloud_formation_validation=False)
    role = iam.Role(cdk.Stack(app, "Stack"), "Role", assumed_by=iam.AccountRootPrincipal())
    role.add_to_policy(statement)
    if reason:
        acknowledge_wildcards(role, {resource: reason})
    return app


@pytest.mark.parametrize("resource", ["*", "arn:aws:s3:::bucket/*", "arn:aws:ec2:*:1:image/x"])
def test_fails_when_a_wildcard_is_not_explained(resource: str) -> None:
    statement = iam.PolicyStatement(sid="Read", actions=["s3:GetObject"], resources=[resource])
    assert len(unexplained(app_with(statement))) == 1
    other = app_with(statement, resource=resource, reason="Write: the names differ by region")
    assert len(unexplained(other)) == 1
    explained = app_with(statement, resource=resource, reason="Read: the names differ by region")
    assert unexplained(explained) == []


def test_fails_when_a_statement_has_no_sid_to_be_named_by() -> None:
    statement = iam.PolicyStatement(actions=["s3:GetObject"], resources=["*"])
    assert len(unexplained(app_with(statement, reason="because we said so, and so on"))) == 1


def test_fails_when_a_statement_leaves_resources_out() -> None:
    statement = iam.PolicyStatement(sid="Most", actions=["s3:*"], not_resources=["arn:aws:s3:::x"])
    assert len(unexplained(app_with(statement))) == 1


def test_what_names_its_resource_needs_no_reason() -> None:
    statement = iam.PolicyStatement(actions=["s3:GetObject"], resources=["arn:aws:s3:::x/y"])
    assert unexplained(app_with(statement)) == []
