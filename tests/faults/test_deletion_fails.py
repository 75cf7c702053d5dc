"""The deletion of a workstation fails at each of its resources in turn: the next one completes it.

CloudFormation goes on after the failure, so that a custom resource has lost its function when it is
deleted again: it must be retained, which leaves nothing, as it owns nothing.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from localaws import LocalAws
from tests.faults import committed
from tests.faults.conftest import MakeStack
from tests.faults.outcome import assert_no_machine_runs
from tests.support.assembly import WORKSTATION, assemble
from tests.support.cdk_cli import assert_nothing_left
from tests.support.probe_stack import Stack

IN_MAKE_TEST = {
    "the machine": "Generation1MachineInstance6A2E7483",
    "what the machine needs": "Generation1SubnetBFD40E3C",
}
"""For the others the same graph of references says what is left."""
REASON = "it has a dependent object"


def create(stack: Stack, logical_id: str) -> None:
    """Create the stack; without its wait conditions, unless the resource is one, to save time."""
    assembly = assemble()
    waits = assembly.graph.of_type("AWS::CloudFormation::WaitCondition")
    assembly.publish(stack.aws)
    if logical_id in waits:
        assert stack.deploy("create_stack", assembly.template) == "CREATE_COMPLETE"
        return
    stack.aws.control.machine_silent(True)  # no wait condition needs its reports
    stack.aws.control.resource_fault("create", min(waits), "left out", times=1)
    status = stack.deploy("create_stack", assembly.template, DisableRollback=True)
    assert status == "CREATE_FAILED"
    assert states(stack).keys() == assembly.graph.resources.keys() - waits.keys()


def states(stack: Stack) -> dict[str, str]:
    """The status of every resource that the stack has."""
    shown = stack.aws.client("cloudformation").describe_stack_resources(StackName=stack.name)
    return {row["LogicalResourceId"]: row["ResourceStatus"] for row in shown["StackResources"]}


def _cases() -> Iterator[Any]:
    for name in committed.resource_types(WORKSTATION):
        marks = () if name in IN_MAKE_TEST.values() else (pytest.mark.tier("all"),)
        yield pytest.param(name, marks=marks)


@pytest.mark.parametrize("logical_id", [*_cases()])
def test_keeps_no_machine_but_one_that_it_could_not_end(
    aws: LocalAws, stack: MakeStack, logical_id: str
) -> None:
    assembly = assemble()
    made = stack()
    create(made, logical_id)
    aws.control.resource_fault("delete", logical_id, REASON, times=1)
    assert made.delete() == "DELETE_FAILED"
    assert logical_id in made.describe()["StackStatusReason"]
    assert REASON in made.reason(logical_id)
    left = states(made)
    assert left.pop(logical_id) == "DELETE_FAILED"
    assert {name for name in left if "has" not in made.reason(name)} == set(), "deleted or held"
    if assembly.machine not in states(made):
        assert_no_machine_runs(aws)
    if assembly.graph.resources[logical_id]["Type"].startswith("Custom::"):
        assert made.delete() == "DELETE_FAILED"
        *_, last = (why for name, _, why in made.events() if name == logical_id and why)
        assert "not found" in last
        assert states(made).keys() == {logical_id}
        assert made.delete(RetainResources=[logical_id]) == "DELETE_COMPLETE"
    else:
        assert made.delete() == "DELETE_COMPLETE"
    assert_nothing_left(aws)
