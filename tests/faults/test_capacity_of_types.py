"""Room for another type: held before the machine is stopped, or the machine runs on.

Only CloudFormation shows that nothing was stopped, and that a rollback is not wedged.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from localaws import LocalAws
from tests.faults.holds import OPEN, Holds, machine
from tests.faults.outcome import remove
from tests.support.assembly import WORKSTATION, assemble
from tests.support.probe_stack import G_QUOTA, Stack

CHOICE = "Generation1ImageChoice092B6F83"
RELEASE = "Generation1CapacityRelease57525E3F"


@pytest.fixture(scope="module")
def running(server: LocalAws) -> Iterator[Stack]:
    """One workstation whose type is changed."""
    server.control.reset()
    server.control.set_quota(G_QUOTA, 8)
    assemble().publish(server)
    made = Stack(server, f"{WORKSTATION}-types")
    assert made.deploy("create_stack", assemble(name="types").template) == "CREATE_COMPLETE"
    yield made
    server.control.reset()
    remove(made)


class TestAnotherType:
    """The machine is a g4dn.xlarge again after each test, and was never replaced."""

    @pytest.fixture(autouse=True)
    def back(self, aws: LocalAws, running: Stack, holds: Holds) -> Iterator[None]:
        before = machine(running, assemble().machine)["InstanceId"]
        yield
        aws.control.reset()
        aws.control.set_quota(G_QUOTA, 64)
        running.restore(assemble(name="types").template)
        assert machine(running, assemble().machine)["InstanceId"] == before
        assert machine(running, assemble().machine)["InstanceType"] == "g4dn.xlarge"

    def change(self, aws: LocalAws, running: Stack, instance_type: str = "g5.xlarge") -> str:
        wanted = assemble(name="types", instance_type=instance_type)
        wanted.publish(aws)
        return running.deploy("update_stack", wanted.template)

    def test_is_held_before_the_machine_is_stopped(
        self, aws: LocalAws, running: Stack, holds: Holds
    ) -> None:
        """The zone is full for the start: only the hold lets the machine in again."""
        aws.control.set_quota(G_QUOTA, 64)
        aws.control.set_capacity("g5.xlarge", False, use="launch")
        assert self.change(aws, running) == "UPDATE_COMPLETE", running.events()
        assert machine(running, assemble().machine)["InstanceType"] == "g5.xlarge"
        assert holds.made() == [(OPEN, "cancelled")]
        assert "has room" in running.outputs()["Capacity"]

    def test_without_room_the_machine_runs_on(
        self, aws: LocalAws, running: Stack, holds: Holds
    ) -> None:
        aws.control.set_capacity("g5.xlarge", False)
        stops = [event for event in aws.control.history() if event.event == "stopped"]
        assert self.change(aws, running) == "UPDATE_ROLLBACK_COMPLETE"
        assert "runs on as g4dn.xlarge" in running.reason(CHOICE)
        assert machine(running, assemble().machine)["State"]["Name"] == "running"
        assert stops == [event for event in aws.control.history() if event.event == "stopped"]

    def test_without_quota_beside_it_the_change_works_as_before(
        self, aws: LocalAws, running: Stack, holds: Holds
    ) -> None:
        aws.control.set_quota(G_QUOTA, 4)
        assert self.change(aws, running) == "UPDATE_COMPLETE"
        assert "no room beside the running machine" in running.outputs()["Capacity"]
        assert not holds.rows

    def test_a_rollback_asks_nothing(self, aws: LocalAws, running: Stack, holds: Holds) -> None:
        """Room for the old type is gone for reservations: a question would wedge the stack."""
        aws.control.set_quota(G_QUOTA, 64)
        aws.control.resource_fault("update", RELEASE, "not today", times=1)
        aws.control.set_capacity("g4dn.xlarge", False, use="reservation")
        assert self.change(aws, running) == "UPDATE_ROLLBACK_COMPLETE", running.events()
        assert machine(running, assemble().machine)["InstanceType"] == "g4dn.xlarge"
        holds.assert_over()
