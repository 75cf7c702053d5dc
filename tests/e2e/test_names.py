"""Two people in one account: whose stack a command means, and that the other's stays as it is.

Only the CLI itself shows what it selects, and only a deploy that nobody's stack disturbs another's.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from gpustation.leftovers.ownership import Names
from localaws import LocalAws
from tests.e2e.test_synth import synth
from tests.support.cdk_cli import Account, Cdk, delete_stack, gpustation

ANNA = "GpuWorkstation-anna"


@pytest.mark.tier("all")
def test_one_persons_deploy_and_destroy_leave_the_others_machine(
    aws: LocalAws, cdk: Cdk, account: Account
) -> None:
    mine = cdk.deploy()
    assert mine.status == 0, mine.output
    theirs = cdk.assembly(name="anna", instance_type="g5.xlarge")
    try:
        made = cdk.deploy_app(ANNA, "--app", theirs)
        assert made.status == 0, made.output
        assert f"{ANNA}: " in made.output
        machines = {
            tag["Value"]: one["InstanceId"]
            for one in account.instances()
            for tag in one["Tags"]
            if tag["Key"] == "gpustation"
        }
        assert set(machines) == {"GpuWorkstation", ANNA}
        assert machines["GpuWorkstation"] == mine.outputs["InstanceId"]
        planned = gpustation(aws, "plan", "--app", theirs)
        assert planned.stdout.startswith(f"{ANNA}: nothing changes")
        saved = gpustation(aws, "image", "save", "--stack", ANNA, "--yes")
        assert "and run: cdk deploy -c name=anna (" in saved.stdout, saved.stderr
        (image,) = aws.client("ec2").describe_images(Owners=["self"])["Images"]
        assert image["Name"].startswith(f"{ANNA}-")
        gpustation(aws, "image", "undo", image["ImageId"], "--yes")
        # A role that CloudFormation named is proof, also where it had to cut the stack's name
        roles = aws.client("iam").list_roles()["Roles"]
        of_anna = [role["RoleName"] for role in roles if role["RoleName"].startswith(ANNA)]
        assert of_anna and all(Names().generated(name) for name in of_anna)

        missed = cdk.destroy_app("GpuWorkstation-*", "--app", cdk.assembly())
        assert "GpuWorkstation-*" in missed.output
        gone = cdk.destroy_app(ANNA, "--app", theirs)
        assert gone.status == 0, gone.output
    finally:
        delete_stack(aws, ANNA)
    assert account.instance()["InstanceId"] == mine.outputs["InstanceId"]
    assert account.events(mine.outputs["InstanceId"]) == ["launched"]


@pytest.mark.tier("all")
def test_a_wrong_name_selects_nobodys_stack(tmp_path: Path) -> None:
    refused = synth(tmp_path / "home", "--quiet", "-c", "Name=anna")
    assert refused.returncode != 0
    assert "Name=anna: no such setting; did you mean name?" in refused.stderr
    assert "Traceback" not in refused.stderr
    assert not list((tmp_path / "home" / "out").glob("*.template.json"))


@pytest.mark.tier("all")
def test_a_name_of_the_persons_own_configuration_is_read(tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    (home / ".cdk.json").write_text(json.dumps({"context": {"name": "anna"}}))
    done = synth(home, "--quiet")
    assert done.returncode == 0, done.stderr
    made = {path.name for path in (home / "out").rglob("*.template.json")}
    assert f"{ANNA}.template.json" in made
    assert sum("GpuImageanna" in one for one in made) == 1, made
