"""The capacity hold and spot in the templates: what waits for what, and who may do what."""

from __future__ import annotations

from typing import Any

import pytest
from aws_cdk.assertions import Template

from tests.support.synthesis import resource, synthesize
from tests.support.template_graph import actions, statements

INSTANCE, TEMPLATE = "AWS::EC2::Instance", "AWS::EC2::LaunchTemplate"
STACK = {"Ref": "AWS::StackId"}


def names_of(template: Template, kind: str) -> list[str]:
    rows = template.to_json()["Resources"].items()
    return [name for name, row in rows if row["Type"] == kind]


def waits(template: Template, kind: str) -> set[str]:
    """Types that a resource waits for, also by what they wait for."""
    rows = template.to_json()["Resources"]
    seen: set[str] = set()
    todo = names_of(template, kind)
    while todo:
        for name in rows[todo.pop()].get("DependsOn", []):
            if name not in seen:
                seen.add(name)
                todo.append(name)
    return {rows[name]["Type"] for name in seen}


def allowed(template: Template, action: str) -> list[dict[str, Any]]:
    """The statements that allow an action, of all roles."""
    return [row for row in statements(template.to_json()) if action in actions(row)]


def test_what_takes_long_is_there_before_anything_is_held() -> None:
    """What is held meanwhile is billed; the profile must not wait for the choice then."""
    template = synthesize()
    waited = waits(template, "Custom::ImageChoice")
    assert {"AWS::IAM::InstanceProfile", "AWS::EC2::VPCGatewayAttachment"} <= waited
    assert "Custom::QuotaCheck" in waited


def test_the_hold_ends_behind_the_machine() -> None:
    assert INSTANCE in waits(synthesize(), "Custom::CapacityRelease")


def test_only_reservations_with_the_stacks_id_are_made_and_cancelled() -> None:
    template = synthesize()
    (made,) = allowed(template, "ec2:CreateCapacityReservation")
    assert made["Condition"] == {"StringEquals": {"aws:RequestTag/gpustation:hold-of": STACK}}
    (cancelled,) = allowed(template, "ec2:CancelCapacityReservation")
    assert cancelled["Condition"] == {"StringEquals": {"aws:ResourceTag/gpustation:hold-of": STACK}}
    (marked,) = allowed(template, "ec2:CreateTags")
    assert marked["Condition"] == {
        "StringEquals": {"ec2:CreateAction": "CreateCapacityReservation"}
    }


@pytest.mark.parametrize("settings", [{"capacity_check": False}, {"spot": "true"}])
def test_without_a_hold_nothing_releases_it(settings: dict[str, Any]) -> None:
    assert names_of(synthesize(**settings), "Custom::CapacityRelease") == []


def test_without_the_check_nobody_may_reserve() -> None:
    assert allowed(synthesize(capacity_check=False), "ec2:CreateCapacityReservation") == []


def test_an_on_demand_machine_has_no_launch_template() -> None:
    """One would replace every machine that exists."""
    template = synthesize()
    assert "LaunchTemplate" not in resource(template, INSTANCE)["Properties"]
    template.resource_count_is(TEMPLATE, 0)


def test_a_spot_machines_template_says_how_it_is_bought_and_nothing_else() -> None:
    template = synthesize(spot="true")
    (name,) = names_of(template, TEMPLATE)
    data = resource(template, TEMPLATE)["Properties"]["LaunchTemplateData"]
    assert data == {
        "InstanceMarketOptions": {
            "MarketType": "spot",
            "SpotOptions": {
                "InstanceInterruptionBehavior": "stop",
                "SpotInstanceType": "persistent",
                "ValidUntil": "2099-01-01T00:00:00Z",
            },
        },
        "TagSpecifications": [
            {
                "ResourceType": "spot-instances-request",
                "Tags": [
                    {"Key": "gpustation", "Value": "GpuWorkstation"},
                    {"Key": "gpustation:spot-of", "Value": STACK},
                    {"Key": "gpustation:generation", "Value": "1"},
                ],
            }
        ],
    }
    used = resource(template, INSTANCE)["Properties"]["LaunchTemplate"]
    assert used == {"LaunchTemplateId": {"Ref": name}, "Version": "1"}


@pytest.mark.parametrize(
    "other",
    [{"instance_type": "g5.xlarge"}, {"ssh_cidr": "203.0.113.7/32"}, {"stop_at": "22:00 UTC"}],
)
def test_no_other_setting_changes_it(other: dict[str, Any]) -> None:
    before = resource(synthesize(spot="true"), TEMPLATE)
    assert resource(synthesize(spot="true", **other), TEMPLATE) == before


def test_the_choice_decides_between_two_templates() -> None:
    template = synthesize(spot="prefer")
    spot, on_demand = names_of(template, TEMPLATE)
    choice = resource(template, "Custom::ImageChoice")["Properties"]
    assert (choice["Spot"], choice["SpotTemplate"]) == ("prefer", {"Ref": spot})
    assert choice["OnDemandTemplate"] == {"Ref": on_demand}
    used = resource(template, INSTANCE)["Properties"]["LaunchTemplate"]
    (name,) = names_of(template, "Custom::ImageChoice")
    assert used == {
        "LaunchTemplateId": {"Fn::GetAtt": [name, "LaunchTemplate"]},
        "Version": "1",
    }


@pytest.mark.parametrize("spot", ["true", "prefer"])
def test_the_request_goes_before_the_machine_and_no_other_may_be_cancelled(spot: str) -> None:
    template = synthesize(spot=spot)
    assert INSTANCE in waits(template, "Custom::SpotRequest")
    rows = allowed(template, "ec2:CancelSpotInstanceRequests")
    assert len(rows) == 2  # behind the machine, and in the rollback of a launch
    for row in rows:
        assert row["Condition"] == {"StringEquals": {"aws:ResourceTag/gpustation:spot-of": STACK}}


def test_a_shutdown_from_inside_is_a_stop_on_the_spot_market_too() -> None:
    properties = resource(synthesize(spot="true"), INSTANCE)["Properties"]
    assert properties["InstanceInitiatedShutdownBehavior"] == "stop"
