"""What is read out of change sets in AWS's form, with all that AWS is unsure of."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest

from gpustation.plan.assembly import SynthesizedStack
from gpustation.plan.change_set import Deployed
from gpustation.plan.judgement import Effect, Plan, plan_of_changes, plan_of_new, plan_of_status

PHYSICAL_ID = "ami-1;/dev/sda1;us-east-1a;ubuntu-22.04;mxnet;64;auto;30"
TEMPLATE: dict[str, Any] = {
    "Resources": {
        "Choice": {
            "Type": "Custom::ImageChoice",
            "Properties": {
                "ServiceToken": {"Fn::GetAtt": ["Handler", "Arn"]},
                "InstanceType": "g4dn.xlarge",
                "Image": "ubuntu-22.04",
                "Framework": "mxnet",
                "DiskGib": "64",
                "AvailabilityZone": "auto",
                "ReadyTimeoutMinutes": "30",
                "Generation": "1",
            },
        },
        "Quota": {"Type": "Custom::QuotaCheck", "Properties": {"Mode": "enforce"}},
        "Group": {"Type": "AWS::EC2::SecurityGroup", "Properties": {"GroupDescription": "d"}},
        "Subnet": {
            "Type": "AWS::EC2::Subnet",
            "Properties": {"AvailabilityZone": {"Fn::GetAtt": ["Choice", "AvailabilityZone"]}},
        },
        "Settings": {
            "Type": "AWS::SSM::Parameter",
            "Properties": {
                "Value": {
                    "Fn::Join": [
                        "",
                        [
                            '{"public_key":"","notebooks":true,"cuda_toolkit":false,'
                            '"scripts":{"bucket":"',
                            {"Fn::Sub": "assets"},
                            '","sha256":"0123456789abcdef"}}',
                        ],
                    ]
                }
            },
        },
        "Machine": {
            "Type": "AWS::EC2::Instance",
            "Metadata": {"aws:cdk:path": "GpuWorkstation/Machine/Resource"},
            "Properties": {
                "ImageId": {"Fn::GetAtt": ["Choice", "ImageId"]},
                "SubnetId": {"Ref": "Subnet"},
                "InstanceType": "g4dn.xlarge",
                "UserData": "1",
            },
        },
    }
}


def template(**changed: dict[str, Any]) -> dict[str, Any]:
    """The template with other properties of these resources."""
    made = copy.deepcopy(TEMPLATE)
    for logical_id, properties in changed.items():
        made["Resources"][logical_id]["Properties"].update(properties)
    return made


def direct(name: str, recreation: str, evaluation: str = "Static") -> dict[str, Any]:
    target = {"Attribute": "Properties", "Name": name, "RequiresRecreation": recreation}
    return {"Target": target, "Evaluation": evaluation, "ChangeSource": "DirectModification"}


def by_reference(name: str, recreation: str, cause: str, evaluation: str = "Dynamic") -> Any:
    source = "ResourceAttribute" if "." in cause else "ResourceReference"
    return {
        **direct(name, recreation, evaluation),
        "ChangeSource": source,
        "CausingEntity": cause,
    }


def modify(logical_id: str, *details: dict[str, Any], replacement: str = "False") -> dict[str, Any]:
    return {
        "Action": "Modify",
        "LogicalResourceId": logical_id,
        "PhysicalResourceId": {"Choice": PHYSICAL_ID, "Machine": "i-1"}.get(logical_id, "id"),
        "ResourceType": TEMPLATE["Resources"][logical_id]["Type"],
        "Replacement": replacement,
        "Scope": sorted({detail["Target"]["Attribute"] for detail in details}),
        "Details": [*details],
    }


def plan(changes: list[Any] | None, new: dict[str, Any], old: dict[str, Any] | None = None) -> Plan:
    stack = SynthesizedStack("GpuWorkstation", new, {}, "", "")
    return plan_of_changes(stack, changes, old or TEMPLATE)


CASCADE = [
    modify(
        "Subnet",
        by_reference("AvailabilityZone", "Always", "Choice.AvailabilityZone"),
        replacement="Conditional",
    ),
]
"""What a change of the choice draws after it, though its answer stays."""


def machine(*details: dict[str, Any]) -> dict[str, Any]:
    return modify(
        "Machine",
        direct("ImageId", "Always", "Dynamic"),
        by_reference("ImageId", "Always", "Choice.ImageId"),
        by_reference("SubnetId", "Always", "Subnet"),
        *details,
        replacement="Conditional",
    )


@pytest.mark.parametrize("announced", ["False", "Conditional", "True"])
def test_another_type_stops_the_machine_whatever_aws_fears(announced: str) -> None:
    new = template(Choice={"InstanceType": "g5.xlarge"}, Machine={"InstanceType": "g5.xlarge"})
    choice = modify("Choice", direct("InstanceType", "Conditionally"), replacement=announced)
    found = plan([choice, *CASCADE, machine(direct("InstanceType", "Conditionally"))], new)
    assert found.effect is Effect.STOPS
    assert [str(one) for one in found.settings] == [
        "instance_type: g4dn.xlarge -> g5.xlarge (the machine stops and starts)"
    ]
    assert found.notes == (
        "i-1 is stopped and started because of InstanceType; running programs end",
    )
    assert found.others == ("Choice changes in place (InstanceType)",)


def test_a_certain_reference_to_what_stays_replaces_nothing() -> None:
    """AWS calls some references static that it cannot know (coverage roadmap, issue 2113)."""
    choice = modify("Choice", direct("InstanceType", "Never"))
    certain = modify(
        "Machine",
        by_reference("ImageId", "Always", "Choice.ImageId", "Static"),
        direct("InstanceType", "Conditionally"),
        replacement="True",
    )
    new = template(Machine={"InstanceType": "g5.xlarge"})
    assert plan([choice, certain], new).effect is Effect.STOPS


@pytest.mark.parametrize(
    "name", ["EbsOptimized", "InstanceType", "KernelId", "RamdiskId", "UserData"]
)
def test_what_aws_calls_some_interruptions_stops_the_machine(name: str) -> None:
    """The list is that of the user guide, AWS::EC2::Instance."""
    found = plan([modify("Machine", direct(name, "Conditionally"))], template(Machine={name: "2"}))
    assert found.effect is Effect.STOPS


@pytest.mark.parametrize(
    "detail",
    [
        direct("ImageId", "Always"),
        direct("ImageId", "Always", "Dynamic"),
        direct("BlockDeviceMappings", "Conditionally"),
        direct("PrivateDnsNameOptions", "Conditionally"),
    ],
)
def test_what_cannot_change_replaces_the_machine(detail: dict[str, Any]) -> None:
    new = template(Machine={"ImageId": "ami-2", "BlockDeviceMappings": []})
    found = plan([modify("Machine", detail, replacement="True")], new)
    assert found.effect is Effect.REPLACED
    name = detail["Target"]["Name"]
    assert found.notes == (f"i-1 is replaced because of {name}; its disk is deleted",)


def test_a_subnet_that_is_replaced_takes_the_machine_with_it() -> None:
    new = template(Subnet={"AvailabilityZone": "us-east-1b"})
    subnet = modify("Subnet", direct("AvailabilityZone", "Always"), replacement="True")
    moved = modify("Machine", by_reference("SubnetId", "Always", "Subnet", "Static"))
    found = plan([subnet, moved], new)
    assert found.effect is Effect.REPLACED
    assert "Subnet is replaced (AvailabilityZone)" in found.others


def test_a_replacement_without_details_is_believed() -> None:
    found = plan([modify("Machine", replacement="Conditional")], TEMPLATE)
    assert found.effect is Effect.REPLACED


def test_a_machine_that_is_removed_loses_its_disk() -> None:
    old, new = modify("Machine"), modify("Machine")
    changes = [
        {**old, "Action": "Remove"},
        {**new, "Action": "Add", "LogicalResourceId": "Machine2", "PhysicalResourceId": ""},
    ]
    found = plan(changes, TEMPLATE)
    assert found.effect is Effect.REPLACED
    assert found.notes == ("i-1 is deleted with its disk, once the new machine is ready",)
    assert found.others == ("1 resource created, 1 resource deleted",)


def test_a_locked_setting_is_refused_whatever_else_changes() -> None:
    new = template(
        Choice={"DiskGib": "100", "InstanceType": "g5.xlarge"},
        Machine={"InstanceType": "g5.xlarge", "BlockDeviceMappings": []},
    )
    choice = modify(
        "Choice", direct("DiskGib", "Conditionally"), direct("InstanceType", "Conditionally")
    )
    found = plan([choice, machine(direct("BlockDeviceMappings", "Conditionally"))], new)
    assert found.effect is Effect.REFUSED
    assert found.notes[0].startswith("disk_gib=100 (the machine has 64) needs a new machine")
    assert 'set "generation": 2' in found.notes[0]


def test_the_machine_and_not_the_template_tells_what_is_locked() -> None:
    """After a rollback that failed they may differ; the handler goes by the machine."""
    choice = modify("Choice", direct("DiskGib", "Conditionally"))
    wrong = template(Choice={"DiskGib": "100"})
    assert plan([choice], TEMPLATE, old=wrong).effect is Effect.IN_PLACE


@pytest.mark.parametrize("told", [True, False])
def test_a_new_generation_shows_todays_defaults_beside_what_the_machine_has(told: bool) -> None:
    """Also where neither template names the image, and another release chose it."""
    new = template(Choice={"Generation": "2"})
    old = template()
    for one in (new, old) if not told else (new,):
        del one["Resources"]["Choice"]["Properties"]["Image"]
    choice = {**modify("Choice"), "Action": "Remove"}
    lines = [str(line) for line in plan([choice], new, old).settings]
    assert lines[0].startswith("image: ubuntu-22.04 -> ubuntu-24.04")
    assert [line.partition(":")[0] for line in lines] == ["image", "generation"]


def test_a_new_version_of_a_handler_is_in_place() -> None:
    choice = modify(
        "Choice",
        by_reference("ServiceToken", "Always", "Handler.Arn"),
        direct("ServiceToken", "Always", "Dynamic"),
        replacement="Conditional",
    )
    found = plan([choice, *CASCADE, machine()], TEMPLATE)
    assert found.effect is Effect.IN_PLACE
    assert found.others == (), "what only might have changed is not told"


def test_tags_alone_are_in_place() -> None:
    target = {"Attribute": "Tags", "RequiresRecreation": "Never"}
    found = plan([modify("Group", {"Target": target, "Evaluation": "Static"})], TEMPLATE)
    assert found.effect is Effect.IN_PLACE
    assert found.others == ("Group changes in place (Tags)",)


def test_notes_in_the_template_are_not_told() -> None:
    target = {"Attribute": "Metadata", "RequiresRecreation": "Never"}
    found = plan([modify("Group", {"Target": target, "Evaluation": "Static"})], TEMPLATE)
    assert (found.effect, found.others) == (Effect.IN_PLACE, ())


def test_the_security_groups_of_a_machine_change_in_place() -> None:
    new = template(Machine={"SecurityGroupIds": ["sg-2"]})
    found = plan([modify("Machine", direct("SecurityGroupIds", "Conditionally"))], new)
    assert found.effect is Effect.IN_PLACE


def test_no_change_and_outputs_alone() -> None:
    assert plan(None, TEMPLATE) == Plan("GpuWorkstation", Effect.NOTHING)
    assert plan([], TEMPLATE).others == ("outputs change",)


def test_keys_are_shown_as_fingerprints_and_scripts_by_their_hash() -> None:
    told = json.dumps({"public_key": "ssh-ed25519 AAAA me@home", "notebooks": False})[:-1]
    value = told + ', "cuda_toolkit": false, "scripts": {"sha256": "fedcba9876543210"}}'
    found = plan(
        [modify("Settings", direct("Value", "Never"))], template(Settings={"Value": value})
    )
    assert [str(one) for one in found.settings] == [
        "public_key: none -> ssh-ed25519 SHA256:cJ6AyISHokEeHuTfufIqhhSS0gxHZRUMDHlKvXD4FHw "
        "(from the machine's next boot on)",
        "notebooks: true -> false (from the machine's next boot on)",
        "scripts: 0123456789ab -> fedcba987654 (from the machine's next boot on)",
    ]


def test_fails_when_a_template_is_not_a_workstations() -> None:
    with pytest.raises(ValueError, match="has one Custom::ImageChoice, this one has 0"):
        plan(None, {"Resources": {}})


STACK = SynthesizedStack("GpuWorkstation", TEMPLATE, {}, "", "")


def test_a_new_stack_shows_all_its_settings() -> None:
    shown = str(plan_of_new(STACK)).splitlines()
    assert shown[:2] == [
        "GpuWorkstation: a new stack with a new machine",
        "  instance_type: g4dn.xlarge",
    ]


@pytest.mark.parametrize(
    ("status", "effect", "remedy"),
    [
        ("ROLLBACK_COMPLETE", Effect.NEW, "`cdk deploy` deletes the rest and creates it again"),
        ("ROLLBACK_FAILED", Effect.NEW, "`cdk deploy` deletes the rest and creates it again"),
        ("CREATE_FAILED", Effect.REFUSED, "`cdk rollback`"),
        ("UPDATE_FAILED", Effect.REFUSED, "`cdk rollback`"),
        ("UPDATE_ROLLBACK_FAILED", Effect.REFUSED, "`cdk rollback`"),
        ("DELETE_FAILED", Effect.REFUSED, "`cdk destroy`"),
        ("UPDATE_IN_PROGRESS", Effect.REFUSED, "wait for its end"),
        ("UPDATE_COMPLETE_CLEANUP_IN_PROGRESS", Effect.REFUSED, "wait for its end"),
    ],
)
def test_a_state_in_which_nothing_can_be_asked(status: str, effect: Effect, remedy: str) -> None:
    found = plan_of_status(STACK, Deployed(status, "because", frozenset()))
    assert found is not None
    assert found.effect is effect
    assert f"{status}: because" in found.notes[0]
    assert remedy in found.notes[0]


@pytest.mark.parametrize(
    "status",
    ["CREATE_COMPLETE", "UPDATE_COMPLETE", "UPDATE_ROLLBACK_COMPLETE", "REVIEW_IN_PROGRESS"],
)
def test_any_other_state_is_asked_about(status: str) -> None:
    assert plan_of_status(STACK, Deployed(status, "", frozenset())) is None


def test_the_page_tells_every_exit_status(root: Path) -> None:
    rows = [f"| {one.status} | `{one.word}` | {one.meaning} |" for one in Effect]
    page = (root / "docs/settings.md").read_text()
    assert "\n".join(rows) in page


def test_no_exit_status_is_that_of_a_failure() -> None:
    statuses = [one.status for one in Effect]
    assert len({*statuses}) == len(statuses)
    assert not {1, 2, 126, 127} & {*statuses}
    assert max(statuses) < 128, "the rest are signals"
