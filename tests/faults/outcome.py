"""What a stack that failed leaves in the account."""

from __future__ import annotations

from localaws import LocalAws
from tests.support.cdk_cli import assert_nothing_left
from tests.support.probe_stack import Stack


def assert_no_machine_runs(aws: LocalAws) -> None:
    """Every machine that was launched has been terminated."""
    events = aws.control.history()
    launched = {event.instance_id for event in events if event.event == "launched"}
    assert launched == {event.instance_id for event in events if event.event == "terminated"}


def launches(aws: LocalAws) -> int:
    """How many machines were ever launched."""
    return sum(event.event == "launched" for event in aws.control.history())


def remove(stack: Stack) -> None:
    """Delete a stack in whatever state it is, and check that nothing is left of it."""
    if stack.stack_id and stack.describe()["StackStatus"] != "DELETE_COMPLETE":
        assert stack.delete() == "DELETE_COMPLETE", stack.events()
    assert_nothing_left(stack.aws)
    assert_no_machine_runs(stack.aws)
