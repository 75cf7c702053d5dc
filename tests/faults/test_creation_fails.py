"""The creation of a workstation fails at each of its resources in turn: nothing is left."""

from __future__ import annotations

import pytest

from localaws import LocalAws
from tests.faults.templates import (
    INSTANCE,
    WAIT,
    assemble,
    assert_no_machine_runs,
    assert_nothing_left,
    launches,
    needs,
    of_type,
)
from tests.localaws.probe_stack import Stack

TEMPLATE = assemble().template
(MACHINE,) = of_type(TEMPLATE, INSTANCE)
WAITS = of_type(TEMPLATE, WAIT)
REASON = "no more of these today"


@pytest.mark.parametrize("logical_id", TEMPLATE["Resources"])
def test_rolls_back_says_why_and_leaves_nothing(
    aws: LocalAws, stack: Stack, logical_id: str
) -> None:
    assemble().publish(aws)
    aws.control.resource_fault("create", logical_id, REASON)
    before = launches(aws)
    assert stack.deploy("create_stack", TEMPLATE) == "ROLLBACK_COMPLETE"
    assert REASON in stack.reason(logical_id)
    begins = next(
        reason for _, status, reason in stack.events() if status == "ROLLBACK_IN_PROGRESS"
    )
    assert begins.startswith(f"The following resource(s) failed to create: [{logical_id}].")
    assert launches(aws) - before == (logical_id in WAITS)
    assert_no_machine_runs(aws)
    assert [row.id for row in aws.leftovers()] == [stack.name], "the stack's record alone is left"
    assert stack.delete() == "DELETE_COMPLETE"
    assert_nothing_left(aws)


def test_only_the_waits_come_after_the_machine() -> None:
    """So that nothing can fail while a machine runs, but the machine itself."""
    after = TEMPLATE["Resources"].keys() - needs(TEMPLATE, MACHINE) - {MACHINE}
    assert after == set(WAITS)


def test_fails_in_the_rollback_too_and_the_next_deletion_takes_the_rest(
    aws: LocalAws, stack: Stack
) -> None:
    assemble().publish(aws)
    group = of_type(TEMPLATE, "AWS::EC2::SecurityGroup")[0]
    aws.control.resource_fault("create", WAITS[0], REASON)
    aws.control.resource_fault("delete", group, "it has a dependent object", times=1)
    assert stack.deploy("create_stack", TEMPLATE) == "ROLLBACK_FAILED"
    assert group in stack.describe()["StackStatusReason"]
    assert_no_machine_runs(aws)
    assert stack.delete() == "DELETE_COMPLETE"
    assert_nothing_left(aws)
