"""What a later version must not change unasked: logical ids, user data, service tokens."""

import hashlib
import json
import re

import pytest

from gpustation.handlers.image_choice import DEFAULTS, LOCKED, Choice, require_same_settings
from gpustation.handlers.responder import RefusedError
from gpustation.plan.assembly import SynthesizedStack
from gpustation.plan.change_set import MAX_TEMPLATE_BYTES
from gpustation.plan.judgement import plan_of_changes
from gpustation.settings.model import Settings
from gpustation.synth.user_data import MAX_BYTES
from tests.support.settings_table import (
    ANOTHER_OF_EACH,
    IN_PLACE,
    NEW_GENERATION,
    NEXT_BOOT,
    OF_OTHER_STACKS,
    STOP_AND_START,
    SYNTH_ONLY,
)
from tests.support.synthesis import PUBLIC_KEY, resource, synthesize, user_data
from tests.support.template_graph import TemplateGraph

GENERATION_1_IDS = {
    "Generation1DriverReadyF7E6A7B3",
    "Generation1DriverReadyHandle9BC6936F",
    "Generation1EnvironmentReady7A19C1B1",
    "Generation1EnvironmentReadyHandle3BBB21E0",
    "Generation1GpuReady21F1EAD5",
    "Generation1GpuReadyHandle9D68E2BD",
    "Generation1ImageChoice092B6F83",
    "Generation1MachineInstance6A2E7483",
    "Generation1MachineInstanceInstanceProfileAFC86A5C",
    "Generation1MachineReport177079DF",
    "Generation1MachineRoleB54D23D1",
    "Generation1MachineRoleDefaultPolicy6AF1A98A",
    "Generation1MachineSettings81C4D060",
    "Generation1SubnetBFD40E3C",
    "Generation1SubnetDefaultRouteB159AE6C",
    "Generation1SubnetRouteTable3A75390E",
    "Generation1SubnetRouteTableAssociation7B5AB662",
}
LASTING_IDS = {
    "ImageChoiceHandlerFunction360D9ED9",
    "ImageChoiceHandlerLogs3E282A8C",
    "ImageChoiceHandlerRoleDefaultPolicyE5AB0482",
    "ImageChoiceHandlerRoleEDC9D8B5",
    "NetworkInternetGatewayAttachment4FEFFDBC",
    "NetworkInternetGatewayD8FF3F66",
    "NetworkSecurityGroup6335DB55",
    "NetworkVpcFAC8F4A5",
    "QuotaCheckB2735ED9",
    "QuotaCheckHandlerFunction9D5A8239",
    "QuotaCheckHandlerLogsA10522F3",
    "QuotaCheckHandlerRole3BFCEED4",
    "QuotaCheckHandlerRoleDefaultPolicy568CF3D2",
}
"""Another id here replaces the resource in every stack that exists."""

DAILY_STOP_IDS = {
    "DailyStopCallerGroup10A521AB",
    "DailyStopCallerRole7CD61232",
    "DailyStopCallerRoleDefaultPolicy40764A8C",
    "DailyStopHandlerFunctionC5568FFA",
    "DailyStopHandlerLogs5215E197",
    "DailyStopHandlerRoleAAC46302",
    "DailyStopHandlerRoleDefaultPolicyA83BBA25",
    "Generation1DailyStopSchedule90E53920",
}
"""Those that the setting ``stop_at`` adds."""
SPEND_LIMIT_IDS = {
    "Generation1Counted05CDE05A",
    "SpendLimitCheckB291BFC3",
    "SpendLimitHandlerFunctionAFAEB074",
    "SpendLimitHandlerLogsC9249B03",
    "SpendLimitHandlerRole5837430C",
    "SpendLimitHandlerRoleDefaultPolicy4614D2D0",
    "SpendLimitHourly0C3BECC0",
    "SpendLimitLedgerA7E692B5",
    "SpendLimitNoticeB71CB70B",
    "SpendLimitScheduleRole885B6B56",
    "SpendLimitScheduleRoleDefaultPolicyBE238D1B",
    "SpendLimitSchedulesA537CEFA",
    "SpendLimitStateChanges42CF9ECC",
    "SpendLimitStateChangesMayCall63CD651D",
}
"""Those that the setting ``monthly_budget_usd`` adds; another id of the table begins anew."""
CAPACITY_IDS = {"Generation1CapacityRelease57525E3F"}
"""Those that the setting ``capacity_check`` removes."""
SPOT_IDS = {
    "Generation1SpotRequestFF63AF26",
    "Generation1SpotTemplate92027328",
    "SpotRequestHandlerFunction4CAE96A4",
    "SpotRequestHandlerLogs076522AD",
    "SpotRequestHandlerRole8FD8AD85",
    "SpotRequestHandlerRoleDefaultPolicy0570EF3E",
}
"""Those that the setting ``spot`` adds; nothing is held on the spot market."""
REMOVED = {"capacity_check": CAPACITY_IDS, "spot": CAPACITY_IDS}
ADDED = {"spot": SPOT_IDS, "stop_at": DAILY_STOP_IDS, "monthly_budget_usd": SPEND_LIMIT_IDS}


