"""The column "changed later" of the settings' table, row by row, on one living machine."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from gpustation.settings import Settings
from localaws import LocalAws
from tests.e2e.cdk_cli import Account, Cdk
from tests.e2e.conftest import G_QUOTA
from tests.synthesis import PUBLIC_KEY

STOP_AND_START = {"instance_type": "g4dn.2xlarge"}
IN_PLACE: dict[str, Any] = {
    "ssh_cidr": "203.0.113.7/32",
    "allow_world_ssh": True,
    "quota": "request",
}
NEXT_BOOT: dict[str, Any] = {"public_key": PUBLIC_KEY, "notebooks": False, "cuda_toolkit": True}
NEW_GENERATION: dict[str, Any] = {
    "framework": "pytorch",
    "image": "ubuntu-24.04",
    "disk_gib": 100,
    "availability_zone": "us-east-1c",
    "ready_timeout_minutes": 60,
}
OF_OTHER_STACKS = {
    *("image_instance_type", "image_retain"),
    *("github_repository", "github_environment", "github_oidc_provider_arn"),
}
"""They leave the workstation's template as it is (tests/infra/test_contract.py)."""


def test_every_setting_has_a_row() -> None:
    rows = {*STOP_AND_START, *IN_PLACE, *NEXT_BOOT, *NEW_GENERATION, "generation"}
    assert rows | OF_OTHER_STACKS == set(Settings.model_fields)


@pytest.fixture(scope="module")
def machine(
    bootstrapped: LocalAws, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Cdk, Account]]:
    """A machine in zone us-east-1a, so that another zone is a change."""
    bootstrapped.control.reset()
    bootstrapped.control.set_quota(G_QUOTA, 8)
    cdk = Cdk(bootstrapped, tmp_path_factory.mktemp("changes"))
    assert cdk.deploy(availability_zone="us-east-1a").status == 0
    yield cdk, Account(bootstrapped)
    bootstrapped.control.reset()
    assert cdk.destroy().status == 0
    assert bootstrapped.leftovers() == []


def settings_of(account: Account) -> dict[str, Any]:
    """The settings that the machine reads at its next boot."""
    pages = account.aws.client("ssm").get_paginator("describe_parameters").paginate()
    names = [p["Name"] for page in pages for p in page["Parameters"] if "Settings" in p["Name"]]
    (name,) = names
    value = account.aws.client("ssm").get_parameter(Name=name)["Parameter"]["Value"]
    found: dict[str, Any] = json.loads(value)
    return found


Machine = tuple[Cdk, Account]


@pytest.mark.parametrize("key", IN_PLACE)
def test_in_place(machine: Machine, key: str) -> None:
    cdk, account = machine
    before, events = account.instance(), account.events(account.instance()["InstanceId"])
    assert cdk.deploy(availability_zone="us-east-1a", **{key: IN_PLACE[key]}).status == 0
    assert account.instance()["InstanceId"] == before["InstanceId"]
    assert account.events(before["InstanceId"]) == events
    if key == "ssh_cidr":
        groups = account.aws.client("ec2").describe_security_groups(
            GroupIds=[before["SecurityGroups"][0]["GroupId"]]
        )
        (rule,) = groups["SecurityGroups"][0]["IpPermissions"]
        assert rule["IpRanges"][0]["CidrIp"] == IN_PLACE[key]


@pytest.mark.parametrize("key", NEXT_BOOT)
def test_at_the_next_boot(machine: Machine, key: str) -> None:
    cdk, account = machine
    before, events = account.instance(), account.events(account.instance()["InstanceId"])
    assert cdk.deploy(availability_zone="us-east-1a", **{key: NEXT_BOOT[key]}).status == 0
    assert account.instance()["InstanceId"] == before["InstanceId"]
    assert account.events(before["InstanceId"]) == events, "neither stopped nor replaced"
    assert settings_of(account)[key] == NEXT_BOOT[key]


def test_the_next_boot_applies_it(machine: Machine) -> None:
    cdk, account = machine
    instance_id = account.instance()["InstanceId"]
    assert cdk.deploy(availability_zone="us-east-1a", public_key=PUBLIC_KEY).status == 0
    keys = account.machine_file(instance_id, "/home/ubuntu/.ssh/authorized_keys")
    assert not keys.exists() or PUBLIC_KEY not in keys.read_text()
    ec2 = account.aws.client("ec2")
    ec2.stop_instances(InstanceIds=[instance_id])
    ec2.start_instances(InstanceIds=[instance_id])
    assert account.aws.control.machine_idle(instance_id)
    assert PUBLIC_KEY in keys.read_text()


@pytest.mark.parametrize("key", NEW_GENERATION)
def test_only_with_a_new_generation(machine: Machine, key: str) -> None:
    cdk, account = machine
    before, events = account.instance(), account.events(account.instance()["InstanceId"])
    refused = cdk.deploy(**{"availability_zone": "us-east-1a", key: NEW_GENERATION[key]})
    assert refused.status != 0
    assert f"{key}={NEW_GENERATION[key]} (the machine has" in refused.output
    assert '"generation": 2' in refused.output
    assert account.stack_status() == "UPDATE_ROLLBACK_COMPLETE"
    assert account.instance()["InstanceId"] == before["InstanceId"]
    assert account.events(before["InstanceId"]) == events


def test_a_type_stops_and_starts_and_keeps_the_disk(machine: Machine) -> None:
    cdk, account = machine
    before, volume = account.instance(), account.root_volume()
    events = account.events(before["InstanceId"])
    changed = cdk.deploy(availability_zone="us-east-1a", **STOP_AND_START)
    assert changed.status == 0, "8 of 8 vCPUs: the running machine's own 4 come free"
    assert "g4dn.2xlarge needs 8 vCPUs, 8 free" in changed.outputs["Quota"]
    after = account.instance()
    assert after["InstanceId"] == before["InstanceId"]
    assert after["InstanceType"] == "g4dn.2xlarge"
    assert account.root_volume() == volume
    assert account.events(before["InstanceId"]) == [*events, "stopped", "started"]


def test_a_bare_deploy_after_one_with_a_setting_never_replaces(machine: Machine) -> None:
    cdk, account = machine
    before, volume = account.instance(), account.root_volume()
    forgotten = cdk.deploy()  # the zone and the type of the deploys before are forgotten
    assert forgotten.status != 0
    assert "availability_zone=auto (the machine has us-east-1a)" in forgotten.output
    assert "a forgotten -c counts" in " ".join(forgotten.output.split())
    assert account.instance()["InstanceId"] == before["InstanceId"]
    assert account.root_volume() == volume


def test_new_scripts_leave_the_machine_alone(machine: Machine, tmp_path: Path, root: Path) -> None:
    import shutil

    cdk, account = machine
    before = account.instance()
    events = account.events(before["InstanceId"])
    scripts = tmp_path / "userdata"
    shutil.copytree(root / "userdata", scripts)
    (scripts / "run.sh").write_text((scripts / "run.sh").read_text() + "\n# a newer version\n")
    old = settings_of(account)["scripts"]["sha256"]
    upgraded = cdk.deploy(
        availability_zone="us-east-1a",
        instance_type=before["InstanceType"],
        scripts=scripts,
    )
    assert upgraded.status == 0
    assert settings_of(account)["scripts"]["sha256"] != old
    assert account.instance()["InstanceId"] == before["InstanceId"]
    assert account.events(before["InstanceId"]) == events
