"""An update fails at each resource that it changes or creates: the stack is as it was before.

Only CloudFormation's rollback shows whether a machine was stopped or replaced on the way.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest

from localaws import LocalAws
from tests.faults.outcome import remove
from tests.support.assembly import WORKSTATION, assemble
from tests.support.probe_stack import G_QUOTA, Stack
from tests.support.synthesis import PUBLIC_KEY

REASON = "not today"
TAGS = [{"Key": "course", "Value": "d2l"}]
UPDATES: dict[str, dict[str, Any]] = {
    "in-place": {"ssh_cidr": "203.0.113.7/32", "public_key": PUBLIC_KEY, "quota": "warn"},
    "type": {"instance_type": "g4dn.2xlarge"},
    "generation": {"generation": 2, "framework": "pytorch"},
    "tags": {},
}
TOUCHED = {
    "in-place": ["MachineSettings", "NetworkSecurityGroup", "QuotaCheck"],
    "type": ["ImageChoice", "CapacityRelease", "MachineInstance", "MachineSettings", "QuotaCheck"],
    "generation": [
        *("ImageChoice", "QuotaCheck", "MachineInstance", "GpuReady"),
        *("CapacityRelease", "DriverReady", "EnvironmentReady"),
        *(f"{step}ReadyHandle" for step in ("Driver", "Environment", "Gpu")),
        *("MachineInstanceInstanceProfile", "MachineRole", "MachineRoleDefaultPolicy"),
        *("MachineReport", "MachineSettings", "Subnet", "SubnetDefaultRoute"),
        *("SubnetRouteTable", "SubnetRouteTableAssociation"),
    ],
    "tags": [
        *("MachineInstance", "MachineRole", "NetworkVpc", "MachineSettings", "MachineReport"),
        *("ImageChoiceHandlerFunction", "ImageChoiceHandlerLogs", "ImageChoiceHandlerRole"),
        *("QuotaCheckHandlerFunction", "QuotaCheckHandlerLogs", "QuotaCheckHandlerRole"),
        *("NetworkInternetGateway", "NetworkSecurityGroup", "Subnet", "SubnetRouteTable"),
    ],
}
"""What each update changes or creates, without generation and hash in the names."""
IN_MAKE_TEST = 2
"""Number of resources of each update: the first check, and one behind it."""


def plain(logical_id: str) -> str:
    return re.sub(r"^Generation\d|[0-9A-F]{8}$", "", logical_id)


def touched(update: str) -> dict[str, str]:
    """Logical ids of the resources that an update changes or creates, by the names of `TOUCHED`."""
    old = assemble().graph.resources
    new = assemble(**UPDATES[update]).graph.resources
    if update == "tags":
        names = [name for name, made in new.items() if "Tags" in made.get("Properties", {})]
    else:
        names = [
            name
            for name, made in new.items()
            if name not in old or made.get("Properties") != old[name].get("Properties")
        ]
    return {plain(name): name for name in names}


@pytest.mark.parametrize("update", UPDATES)
def test_the_table_names_all_that_an_update_touches(update: str) -> None:
    assert sorted(touched(update)) == sorted(TOUCHED[update])


def _cases() -> Iterator[Any]:
    for update, names in TOUCHED.items():
        for number, name in enumerate(names):
            marks = () if number < IN_MAKE_TEST else (pytest.mark.tier("all"),)
            yield pytest.param(update, name, marks=marks)


@pytest.fixture(scope="module")
def created(server: LocalAws) -> Iterator[Stack]:
    """One workstation for all updates."""
    server.control.reset()
    server.control.set_quota(G_QUOTA, 8)
    assemble().publish(server)
    stack = Stack(server, WORKSTATION)
    assert stack.deploy("create_stack", assemble().template) == "CREATE_COMPLETE"
    yield stack
    server.control.reset()
    remove(stack)


def state(stack: Stack) -> dict[str, Any]:
    """Everything of which a person would notice a change."""
    aws = stack.aws
    shown = aws.client("cloudformation").describe_stack_resources(StackName=stack.name)
    ids = {r["LogicalResourceId"]: r["PhysicalResourceId"] for r in shown["StackResources"]}
    ec2 = aws.client("ec2")
    machine_id = ids[assemble().machine]
    machine = ec2.describe_instances(InstanceIds=[machine_id])["Reservations"][0]["Instances"][0]
    kept = ("InstanceId", "InstanceType", "State", "BlockDeviceMappings", "Tags", "SecurityGroups")
    ssm = aws.client("ssm")
    names = [row["Name"] for row in ssm.describe_parameters()["Parameters"]]
    described = stack.describe()
    return {
        "ids": ids,
        "left": sorted((row.kind, row.id) for row in aws.inventory()),
        "machine": {key: machine[key] for key in kept},
        "groups": [g["IpPermissions"] for g in ec2.describe_security_groups()["SecurityGroups"]],
        "values": [row["Value"] for row in ssm.get_parameters(Names=names)["Parameters"]],
        "outputs": stack.outputs(),
        "tags": described["Tags"],
        "template": aws.client("cloudformation").get_template(StackName=stack.name)["TemplateBody"],
    }


@pytest.mark.parametrize(("update", "name"), [*_cases()])
def test_goes_back_to_what_it_was(aws: LocalAws, created: Stack, update: str, name: str) -> None:
    before, logical_id = state(created), touched(update)[name]
    wanted = assemble(**UPDATES[update])
    wanted.publish(aws)
    operation = "update" if logical_id in assemble().graph.resources else "create"
    aws.control.resource_fault(operation, logical_id, REASON, times=1)
    tags = {"Tags": TAGS} if update == "tags" else {}
    status = created.deploy("update_stack", wanted.template, **tags)
    assert status == "UPDATE_ROLLBACK_COMPLETE", created.events()
    assert REASON in created.reason(logical_id)
    assert state(created) == before