@pytest.mark.parametrize("key", [None, *ANOTHER_OF_EACH])
def test_logical_ids_are_pinned_whatever_the_settings(key: str | None) -> None:
    settings = {key: ANOTHER_OF_EACH[key]} if key else {}
    added = ADDED.get(key or "", set())
    made = set(synthesize(**settings).to_json()["Resources"])
    removed = REMOVED.get(key or "", set())
    assert made == (GENERATION_1_IDS | CAPACITY_IDS | LASTING_IDS | added) - removed


def test_another_generation_renames_what_belongs_to_the_machine_and_nothing_else() -> None:
    ids = set(synthesize(generation=2).to_json()["Resources"])
    assert ids > LASTING_IDS
    own = {re.sub(r"[0-9A-F]{8}$", "", name) for name in ids - LASTING_IDS}
    assert own == {
        re.sub(r"[0-9A-F]{8}$", "", name).replace("Generation1", "Generation2")
        for name in GENERATION_1_IDS | CAPACITY_IDS
    }


USER_DATA_SHA256 = "b527c51c773c6da017ac4d6afa6647f389bf82795f70268896dc888bf2808b4a"


def test_user_data_is_pinned() -> None:
    """Other bytes stop and start every machine that exists: say so in the changelog."""
    text = user_data(synthesize())
    assert hashlib.sha256(text.encode()).hexdigest() == USER_DATA_SHA256


@pytest.mark.parametrize("key", [k for k in ANOTHER_OF_EACH if k != "availability_zone"])
def test_user_data_is_the_same_whatever_the_settings(key: str) -> None:
    assert user_data(synthesize(**{key: ANOTHER_OF_EACH[key]})) == user_data(synthesize())


REFERENCE_BYTES = {"AWS::Region": 20, "Settings": 64}
"""The longest values. The addresses of the three wait conditions share what is left."""
SIGNED_WITH_A_TOKEN = 2_000
"""Bytes of an address that is signed with a session token (estimate: such a token has about 1,400
bytes). Addresses seen in public logs until 2025 are signed without one and have about 530."""


def test_user_data_has_room_for_addresses_that_hold_a_session_token() -> None:
    text = user_data(synthesize())
    size = len(text.encode())
    addresses = 0
    for name in re.findall(r"<((?:AWS|Generation)[\w:]+)>", text):
        addresses += "Handle" in name
        longest = next((most for part, most in REFERENCE_BYTES.items() if part in name), 0)
        size += longest - len(name) - 2
    assert addresses == 3
    room = (MAX_BYTES - size) // addresses
    print(f"user data: {size} bytes, room for {addresses} addresses of {room} bytes each")
    assert room > SIGNED_WITH_A_TOKEN


def test_every_setting_has_another_value_and_a_time_at_which_it_takes_effect() -> None:
    assert {*ANOTHER_OF_EACH, "generation", "name"} == set(Settings.model_fields)


CHOICE, INSTANCE = "Custom::ImageChoice", "AWS::EC2::Instance"
PARAMETER = "AWS::SSM::Parameter"


def changed_types(key: str) -> set[str]:
    """Types of the resources whose properties another value of a setting changes."""
    before = synthesize().to_json()["Resources"]
    after = synthesize(**{key: ANOTHER_OF_EACH[key]}).to_json()["Resources"]
    return {
        after[name]["Type"]
        for name in before.keys() & after.keys()
        if before[name].get("Properties") != after[name].get("Properties")
    }


