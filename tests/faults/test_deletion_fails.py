"""The deletion of a workstation fails at each of its resources in turn: the next one ends it."""

from __future__ import annotations

import pytest

from localaws import LocalAws
from tests.faults.conftest import MakeStack
from tests.faults.templates import (
    WAIT,
    assemble,
    assert_no_machine_runs,
    assert_nothing_left,
    machine,
    needs,
    of_type,
)
from tests.localaws.probe_stack import Stack

TEMPLATE = assemble().template
MACHINE = machine(TEMPLATE)
WAITS = of_type(TEMPLATE, WAIT)
REASON = "it has a dependent object"


def create(stack: Stack, logical_id: str) -> None:
    """The stack; where no wait is asked about, without them, which take most of the time."""
    assemble().publish(stack.aws)
    if logical_id in WAITS:
        assert stack.deploy("create_stack", TEMPLATE) == "CREATE_COMPLETE"
        return
    stack.aws.control.machine_silent(True)  # nobody waits for what it does
    stack.aws.control.resource_fault("create", min(WAITS), "left out", times=1)
    assert stack.deploy("create_stack", TEMPLATE, DisableRollback=True) == "CREATE_FAILED"
    assert set(states(stack)) == TEMPLATE["Resources"].keys() - set(WAITS)


def states(stack: Stack) -> dict[str, str]:
    """The status of every resource that the stack has."""
    shown = stack.aws.client("cloudformation").describe_stack_resources(StackName=stack.name)
    return {one["LogicalResourceId"]: one["ResourceStatus"] for one in shown["StackResources"]}


@pytest.mark.parametrize("logical_id", TEMPLATE["Resources"])
def test_keeps_no_machine_but_one_that_it_could_not_end(
    aws: LocalAws, stack: MakeStack, logical_id: str
) -> None:
    made = stack()
    create(made, logical_id)
    aws.control.resource_fault("delete", logical_id, REASON, times=1)
    assert made.delete() == "DELETE_FAILED"
    assert f"[{logical_id}]" in made.describe()["StackStatusReason"]
    assert REASON in made.reason(logical_id)
    assert set(states(made)) == needs(TEMPLATE, logical_id) | {logical_id}
    if MACHINE not in states(made):
        assert_no_machine_runs(aws)
    assert made.delete() == "DELETE_COMPLETE"
    assert_nothing_left(aws)
