"""Two stacks hold room at the same time, and the machine of one is launched into the other's hold.

EC2 gives an open reservation to whichever fitting machine comes first. Only two operations of
CloudFormation on one EC2 show that the second machine then finds the first one's hold.
"""

from __future__ import annotations

import copy
import json
import time
import urllib.request
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from localaws import LocalAws
from localaws.control import CapacityReservation
from tests.faults.conftest import MakeStack
from tests.faults.holds import OPEN, Holds, machine
from tests.support.assembly import WORKSTATION, Assembly, assemble
from tests.support.probe_stack import G_QUOTA, Stack

CHOICE = "Generation1ImageChoice092B6F83"
ZONE = "us-east-1b"
LOOKS = 3
"""The release looks for the hold twice to end it; who waits looks again every two seconds."""


def with_a_gate(assembly: Assembly) -> dict[str, Any]:
    """The template whose machine is launched, into the hold that is made, after a signal."""
    template = copy.deepcopy(assembly.template)
    resources = template["Resources"]
    resources["Handle"] = {"Type": "AWS::CloudFormation::WaitConditionHandle"}
    resources["Gate"] = {
        "Type": "AWS::CloudFormation::WaitCondition",
        "DependsOn": [CHOICE],
        "Properties": {"Handle": {"Ref": "Handle"}, "Timeout": "3600"},
    }
    resources[assembly.machine]["DependsOn"].append("Gate")
    return template


def open_gate(stack: Stack) -> None:
    signal = {"Status": "SUCCESS", "Reason": "go on", "UniqueId": "gate", "Data": ""}
    handle, body = stack.physical_id("Handle"), json.dumps(signal).encode()
    request = urllib.request.Request(handle, body, {"Content-Type": ""}, method="PUT")
    with urllib.request.urlopen(request) as answer:
        assert answer.status == 200


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 300
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


@pytest.mark.tier("all")
def test_each_machine_uses_the_hold_of_the_other(
    aws: LocalAws, stack: MakeStack, holds: Holds
) -> None:
    """The zone is full for launches: a machine that finds no hold makes its deploy fail."""
    aws.control.set_quota(G_QUOTA, 64)
    aws.control.set_capacity(None, False)
    aws.control.set_capacity(None, True, zone=ZONE, use="reservation")
    first, second = (assemble(name=name) for name in ("first", "second"))
    for one in (first, second):
        one.publish(aws)
    early, late = stack(f"{WORKSTATION}-first"), stack(f"{WORKSTATION}-second")

    def made() -> tuple[CapacityReservation, ...]:
        return tuple(row for row in holds.rows if row.match == OPEN)

    def looks() -> int:
        return aws.control.calls().count("DescribeCapacityReservations")

    with ThreadPoolExecutor(2) as pool:
        waiting = pool.submit(early.deploy, "create_stack", with_a_gate(first))
        until(lambda: len(made()) == 1)
        other = pool.submit(late.deploy, "create_stack", second.template)
        until(lambda: bool(made()[0].instances) or other.done())
        before = looks()
        # The release of the second stack waits, or has ended the hold
        until(lambda: looks() >= before + LOOKS or made()[1].state != "active")
        inside = machine(late, second.machine)["InstanceId"]
        assert made()[0].instances == [inside]
        open_gate(early)
        statuses = [waiting.result(), other.result()]
        failed = [row for one in (early, late) for row in one.events() if "FAILED" in row[1]]
        assert statuses == ["CREATE_COMPLETE"] * 2, failed
        running = machine(early, first.machine)["State"]
        for one in (late, early):  # the fixture expects one alone
            assert one.delete() == "DELETE_COMPLETE"
    assert running == {"Code": 16, "Name": "running"}
    assert holds.made() == [(OPEN, "cancelled")] * 2
