"""``Ci/GpuDeployRole``: its life, and a whole deploy and destroy with nothing but its session.

Only the CLI takes the bootstrap's roles from that session, one after another.
"""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from localaws import LocalAws
from tests.e2e.conftest import G_QUOTA
from tests.e2e.github_job import (
    ISSUER,
    REPOSITORY,
    SUBJECT,
    client,
    outputs,
    session_of,
    trusted_subject,
)
from tests.support.cdk_cli import Account, Cdk, Run, delete_stack
from tests.support.synthesis import make_app

STACK = "Ci/GpuDeployRole"


@pytest.fixture
def role(aws: LocalAws, cdk: Cdk, tmp_path: Path) -> Iterator["RoleStack"]:
    stack = RoleStack(cdk, tmp_path)
    yield stack
    delete_stack(aws, "GpuDeployRole")


class RoleStack:
    """The stack, deployed by the account's owner."""

    def __init__(self, cdk: Cdk, folder: Path) -> None:
        self._cdk = cdk
        self._folder = folder
        self._count = 0

    def deploy(self, **settings: Any) -> Run:
        self._count += 1
        assembly = str(self._folder / f"role-{self._count}")
        make_app(outdir=assembly, **settings).synth()
        words = ("--require-approval", "never", "--progress", "events")
        return self._cdk.run("deploy", STACK, "--app", assembly, *words)

    def destroy(self) -> Run:
        """Without any setting, as somebody who has long forgotten them."""
        return self._cdk.destroy_app(STACK)


@pytest.mark.tier("all")
def test_created_moved_to_another_environment_and_destroyed(aws: LocalAws, role: RoleStack) -> None:
    assert role.deploy(github_repository=REPOSITORY).status == 0
    arn = outputs(aws, "GpuDeployRole")["DeployRoleArn"]
    assert outputs(aws, "GpuDeployRole")["Subject"] == SUBJECT
    assert trusted_subject(aws, arn) == SUBJECT
    assert {row.kind for row in aws.inventory()} == {"stack", "role", "identity provider"}
    (provider,) = [row.id for row in aws.inventory() if row.kind == "identity provider"]
    iam = aws.client("iam")
    tags = {"Key": "gpustation", "Value": "GpuDeployRole"}
    assert tags in iam.get_open_id_connect_provider(OpenIDConnectProviderArn=provider)["Tags"]
    assert tags in iam.list_role_tags(RoleName=arn.rpartition("/")[2])["Tags"]

    assert role.deploy(github_repository=REPOSITORY, github_environment="staging").status == 0
    assert outputs(aws, "GpuDeployRole")["DeployRoleArn"] == arn, "the variable in GitHub stays"
    assert trusted_subject(aws, arn) == f"repo:{REPOSITORY}:environment:staging"

    assert role.destroy().status == 0
    assert aws.inventory() == []


@pytest.mark.tier("all")
def test_fails_without_a_repository_and_leaves_what_is_there(
    aws: LocalAws, role: RoleStack
) -> None:
    assert role.deploy(github_repository=REPOSITORY).status == 0
    arn = outputs(aws, "GpuDeployRole")["DeployRoleArn"]
    refused = role.deploy()
    assert refused.status != 0
    assert "pass -c github_repository=owner/name" in refused.output
    assert trusted_subject(aws, arn) == SUBJECT


@pytest.mark.tier("all")
def test_the_accounts_own_provider_is_used_and_stays(aws: LocalAws, role: RoleStack) -> None:
    iam = aws.client("iam")
    provider = iam.create_open_id_connect_provider(Url=ISSUER, ClientIDList=["sts.amazonaws.com"])[
        "OpenIDConnectProviderArn"
    ]
    try:
        refused = role.deploy(github_repository=REPOSITORY)
        assert refused.status != 0
        assert "already exists" in refused.output
        assert role.destroy().status == 0
        known = {"github_repository": REPOSITORY, "github_oidc_provider_arn": provider}
        assert role.deploy(**known).status == 0
        arn = outputs(aws, "GpuDeployRole")["DeployRoleArn"]
        trust = iam.get_role(RoleName=arn.rpartition("/")[2])["Role"]["AssumeRolePolicyDocument"]
        assert trust["Statement"][0]["Principal"] == {"Federated": provider}
        assert role.destroy().status == 0
        assert [row.id for row in aws.inventory()] == [provider]
    finally:
        iam.delete_open_id_connect_provider(OpenIDConnectProviderArn=provider)


def test_its_session_is_enough_to_deploy_to_plan_to_compare_and_to_destroy(
    aws: LocalAws, role: RoleStack, account: Account, tmp_path: Path
) -> None:
    assert role.deploy(github_repository=REPOSITORY).status == 0
    session = session_of(aws, outputs(aws, "GpuDeployRole")["DeployRoleArn"])
    job = Cdk(aws, tmp_path / "job", session)
    (tmp_path / "job").mkdir()
    aws.control.set_quota(G_QUOTA, 8)
    deployed = job.deploy()
    assert deployed.status == 0
    assert deployed.outputs["Ready"]
    assert account.instance()["State"]["Name"] == "running"
    (seen,) = client(aws, session, "cloudformation").describe_stacks(StackName="GpuWorkstation")[
        "Stacks"
    ]
    assert {row["OutputKey"] for row in seen["Outputs"]} == set(deployed.outputs)
    compared = job.run("diff", "--app", str(tmp_path / "job" / "assembly-1"))
    assert compared.status == 0
    assert "Number of stacks with differences: 0" in compared.output
    planned = subprocess.run(
        [
            *(sys.executable, "-m", "gpustation", "plan"),
            *("--app", str(tmp_path / "job" / "assembly-1")),
        ],
        env=aws.environment | session,
        capture_output=True,
        text=True,
        check=False,
    )
    assert planned.returncode == 0, planned.stdout + planned.stderr
    again = job.deploy(ssh_cidr="203.0.113.7/32")
    assert again.status == 0
    assert job.destroy().status == 0
    assert account.instances() == []
