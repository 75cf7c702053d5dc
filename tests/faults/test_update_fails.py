"""An update fails at each resource that it changes or makes: all is as it was before."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from localaws import LocalAws
from tests.faults.templates import WORKSTATION, Template, assemble, machine, remove
from tests.localaws.probe_stack import G_QUOTA, Stack
from tests.synthesis import PUBLIC_KEY

BEFORE = assemble()
MACHINE = machine(BEFORE.template)
REASON = "not today"
TAGS = [{"Key": "course", "Value": "d2l"}]
UPDATES: dict[str, dict[str, Any]] = {
    "in-place": {"ssh_cidr": "203.0.113.7/32", "public_key": PUBLIC_KEY, "quota": "warn"},
    "type": {"instance_type": "g4dn.2xlarge"},
    "generation": {"generation": 2, "framework": "pytorch"},
}


def touched(settings: dict[str, Any]) -> set[str]:
    """What an update changes or makes."""
    old, new = BEFORE.template["Resources"], assemble(**settings).template["Resources"]
    return {
        name
        for name, made in new.items()
        if name not in old or made.get("Properties") != old[name].get("Properties")
    }


def tagged(template: Template) -> set[str]:
    """What a tag of the stack changes."""
    made = template["Resources"].items()
    return {name for name, one in made if "Tags" in one.get("Properties", {})}


CASES = [(name, one) for name, settings in UPDATES.items() for one in sorted(touched(settings))]
CASES += [("tags", one) for one in sorted(tagged(BEFORE.template))]


@pytest.fixture(scope="module")
def created(server: LocalAws) -> Iterator[Stack]:
    """One workstation for all updates, none of which may leave a trace."""
    server.control.reset()
    server.control.set_quota(G_QUOTA, 8)
    BEFORE.publish(server)
    stack = Stack(server, WORKSTATION)
    assert stack.deploy("create_stack", BEFORE.template) == "CREATE_COMPLETE"
    yield stack
    server.control.reset()
    remove(stack)


def state(stack: Stack) -> dict[str, Any]:
    """All that a person would notice a change of."""
    aws = stack.aws
    shown = aws.client("cloudformation").describe_stack_resources(StackName=stack.name)
    ids = {r["LogicalResourceId"]: r["PhysicalResourceId"] for r in shown["StackResources"]}
    ec2 = aws.client("ec2")
    machine = ec2.describe_instances(InstanceIds=[ids[MACHINE]])["Reservations"][0]["Instances"][0]
    kept = ("InstanceId", "InstanceType", "State", "BlockDeviceMappings", "Tags", "SecurityGroups")
    ssm = aws.client("ssm")
    names = [one["Name"] for one in ssm.describe_parameters()["Parameters"]]
    described = stack.describe()
    return {
        "ids": ids,
        "left": sorted((row.kind, row.id) for row in aws.leftovers()),
        "machine": {key: machine[key] for key in kept},
        "groups": [g["IpPermissions"] for g in ec2.describe_security_groups()["SecurityGroups"]],
        "values": [one["Value"] for one in ssm.get_parameters(Names=names)["Parameters"]],
        "outputs": stack.outputs(),
        "tags": described["Tags"],
        "template": aws.client("cloudformation").get_template(StackName=stack.name)["TemplateBody"],
    }


@pytest.mark.parametrize(("update", "logical_id"), CASES)
def test_goes_back_to_what_it_was(
    aws: LocalAws, created: Stack, update: str, logical_id: str
) -> None:
    before = state(created)
    wanted = assemble(**UPDATES.get(update, {}))
    wanted.publish(aws)
    aws.control.resource_fault(_operation(created, logical_id), logical_id, REASON, times=1)
    tags = {"Tags": TAGS} if update == "tags" else {}
    status = created.deploy("update_stack", wanted.template, **tags)
    assert status == "UPDATE_ROLLBACK_COMPLETE", created.events()
    assert REASON in created.reason(logical_id)
    assert state(created) == before


def _operation(stack: Stack, logical_id: str) -> Any:
    return "update" if logical_id in BEFORE.template["Resources"] else "create"


def test_without_a_fault_each_update_succeeds(aws: LocalAws, created: Stack) -> None:
    """So that the rollbacks above come from the faults alone."""
    aws.control.set_quota(G_QUOTA, 12)
    for settings in ({**UPDATES["in-place"], **UPDATES["type"]}, UPDATES["generation"]):
        wanted = assemble(**settings)
        wanted.publish(aws)
        status = created.deploy("update_stack", wanted.template, Tags=TAGS)
        assert status == "UPDATE_COMPLETE", created.events()
