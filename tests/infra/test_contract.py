"""What a later version must not change unasked: logical ids, user data, service tokens."""

import hashlib
import json
import re
from typing import Any

import pytest

from gpustation.change_set import MAX_TEMPLATE_BYTES
from gpustation.user_data import MAX_BYTES
from tests.synthesis import PUBLIC_KEY, resource, synthesize, user_data

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

ANOTHER_OF_EACH: dict[str, Any] = {
    "instance_type": "g5.xlarge",
    "framework": "pytorch",
    "image": "dlami",
    "disk_gib": 100,
    "availability_zone": "us-east-1b",
    "public_key": PUBLIC_KEY,
    "ssh_cidr": "203.0.113.7/32",
    "allow_world_ssh": True,
    "quota": "request",
    "ready_timeout_minutes": 60,
    "notebooks": False,
    "cuda_toolkit": True,
    "image_instance_type": "g5.xlarge",
    "image_retain": True,
    "github_repository": "octo-org/octo-repo",
    "github_environment": "staging",
    "github_oidc_provider_arn": (
        "arn:aws:iam::123456789012:oidc-provider/token.actions.githubusercontent.com"
    ),
}
OF_OTHER_STACKS = [key for key in ANOTHER_OF_EACH if key.startswith(("image_", "github_"))]


@pytest.mark.parametrize("key", [None, *ANOTHER_OF_EACH])
def test_logical_ids_are_pinned_whatever_the_settings(key: str | None) -> None:
    settings = {key: ANOTHER_OF_EACH[key]} if key else {}
    assert set(synthesize(**settings).to_json()["Resources"]) == GENERATION_1_IDS | LASTING_IDS


def test_another_generation_renames_what_belongs_to_the_machine_and_nothing_else() -> None:
    ids = set(synthesize(generation=2).to_json()["Resources"])
    assert ids > LASTING_IDS
    own = {re.sub(r"[0-9A-F]{8}$", "", name) for name in ids - LASTING_IDS}
    assert own == {
        re.sub(r"[0-9A-F]{8}$", "", name).replace("Generation1", "Generation2")
        for name in GENERATION_1_IDS
    }


USER_DATA_SHA256 = "177353bd2d216446b6f3aa2a7b15c659b42ccdbe8e6c00580664c45c91db8821"


def test_user_data_is_pinned() -> None:
    """Other bytes stop and start every machine that exists: say so in the changelog."""
    text = user_data(synthesize())
    assert hashlib.sha256(text.encode()).hexdigest() == USER_DATA_SHA256


@pytest.mark.parametrize("key", [k for k in ANOTHER_OF_EACH if k != "availability_zone"])
def test_user_data_is_the_same_whatever_the_settings(key: str) -> None:
    assert user_data(synthesize(**{key: ANOTHER_OF_EACH[key]})) == user_data(synthesize())


REFERENCE_BYTES = {"AWS::Region": 20, "Settings": 64, "Handle": 620}
"""The longest values: a wait condition's address with signature and session token has 550."""


def test_user_data_fits_with_room() -> None:
    text = user_data(synthesize())
    size = len(text.encode())
    for name in re.findall(r"<((?:AWS|Generation)[\w:]+)>", text):
        size += next(most for part, most in REFERENCE_BYTES.items() if part in name) - len(name) - 2
    print(f"user data: {size} bytes at most, {MAX_BYTES - size} under the limit of {MAX_BYTES}")
    assert size < MAX_BYTES


@pytest.mark.parametrize("key", ["public_key", "notebooks", "cuda_toolkit"])
def test_what_changes_at_the_next_boot_leaves_the_instance_as_it_is(key: str) -> None:
    changed = resource(synthesize(**{key: ANOTHER_OF_EACH[key]}), "AWS::EC2::Instance")
    assert changed == resource(synthesize(), "AWS::EC2::Instance")


@pytest.mark.parametrize("key", OF_OTHER_STACKS)
def test_settings_of_other_stacks_leave_the_workstation_as_it_is(key: str) -> None:
    changed = synthesize(**{key: ANOTHER_OF_EACH[key]})
    assert changed.to_json() == synthesize().to_json()


@pytest.mark.parametrize("kind", ["Custom::QuotaCheck", "Custom::ImageChoice"])
def test_service_tokens_are_pinned(kind: str) -> None:
    for generation in (1, 2):
        token = resource(synthesize(generation=generation), kind)["Properties"]["ServiceToken"]
        assert token["Fn::GetAtt"][0] in LASTING_IDS


def test_the_template_leaves_room_in_a_change_sets_request() -> None:
    """gpustation.plan sends it there; most settings at once make it longest."""
    template = synthesize(public_key=PUBLIC_KEY, ssh_cidr="203.0.113.7/32,198.51.100.0/24")
    assert len(json.dumps(template.to_json(), separators=(",", ":"))) < MAX_TEMPLATE_BYTES * 0.8
