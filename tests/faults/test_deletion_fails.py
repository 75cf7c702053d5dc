"""The deletion of a workstation fails at each of its resources in turn: the next one ends it.

Only CloudFormation's deletion shows what it passes over the second time.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from localaws import LocalAws
from tests.faults import committed
from tests.faults.conftest import MakeStack
from tests.support.assembly import (
    WAIT,
    WORKSTATION,
    Template,
    assemble,
    assert_no_machine_runs,
    assert_nothing_left,
    machine,
    needs,
    of_type,
)
from tests.support.probe_stack import Stack

IN_MAKE_TEST = {
    "the first that is deleted": "Generation1GpuReady21F1EAD5",
    "the machine": "Generation1MachineInstance6A2E7483",
    "what the machine needs": "Generation1SubnetBFD40E3C",
    "the last that is deleted": "NetworkVpcFAC8F4A5",
}
"""What is left of the others follows from the same graph (`needs`)."""
REASON = "it has a dependent object"


def create(stack: Stack, template: Template, logical_id: str) -> None:
    """The stack; where no wait is asked about, without them, which take most of the time."""
    waits = of_type(template, WAIT)
    assemble().publish(stack.aws)
    if logical_id in waits:
        assert stack.deploy("create_stack", template) == "CREATE_COMPLETE"
        return
    stack.aws.control.machine_silent(True)  # nobody waits for what it does
    stack.aws.control.resource_fault("create", min(waits), "left out", times=1)
    assert stack.deploy("create_stack", template, DisableRollback=True) == "CREATE_FAILED"
    assert set(states(stack)) == template["Resources"].keys() - set(waits)


def states(stack: Stack) -> dict[str, str]:
    """The status of every resource that the stack has."""
    shown = stack.aws.client("cloudformation").describe_stack_resources(StackName=stack.name)
    return {one["LogicalResourceId"]: one["ResourceStatus"] for one in shown["StackResources"]}


def _cases() -> Iterator[Any]:
    for name in committed.resource_types(WORKSTATION):
        marks = () if name in IN_MAKE_TEST.values() else (pytest.mark.tier("all"),)
        yield pytest.param(name, marks=marks)


@pytest.mark.parametrize("logical_id", [*_cases()])
def test_keeps_no_machine_but_one_that_it_could_not_end(
    aws: LocalAws, stack: MakeStack, logical_id: str
) -> None:
    template = assemble().template
    made = stack()
    create(made, template, logical_id)
    aws.control.resource_fault("delete", logical_id, REASON, times=1)
    assert made.delete() == "DELETE_FAILED"
    assert f"[{logical_id}]" in made.describe()["StackStatusReason"]
    assert REASON in made.reason(logical_id)
    assert set(states(made)) == needs(template, logical_id) | {logical_id}
    if machine(template) not in states(made):
        assert_no_machine_runs(aws)
    assert made.delete() == "DELETE_COMPLETE"
    assert_nothing_left(aws)
