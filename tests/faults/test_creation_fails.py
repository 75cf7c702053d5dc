"""The creation of each stack fails at each of its resources in turn: nothing is left.

Only CloudFormation's rollback shows which resource outlives which.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from localaws import LocalAws
from tests.faults import committed
from tests.faults.conftest import MakeStack
from tests.faults.outcome import assert_no_machine_runs, launches
from tests.support.assembly import IMAGE, ROLE, WORKSTATION, assemble
from tests.support.cdk_cli import assert_nothing_left

SETTINGS = {WORKSTATION: {}, IMAGE: {}, ROLE: {"github_repository": "octo-org/octo-repo"}}
IN_MAKE_TEST = {
    "AWS::EC2::Instance",
    "AWS::EC2::SecurityGroup",
    "AWS::ImageBuilder::Image",
    "Custom::QuotaCheck",
}
"""Types of resources: a check, what is billed, and what comes before and after it."""
WAIT = "AWS::CloudFormation::WaitCondition"
REASON = "no more of these today"


def _cases() -> Iterator[Any]:
    """Every resource; in `make test` those of some types, as a rollback depends on the type."""
    for stack in SETTINGS:
        for logical_id, resource_type in committed.resource_types(stack).items():
            marks = () if resource_type in IN_MAKE_TEST else (pytest.mark.tier("all"),)
            yield pytest.param(stack, logical_id, marks=marks)


@pytest.mark.parametrize(("name", "committed_id"), [*_cases()])
def test_rolls_back_says_why_and_leaves_nothing(
    aws: LocalAws, stack: MakeStack, name: str, committed_id: str
) -> None:
    assembly = assemble(name, **SETTINGS[name])
    logical_id = committed.actual(committed_id, assembly.graph.resources)
    assembly.publish(aws)
    aws.control.resource_fault("create", logical_id, REASON)
    before = launches(aws)
    made = stack(name)
    assert made.deploy("create_stack", assembly.template) == "ROLLBACK_COMPLETE"
    assert REASON in made.reason(logical_id)
    begins = next(reason for _, status, reason in made.events() if status == "ROLLBACK_IN_PROGRESS")
    assert begins.startswith(f"The following resource(s) failed to create: [{logical_id}].")
    launched = launches(aws) > before
    assert launched == (logical_id in after_machine(name))
    assert_no_machine_runs(aws)
    assert [row.id for row in aws.inventory()] == [name], "the stack's record alone is left"
    assert made.delete() == "DELETE_COMPLETE"
    assert_nothing_left(aws)


def after_machine(name: str) -> set[str]:
    """Resources whose creation may start only when a machine has run."""
    if name == ROLE:
        return set()
    assembly = assemble(name)
    needed = assembly.graph.created_before(assembly.machine)
    return assembly.graph.resources.keys() - needed - {assembly.machine}


def test_only_the_waits_come_after_the_machine() -> None:
    """So that nothing else fails while a machine runs and costs money.

    And the release of what was held, which never fails.
    """
    graph = assemble().graph
    release = graph.of_type("Custom::CapacityRelease").keys()
    assert after_machine(WORKSTATION) == graph.of_type(WAIT).keys() | release


def test_only_its_parameter_comes_after_the_image() -> None:
    parameters = assemble(IMAGE).graph.of_type("AWS::SSM::Parameter")
    assert after_machine(IMAGE) == parameters.keys()


def test_fails_in_the_rollback_too_and_the_next_deletion_takes_the_rest(
    aws: LocalAws, stack: MakeStack
) -> None:
    assembly = assemble()
    assembly.publish(aws)
    (group,) = assembly.graph.of_type("AWS::EC2::SecurityGroup")
    aws.control.resource_fault("create", min(assembly.graph.of_type(WAIT)), REASON)
    aws.control.resource_fault("delete", group, "it has a dependent object", times=1)
    made = stack()
    assert made.deploy("create_stack", assembly.template) == "ROLLBACK_FAILED"
    assert group in made.describe()["StackStatusReason"]
    assert_no_machine_runs(aws)
    assert made.delete() == "DELETE_COMPLETE"
    assert_nothing_left(aws)
