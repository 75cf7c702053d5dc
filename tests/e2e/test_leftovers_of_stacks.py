"""The leftovers' checker against the real stacks: what lives, what let go, what stays.

Only stacks that lived show that the checker's names and tags are those that a deploy gives.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from aws_cdk import RemovalPolicies

from gpustation.leftovers import Result, find_leftovers
from gpustation.saved_image.make import find_workstation, save
from localaws import LocalAws
from tests.e2e.conftest import G_QUOTA
from tests.support.cdk_cli import STACK, Account, Cdk, delete_stack, gpustation
from tests.support.made_once import aws_cli
from tests.support.synthesis import make_app

ROOT = Path(__file__).resolve().parents[2]
IMAGE_STACK = "Image/GpuImage"
WATCHED = {
    "stop_at": "02:30 Europe/Berlin",
    "monthly_budget_usd": 20,
    "budget_email": "a@example.com",
}
ONE_BUILD = {"component", "built image"}
"""Kinds that the inventory lists by version, and the checker by build, which is what exists."""


@pytest.fixture
def session(aws: LocalAws, monkeypatch: pytest.MonkeyPatch) -> boto3.session.Session:
    for name, value in aws.exports.items():
        monkeypatch.setenv(name, value)
    return boto3.session.Session()


@pytest.fixture(autouse=True)
def no_image(aws: LocalAws) -> Iterator[None]:
    """The image's stack goes as well; the fixture of the workstation knows only its own."""
    yield
    delete_stack(aws, "GpuImage")


def run(aws: LocalAws, *words: str) -> subprocess.CompletedProcess[str]:
    return gpustation(aws, "leftovers", *words)


def paste(aws: LocalAws, *commands: str) -> None:
    """All of them into one shell, which ends at the first that fails."""
    path = f"{aws_cli()}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        ["bash", "-ec", "\n".join(commands)],
        env=aws.environment | {"PATH": path},
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def ids(found: Result) -> list[tuple[str, str]]:
    return [(row.kind, row.id) for row in found.rows]


def only_bootstrap(found: Result) -> bool:
    return found.complete and [row.kind for row in found.rows] == ["stack", "bucket"]


def test_living_stacks_own_all_that_they_made(
    aws: LocalAws, cdk: Cdk, session: boto3.session.Session
) -> None:
    assert cdk.deploy(ssh_cidr="203.0.113.7/32", **WATCHED).status == 0
    assert cdk.deploy_app(IMAGE_STACK).status == 0
    found = find_leftovers(session)
    assert only_bootstrap(found), found
    assert all(row.stays for row in found.rows)
    shown = run(aws)
    assert shown.returncode == 0, shown.stdout + shown.stderr
    assert "CDKToolkit" in shown.stdout
    assert shown.stdout.endswith("Nothing is left except what is kept on purpose.\n")


def letting_go(folder: Path, **settings: Any) -> str:
    """An assembly whose stacks keep every resource when they are deleted."""
    app = make_app(outdir=str(folder), **settings)
    for scope in (app, app.node.find_child("Image")):  # what is said of an app ends at a stage
        RemovalPolicies.of(scope).retain()
    app.synth()
    return str(folder)


@pytest.mark.tier("all")
def test_whatever_stacks_leave_behind_is_found_and_can_be_removed(
    aws: LocalAws, cdk: Cdk, session: boto3.session.Session, tmp_path: Path
) -> None:
    app = letting_go(tmp_path / "kept", ssh_cidr="203.0.113.7/32", **WATCHED)
    for stack in ("GpuWorkstation", IMAGE_STACK):
        assert cdk.deploy_app("--app", app, stack).status == 0
        assert cdk.destroy_app("--app", app, stack).status == 0
    inventory = aws.inventory()
    # Subscriptions are deleted with their topic
    listed = {(row.kind, row.id) for row in inventory if row.kind != "subscription"}
    assert {"schedule", "schedule group", "rule", "topic", "table"} <= {
        row.kind for row in inventory
    }
    assert len(listed) > 30
    found = find_leftovers(session)
    left = {
        (row.kind, row.id.rpartition("/")[0] if row.kind in ONE_BUILD else row.id)
        for row in found.left
    }
    assert listed - left <= main_tables(aws)
    assert found.usd_per_month > 384
    shown = run(aws)
    assert shown.returncode == 1
    paste(aws, *(row.removal for row in found.left))
    assert aws.inventory() == []
    assert only_bootstrap(find_leftovers(session))


def main_tables(aws: LocalAws) -> set[tuple[str, str]]:
    """A VPC's main route table comes and goes with it, and the inventory lists it."""
    tables = aws.client("ec2").describe_route_tables()["RouteTables"]
    main = [one for one in tables if any(a["Main"] for a in one["Associations"])]
    return {("route table", one["RouteTableId"]) for one in main}


@pytest.mark.tier("all")
def test_stack_that_was_refused_is_a_leftover_until_it_is_deleted(
    aws: LocalAws, cdk: Cdk, account: Account, session: boto3.session.Session
) -> None:
    aws.control.set_quota(G_QUOTA, 3)
    assert cdk.deploy().status != 0
    assert account.stack_status() == "ROLLBACK_COMPLETE"
    (row,) = find_leftovers(session).left
    assert (row.kind, row.id, row.usd_per_month) == ("stack", "GpuWorkstation", 0.0)
    assert "it can only be deleted" in row.ours
    paste(aws, row.removal)
    assert only_bootstrap(find_leftovers(session))


@pytest.mark.tier("all")
def test_saved_image_stays_and_does_not_count(
    aws: LocalAws, cdk: Cdk, session: boto3.session.Session
) -> None:
    assert cdk.deploy().status == 0
    ec2 = aws.client("ec2")
    machine = find_workstation(
        *(aws.client(name) for name in ("cloudformation", "ssm", "ec2")), STACK
    )
    image = save(ec2, machine, "mine", report=print, poll_seconds=0.1)
    for _ in range(2):
        found = find_leftovers(session)
        assert (found.left, found.not_checked) == ((), ())
        kept = {row.kind: row for row in found.staying}
        assert kept["image"].id == image
        assert f"gpustation image undo {image}" in kept["image"].stays
        assert kept["snapshot"].usd_per_month == pytest.approx(64 * 0.05)
        assert "a person saved it" in kept["snapshot"].stays
        assert cdk.destroy().status == 0
    paste(aws, kept["image"].removal, kept["snapshot"].removal)
    assert only_bootstrap(find_leftovers(session))


@pytest.mark.tier("all")
def test_image_that_was_to_be_retained_stays_after_its_stack(
    aws: LocalAws, cdk: Cdk, session: boto3.session.Session
) -> None:
    assert cdk.deploy_app(IMAGE_STACK, "-c", "image_retain=true").status == 0
    assert cdk.destroy_app(IMAGE_STACK).status == 0
    found = find_leftovers(session)
    assert found.left == ()
    kept = [row for row in found.staying if row.kind in ("image", "snapshot")]
    assert [row.stays for row in kept] == [
        "the stack GpuImage was deployed with image_retain=true"
    ] * 2
    paste(aws, *(row.removal for row in kept))
    assert only_bootstrap(find_leftovers(session))
