"""The column "changed later" of the settings' table, through the CDK CLI, on one living machine.

Key by key it is shown on templates (tests/infra/test_contract.py) and with the handlers
(tests/unit); only here does CloudFormation's own update of a stack meet the machine.
"""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from localaws import LocalAws
from tests.e2e.conftest import G_QUOTA
from tests.support.cdk_cli import STACK, Account, Cdk, assert_nothing_left, delete_stack
from tests.support.probe_stack import Stack
from tests.support.settings_table import IN_PLACE, NEW_GENERATION, NEXT_BOOT, STOP_AND_START
from tests.support.synthesis import PUBLIC_KEY

BEFORE = {"availability_zone": "us-east-1a"}
"""So that another zone is a change."""


@pytest.fixture(scope="module")
def created(
    bootstrapped: LocalAws, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Cdk, dict[str, Any]]]:
    """A machine, and the template that it was made with."""
    bootstrapped.control.reset()
    bootstrapped.control.set_quota(G_QUOTA, 8)
    folder = tmp_path_factory.mktemp("changes")
    cdk = Cdk(bootstrapped, folder)
    assembly = Path(cdk.assembly(**BEFORE))
    assert cdk.deploy_app("--app", str(assembly)).status == 0
    yield cdk, json.loads((assembly / f"{STACK}.template.json").read_text())
    bootstrapped.control.reset()
    delete_stack(bootstrapped, STACK)
    assert_nothing_left(bootstrapped)


@pytest.fixture
def cdk(created: tuple[Cdk, dict[str, Any]]) -> Iterator[Cdk]:
    """The CLI; afterwards the stack is as it was, whatever the test made of it."""
    cdk, template = created
    yield cdk
    stack = Stack(cdk.aws, STACK)
    assert stack.restore(template) == "UPDATE_COMPLETE"


@pytest.fixture
def account(cdk: Cdk) -> Account:
    return Account(cdk.aws)


def settings_of(account: Account) -> dict[str, Any]:
    """The settings that the machine reads at its next boot."""
    pages = account.aws.client("ssm").get_paginator("describe_parameters").paginate()
    names = [p["Name"] for page in pages for p in page["Parameters"] if "Settings" in p["Name"]]
    (name,) = names
    value = account.aws.client("ssm").get_parameter(Name=name)["Parameter"]["Value"]
    found: dict[str, Any] = json.loads(value)
    return found


def test_the_machine_runs_on_and_reads_at_its_next_boot_what_changed(
    cdk: Cdk, account: Account
) -> None:
    before, events = account.instance(), account.events(account.instance()["InstanceId"])
    deployed = cdk.deploy(**BEFORE, **IN_PLACE, **NEXT_BOOT)
    assert deployed.status == 0
    assert account.instance()["InstanceId"] == before["InstanceId"]
    assert account.events(before["InstanceId"]) == events, "neither stopped nor replaced"
    ec2 = account.aws.client("ec2")
    (group,) = ec2.describe_security_groups(GroupIds=[before["SecurityGroups"][0]["GroupId"]])[
        "SecurityGroups"
    ]
    assert group["IpPermissions"][0]["IpRanges"][0]["CidrIp"] == IN_PLACE["ssh_cidr"]
    assert settings_of(account).items() >= NEXT_BOOT.items()

    keys = account.machine_file(before["InstanceId"], "/home/ubuntu/.ssh/authorized_keys")
    assert not keys.exists() or PUBLIC_KEY not in keys.read_text()
    ec2.stop_instances(InstanceIds=[before["InstanceId"]])
    ec2.start_instances(InstanceIds=[before["InstanceId"]])
    assert account.aws.control.machine_idle(before["InstanceId"])
    assert PUBLIC_KEY in keys.read_text()


def test_what_only_a_new_generation_changes_is_refused_by_name(cdk: Cdk, account: Account) -> None:
    before, events = account.instance(), account.events(account.instance()["InstanceId"])
    refused = cdk.deploy(**BEFORE | NEW_GENERATION)
    assert refused.status != 0
    text = " ".join(refused.output.split())
    for key, value in NEW_GENERATION.items():
        assert f"{key}={value} (the machine has" in text
    assert '"generation": 2' in text
    assert account.stack_status() == "UPDATE_ROLLBACK_COMPLETE"
    assert account.instance()["InstanceId"] == before["InstanceId"]
    assert account.events(before["InstanceId"]) == events


def test_a_type_stops_and_starts_and_keeps_the_disk(cdk: Cdk, account: Account) -> None:
    before, volume = account.instance(), account.root_volume()
    events = account.events(before["InstanceId"])
    changed = cdk.deploy(**BEFORE, **STOP_AND_START)
    assert changed.status == 0, "8 of 8 vCPUs: the running machine's own 4 come free"
    assert "g4dn.2xlarge needs 8 vCPUs, 8 free" in changed.outputs["Quota"]
    after = account.instance()
    assert after["InstanceId"] == before["InstanceId"]
    assert after["InstanceType"] == "g4dn.2xlarge"
    assert account.root_volume() == volume
    assert account.events(before["InstanceId"]) == [*events, "stopped", "started"]


def test_a_bare_deploy_after_one_with_a_setting_never_replaces(cdk: Cdk, account: Account) -> None:
    before, volume = account.instance(), account.root_volume()
    forgotten = cdk.deploy()  # the zone of the first deploy is forgotten
    assert forgotten.status == 0, "what is not set is what the machine has"
    refused = cdk.deploy(availability_zone="auto")
    assert refused.status != 0
    assert "availability_zone=auto (the machine has us-east-1a)" in refused.output
    assert "a forgotten -c is one too" in " ".join(refused.output.split())
    assert account.instance()["InstanceId"] == before["InstanceId"]
    assert account.root_volume() == volume


def test_new_scripts_leave_the_machine_alone(
    cdk: Cdk, account: Account, tmp_path: Path, root: Path
) -> None:
    before = account.instance()
    events = account.events(before["InstanceId"])
    scripts = tmp_path / "userdata"
    shutil.copytree(root / "userdata", scripts)
    (scripts / "run.sh").write_text((scripts / "run.sh").read_text() + "\n# a newer version\n")
    old = settings_of(account)["scripts"]["sha256"]
    assert cdk.deploy(**BEFORE, scripts=scripts).status == 0
    assert settings_of(account)["scripts"]["sha256"] != old
    assert account.instance()["InstanceId"] == before["InstanceId"]
    assert account.events(before["InstanceId"]) == events
