"""Create, no-op, stop, start, destroy: through app.py and the commands of the outputs.

Only here do app.py, the CLI and the printed commands work on one another's results.
"""

import os
import subprocess
from pathlib import Path

import pytest

from localaws import LocalAws
from tests.e2e.conftest import G_QUOTA
from tests.support.cdk_cli import Account, Cdk, assert_nothing_left
from tests.support.made_once import aws_cli


def paste(command: str, aws: LocalAws) -> subprocess.CompletedProcess[str]:
    """Runs a command as pasted into a fresh shell with credentials."""
    environment = aws.environment
    path = f"{aws_cli()}{os.pathsep}{environment['PATH']}"
    return subprocess.run(
        ["bash", "-c", command],
        env=environment | {"PATH": path},
        capture_output=True,
        text=True,
        check=False,
    )


def test_a_workstation_from_first_to_last(aws: LocalAws, tmp_path: Path, account: Account) -> None:
    """At the CLI's own pace, which all other tests shorten."""
    cdk = Cdk(aws, tmp_path, own_pace=True)
    created = cdk.deploy_app("-c", "ssh_cidr=203.0.113.7/32", "-c", "disk_gib=80")
    assert created.status == 0
    outputs = created.outputs
    instance = account.instance()
    assert outputs["InstanceId"] == instance["InstanceId"]
    assert outputs["AvailabilityZone"] == instance["Placement"]["AvailabilityZone"]
    assert outputs["ImageId"] == instance["ImageId"]
    assert outputs["Quota"].startswith("g4dn.xlarge needs 4 vCPUs, 8 free")
    assert outputs["Ready"].startswith("simulated, no machine was booted: 1 x ")
    assert "MXNet 1.9.1" in outputs["Ready"]
    assert all(f"Generation1/{step}Ready" in created.output for step in ("Driver", "Gpu"))
    at_login = account.machine_file(outputs["InstanceId"], "/etc/motd.d/gpustation").read_text()
    assert "g4dn.xlarge, 0.526 USD per hour (us-east-1 list price of 2026-11-20)" in at_login

    volume = aws.client("ec2").describe_volumes(VolumeIds=[account.root_volume()])["Volumes"][0]
    assert (volume["Size"], volume["VolumeType"], volume["Encrypted"]) == (80, "gp3", True)
    for tagged in (instance, volume):
        tags = {tag["Key"]: tag["Value"] for tag in tagged["Tags"]}
        assert tags["gpustation"] == "GpuWorkstation"

    again = cdk.deploy_app("-c", "ssh_cidr=203.0.113.7/32", "-c", "disk_gib=80")
    assert again.status == 0
    assert "no changes" in again.output
    assert again.outputs == outputs

    assert paste(outputs["StopCommand"], aws).returncode == 0
    assert account.instance()["State"]["Name"] == "stopped"
    assert paste(outputs["StartCommand"], aws).returncode == 0
    assert aws.control.machine_idle(outputs["InstanceId"])
    assert account.events(outputs["InstanceId"]) == ["launched", "stopped", "started"]

    assert cdk.destroy_app().status == 0
    assert account.instances() == []
    assert_nothing_left(aws)


def test_no_output_tag_or_log_holds_the_token(aws: LocalAws, cdk: Cdk, account: Account) -> None:
    outputs = cdk.deploy().outputs
    token_file = account.machine_file(outputs["InstanceId"], "/var/lib/gpustation/jupyter-token")
    token = token_file.read_text().strip()
    assert len(token) >= 32
    assert token not in str(outputs)
    assert token not in aws.console(outputs["InstanceId"])
    for log in account.machine_file(outputs["InstanceId"], "/var/log/gpustation").glob("*"):
        assert token not in log.read_text()


@pytest.mark.tier("all")
def test_destroy_works_whatever_the_settings_have_become(
    aws: LocalAws, cdk: Cdk, account: Account
) -> None:
    wrong = (
        *("instance_type=p5.48xlarge", "disk_gib=abc", "public_key=/gone/id.pub"),
        *("spot=true", "ssh_cidr=0.0.0.0/0"),
        *("image=${Token[TOKEN.99999]}", "${Token[TOKEN.99999]}=x"),
    )
    broken = [word for setting in wrong for word in ("-c", setting)]
    assert cdk.deploy().status == 0
    refused = cdk.deploy_app(*broken)
    assert refused.status != 0
    assert "Traceback" not in refused.output
    assert account.events(account.instance()["InstanceId"]) == ["launched"]
    assert cdk.destroy_app(*broken).status == 0
    assert account.instances() == []


@pytest.mark.tier("all")
def test_exactly_enough_quota_is_enough(aws: LocalAws, cdk: Cdk, account: Account) -> None:
    aws.control.set_quota(G_QUOTA, 4)
    assert cdk.deploy().status == 0
    assert account.instance()["State"]["Name"] == "running"
