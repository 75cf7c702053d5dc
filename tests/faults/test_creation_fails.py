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
from tests.support.assembly import (
    IMAGE,
    ROLE,
    WAIT,
    WORKSTATION,
    assemble,
    assert_no_machine_runs,
    assert_nothing_left,
    launches,
    machine,
    needs,
    of_type,
)

SETTINGS = {WORKSTATION: {}, IMAGE: {}, ROLE: {"github_repository": "octo-org/octo-repo"}}
REASON = "no more of these today"


def _cases() -> Iterator[Any]:
    """Every resource; in `make test` the first of each type, for the rollback goes by type."""
    seen: set[str] = set()
    for stack in SETTINGS:
        for name, kind in committed.resource_types(stack).items():
            marks = () if kind not in seen else (pytest.mark.tier("all"),)
            seen.add(kind)
            yield pytest.param(stack, name, marks=marks)


@pytest.mark.parametrize(("name", "committed_id"), [*_cases()])
def test_rolls_back_says_why_and_leaves_nothing(
    aws: LocalAws, stack: MakeStack, name: str, committed_id: str
) -> None:
    assembly = assemble(name, **SETTINGS[name])
    logical_id = committed.actual(committed_id, assembly.template["Resources"])
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
    assert [row.id for row in aws.leftovers()] == [name], "the stack's record alone is left"
    assert made.delete() == "DELETE_COMPLETE"
    assert_nothing_left(aws)


def after_machine(name: str) -> set[str]:
    """What can fail only when a machine has run."""
    if name == ROLE:
        return set()
    template = assemble(name).template
    first = machine(template)
    return template["Resources"].keys() - needs(template, first) - {first}


def test_only_the_waits_come_after_the_machine() -> None:
    """So that nothing else fails while a machine runs, and costs."""
    assert after_machine(WORKSTATION) == set(of_type(assemble().template, WAIT))


def test_only_its_parameter_comes_after_the_image() -> None:
    template = assemble(IMAGE).template
    assert after_machine(IMAGE) == set(of_type(template, "AWS::SSM::Parameter"))


def test_fails_in_the_rollback_too_and_the_next_deletion_takes_the_rest(
    aws: LocalAws, stack: MakeStack
) -> None:
    assemble().publish(aws)
    template = assemble().template
    (group,) = of_type(template, "AWS::EC2::SecurityGroup")
    aws.control.resource_fault("create", min(of_type(template, WAIT)), REASON)
    aws.control.resource_fault("delete", group, "it has a dependent object", times=1)
    made = stack()
    assert made.deploy("create_stack", template) == "ROLLBACK_FAILED"
    assert group in made.describe()["StackStatusReason"]
    assert_no_machine_runs(aws)
    assert made.delete() == "DELETE_COMPLETE"
    assert_nothing_left(aws)