@pytest.mark.parametrize("key", IN_PLACE)
def test_what_changes_in_place_reaches_nothing_of_the_machine(key: str) -> None:
    types = changed_types(key)
    assert (
        types
        == {
            "ssh_cidr": {"AWS::EC2::SecurityGroup"},
            "allow_world_ssh": set(),
            "quota": {"Custom::QuotaCheck", "AWS::IAM::Policy"},
            "capacity_check": {CHOICE, "AWS::IAM::Policy"},
            # Other resources are added, see ADDED
            "stop_at": {PARAMETER},
            "stop_at_patience": {PARAMETER},
            "monthly_budget_usd": {PARAMETER, "AWS::IAM::Policy"},
            "budget_email": set(),
        }[key]
    )


@pytest.mark.parametrize("key", NEXT_BOOT)
def test_what_changes_at_the_next_boot_is_in_the_parameter_alone(key: str) -> None:
    assert changed_types(key) == {PARAMETER}


@pytest.mark.parametrize("key", STOP_AND_START)
def test_what_stops_the_machine_is_its_type_alone(key: str) -> None:
    before = resource(synthesize(), INSTANCE)["Properties"]
    after = resource(synthesize(**{key: ANOTHER_OF_EACH[key]}), INSTANCE)["Properties"]
    assert {name for name in after if after[name] != before[name]} == {"InstanceType"}


@pytest.mark.parametrize("key", NEW_GENERATION)
def test_what_needs_a_new_machine_is_refused_by_the_choice(key: str) -> None:
    """The handler sees what the machine was chosen with, and what is wanted now."""
    chosen = resource(synthesize(), CHOICE)["Properties"]
    wanted = resource(synthesize(**{key: ANOTHER_OF_EACH[key]}), CHOICE)["Properties"]
    locked = {name: (DEFAULTS | chosen)[name] for name in LOCKED}
    choice = Choice("ami-1", "/dev/sda1", "us-east-1a", locked)
    require_same_settings(choice, chosen)
    with pytest.raises(RefusedError, match=f"{key}={ANOTHER_OF_EACH[key]} .the machine has"):
        require_same_settings(choice, wanted)


def test_what_is_not_set_is_no_change_of_the_machine() -> None:
    """Image and zone are in the template only where somebody set them, so their defaults may
    become others. The other three are in more resources than the choice: theirs must stay."""
    bare = resource(synthesize(), CHOICE)["Properties"]
    assert {"Image", "AvailabilityZone"}.isdisjoint(bare)
    explicit = resource(synthesize(image="ubuntu-22.04", availability_zone="auto"), CHOICE)
    defaults = {"Image": "ubuntu-22.04", "AvailabilityZone": "auto"}
    assert explicit["Properties"].items() >= defaults.items()
    first_release = {"Framework": "mxnet", "DiskGib": "64", "ReadyTimeoutMinutes": "30"}
    assert bare.items() >= first_release.items(), "another default is refused by every machine"


@pytest.mark.parametrize("name", LOCKED)
def test_a_machine_without_a_setting_gets_the_settings_default(name: str) -> None:
    assert DEFAULTS[name] == str(Settings.model_fields[LOCKED[name]].default)


@pytest.mark.parametrize("key", OF_OTHER_STACKS)
def test_settings_of_other_stacks_leave_the_workstation_as_it_is(key: str) -> None:
    changed = synthesize(**{key: ANOTHER_OF_EACH[key]})
    assert changed.to_json() == synthesize().to_json()


@pytest.mark.parametrize("key", ANOTHER_OF_EACH)
def test_a_plan_names_the_setting_and_no_other(key: str) -> None:
    old, new = synthesize().to_json(), synthesize(**{key: ANOTHER_OF_EACH[key]}).to_json()
    stack = SynthesizedStack("GpuWorkstation", new, {}, "", "")
    named = [change.name for change in plan_of_changes(stack, None, old).settings]
    assert named == [key] * (key not in (*OF_OTHER_STACKS, *SYNTH_ONLY))


@pytest.mark.parametrize("kind", ["Custom::QuotaCheck", "Custom::ImageChoice"])
def test_service_tokens_are_pinned(kind: str) -> None:
    for generation in (1, 2):
        template = synthesize(generation=generation)
        token = resource(template, kind)["Properties"]["ServiceToken"]
        (function,) = TemplateGraph(template.to_json()).references(token)
        assert function in LASTING_IDS


def test_the_template_leaves_room_in_a_change_sets_request() -> None:
    """gpustation.plan sends it there; most settings at once make it longest."""
    template = synthesize(public_key=PUBLIC_KEY, ssh_cidr="203.0.113.7/32,198.51.100.0/24")
    assert len(json.dumps(template.to_json(), separators=(",", ":"))) < MAX_TEMPLATE_BYTES * 0.8
