"""The stacks of the last release, updated by today's code.

Only here do the old template and its handlers, as they were released, meet today's: the handlers
alone are shown in tests/unit, and today's templates in tests/infra.
"""

import hashlib
import json
import re
from pathlib import Path

import pytest

from gpustation.synth.archives import scripts_tar
from localaws import LocalAws
from tests.support.assembly import bucket
from tests.support.cdk_cli import STACK, Account, Cdk
from tests.support.probe_stack import Stack
from tests.support.synthesis import ROOT
from tests.support.template_graph import TemplateGraph

CHECK, CHOICE = "QuotaCheckB2735ED9", "Generation1ImageChoice092B6F83"
RELEASES = sorted((ROOT / "tests" / "fixtures").glob("release-*"))
"""One folder per release: the template of bare settings as ``cdk synth`` wrote it, and the handlers
that it names, deflated."""


def publish(aws: LocalAws, key: str, content: bytes) -> None:
    aws.client("s3").put_object(Bucket=bucket(aws), Key=key, Body=content)


def deploy(aws: LocalAws, release: Path) -> Stack:
    """The release's stack as a person left it.

    Its handlers are the released ones. What runs on its machine are today's scripts, because the
    released ones would be 700 kB here: an update of the stack never touches the machine's disk.
    """
    text = (release / f"{STACK}.template.json").read_text()
    graph = TemplateGraph(json.loads(text))
    functions = graph.of_type("AWS::Lambda::Function").values()
    (handlers,) = {function["Properties"]["Code"]["S3Key"] for function in functions}
    publish(aws, handlers, (release / "handlers.zip").read_bytes())
    (settings,) = graph.of_type("AWS::SSM::Parameter").values()
    (released,) = set(re.findall(r"\b[0-9a-f]{64}\b", json.dumps(settings)))
    scripts = scripts_tar(ROOT / "userdata")
    today = hashlib.sha256(scripts).hexdigest()
    publish(aws, f"{today}.tar", scripts)
    stack = Stack(aws, STACK, patience=120)
    status = stack.deploy("create_stack", json.loads(text.replace(released, today)))
    assert status == "CREATE_COMPLETE", stack.events()
    return stack


def test_there_is_a_release() -> None:
    assert RELEASES


@pytest.mark.parametrize("release", RELEASES, ids=lambda release: release.name)
def test_a_bare_deploy_updates_the_stack_and_keeps_the_machine(
    aws: LocalAws, cdk: Cdk, account: Account, release: Path
) -> None:
    stack = deploy(aws, release)
    before, volume = account.instance(), account.root_volume()
    ids = {name: stack.physical_id(name) for name in (CHECK, CHOICE)}
    updated = cdk.deploy()
    assert updated.status == 0
    assert updated.outputs["InstanceId"] == before["InstanceId"]
    assert account.instance()["InstanceId"] == before["InstanceId"]
    assert account.root_volume() == volume
    # Once for the new user data, as the changelog says; never replaced
    assert account.events(before["InstanceId"]) == ["launched", "stopped", "started"]
    assert {name: stack.physical_id(name) for name in ids} == ids
    # The check was called again: the released one gave no price
    assert aws.control.machine_idle(before["InstanceId"])
    at_login = account.machine_file(before["InstanceId"], "/etc/motd.d/gpustation").read_text()
    assert "0.526 USD per hour (us-east-1 list price of 2026-11-20)" in at_login
    # What the machine has is still known: other values are refused, by today's handlers
    refused = cdk.deploy(image="ubuntu-24.04", disk_gib=100)
    assert refused.status != 0
    text = " ".join(refused.output.split())
    assert "image=ubuntu-24.04 (the machine has ubuntu-22.04)" in text
    assert "disk_gib=100 (the machine has 64)" in text
    assert account.instance()["InstanceId"] == before["InstanceId"]
