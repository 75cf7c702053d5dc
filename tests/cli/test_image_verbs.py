"""``image list``, ``use`` and ``delete`` against the embedded AWS."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from gpustation.catalog.names import WORKSTATION_DESCRIPTION
from gpustation.console.statuses import FINDING, NO_ACCESS, USAGE
from gpustation.saved_image import remove
from localaws import LocalAws
from tests.cli.conftest import Terminal, Verb
from tests.support.probe_stack import Stack

UNKNOWN = "ami-0123456789abcdef0"
CDK_JSON = '{\n  "app": "python app.py",\n  "context": {\n    "framework": "mxnet"\n  }\n}\n'


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of a CDK app, and a home without settings."""
    made = tmp_path / "app"
    made.mkdir()
    (made / "cdk.json").write_text(CDK_JSON)
    monkeypatch.chdir(made)
    monkeypatch.setenv("HOME", str(tmp_path))
    return made


@pytest.fixture(scope="module")
def saved(server: LocalAws, deployed: Stack) -> Iterator[str]:
    """An image that was saved from the workstation."""
    from gpustation.saved_image import make

    ec2 = server.client("ec2")
    workstation = make.find_workstation(
        server.client("cloudformation"), server.client("ssm"), ec2, deployed.name
    )
    image = make.save(ec2, workstation, "my work", report=print, poll_seconds=0.1)
    yield image
    server.control.reset()
    if remove.find_image(ec2, image):
        remove.remove(ec2, image)


def context(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / "cdk.json").read_text())["context"]
    return found


def test_an_image_is_listed_with_its_cost_and_the_date_of_the_price(
    verb: Verb, saved: str, deployed: Stack
) -> None:
    ran = verb("image", "list")
    assert ran.rows == [[saved, "saved", "my work", "available", "0", "64", "3.20", "-"]]
    assert "as of 2026-11" in ran.err and "the bill decides" in ran.err
    (one,) = verb("image", "list", "--json").document["images"]
    assert (one["kind"], one["framework"], one["parameter"]) == ("saved", "mxnet", None)
    assert one["saved_from"] == deployed.outputs()["InstanceId"]


def test_a_baked_image_is_listed_by_its_parameter(aws: LocalAws, verb: Verb, saved: str) -> None:
    ec2, ssm = aws.client("ec2"), aws.client("ssm")
    (row,) = ec2.describe_images(ImageIds=[saved])["Images"]
    ec2.delete_tags(Resources=[saved], Tags=[{"Key": "gpustation:saved-from"}])
    ssm.put_parameter(Name="/gpustation/image/mxnet", Value=saved, Type="String")
    ssm.put_parameter(Name="/gpustation/image/mxnet/note", Value=saved, Type="String")
    (one,) = verb("image", "list", "--json").document["images"]
    assert (one["kind"], one["parameter"]) == ("baked", "/gpustation/image/mxnet")
    assert verb("image", "list").rows[0][2] == "/gpustation/image/mxnet"
    refused = verb("image", "delete", saved, "--yes")
    assert refused.status == FINDING
    assert "was not saved from a workstation" in refused.err
    for name in ("/gpustation/image/mxnet", "/gpustation/image/mxnet/note"):
        ssm.delete_parameter(Name=name)
    ec2.create_tags(Resources=[saved], Tags=row["Tags"])


def test_without_an_image_it_says_so(verb: Verb) -> None:
    ran = verb("image", "list", "--region", "eu-west-1")
    assert (ran.status, ran.out) == (0, "")
    assert "no image of a workstation in eu-west-1" in ran.err
    assert verb("image", "list", "--region", "eu-west-1", "--json").document["images"] == []


def test_use_writes_the_image_and_the_next_generation(verb: Verb, saved: str, folder: Path) -> None:
    ran = verb("image", "use", saved, "--yes")
    assert ran.status == 0
    assert context(folder) == {"image": saved, "generation": 2, "framework": "mxnet"}
    assert (folder / "cdk.json").read_text() == CDK_JSON.replace(
        '    "framework"', f'    "image": "{saved}",\n    "generation": 2,\n    "framework"'
    )
    assert f'+    "image": "{saved}",' in ran.out and "next: cdk deploy" in ran.out
    again = verb("image", "use", saved, "--yes", "--json").document
    assert (again["changed"], again["context"]) == (False, {"image": saved, "generation": 2})


def test_use_for_a_stack_that_is_not_there_leaves_the_generation(
    verb: Verb, saved: str, folder: Path
) -> None:
    ran = verb("image", "use", saved, "--name", "bob", "--yes")
    assert context(folder) == {"image": saved, "framework": "mxnet"}
    assert "next: cdk deploy -c name=bob" in ran.out


def test_use_names_a_framework_that_does_not_fit(verb: Verb, saved: str, folder: Path) -> None:
    (folder / "cdk.json").write_text(CDK_JSON.replace("mxnet", "pytorch"))
    assert (
        "contains mxnet, and cdk.json sets framework=pytorch"
        in verb("image", "use", saved, "--yes").err
    )


@pytest.mark.parametrize("answer", ["no", ""])
def test_use_asks(
    verb: Verb, saved: str, folder: Path, monkeypatch: pytest.MonkeyPatch, answer: str
) -> None:
    monkeypatch.setattr("sys.stdin", Terminal([answer]))
    ran = verb("image", "use", saved)
    assert ran.status == FINDING
    assert f'+    "image": "{saved}",' in ran.out, "the change is shown first"
    assert (folder / "cdk.json").read_text() == CDK_JSON


def test_nothing_is_done_without_a_terminal_and_without_yes(
    verb: Verb, saved: str, folder: Path, aws: LocalAws
) -> None:
    for words in (("use", saved), ("delete", saved), ("undo", saved)):
        ran = verb("image", *words)
        assert ran.status == FINDING
        assert "--yes" in ran.err
    assert (folder / "cdk.json").read_text() == CDK_JSON
    assert remove.find_image(aws.client("ec2"), saved)


@pytest.mark.parametrize("text", [None, "{"])
def test_use_needs_a_cdk_json(verb: Verb, saved: str, folder: Path, text: str | None) -> None:
    (folder / "cdk.json").unlink()
    if text is not None:
        (folder / "cdk.json").write_text(text)
    ran = verb("image", "use", saved, "--yes")
    assert ran.status == FINDING
    assert "cdk.json" in ran.err and ran.err.count("\n") == 1


def test_an_image_that_is_not_there_is_not_used(verb: Verb, folder: Path) -> None:
    ran = verb("image", "use", UNKNOWN, "--yes")
    assert ran.status == FINDING
    assert "has no such image in us-east-1" in ran.err
    assert verb("image", "use", "ami-1").status == USAGE
    assert (folder / "cdk.json").read_text() == CDK_JSON


def test_an_image_in_use_is_not_deleted(aws: LocalAws, verb: Verb, saved: str) -> None:
    ec2 = aws.client("ec2")
    template = ec2.create_launch_template(
        LaunchTemplateName="uses-it", LaunchTemplateData={"ImageId": saved}
    )["LaunchTemplate"]["LaunchTemplateId"]
    (machine,) = ec2.run_instances(
        ImageId=saved, InstanceType="g4dn.xlarge", MinCount=1, MaxCount=1
    )["Instances"]
    ran = verb("image", "delete", saved, "--yes")
    assert ran.status == FINDING
    assert f"machine {machine['InstanceId']}, launch template {template}" in ran.err
    assert verb("image", "list").rows[0][7].startswith("machine ")
    assert remove.find_image(ec2, saved)
    ec2.terminate_instances(InstanceIds=[machine["InstanceId"]])
    ec2.delete_launch_template(LaunchTemplateId=template)


def test_an_image_of_a_stack_is_not_deleted(aws: LocalAws, verb: Verb, saved: str) -> None:
    stack = Stack(aws, "GpuWorkstation-uses")
    parameter = {"Type": "AWS::SSM::Parameter", "Properties": {"Type": "String", "Value": "x"}}
    template = {
        "Description": WORKSTATION_DESCRIPTION,
        "Resources": {"P": parameter},
        "Outputs": {"ImageId": {"Value": saved}},
    }
    assert stack.deploy("create_stack", template) == "CREATE_COMPLETE"
    ran = verb("image", "delete", saved, "--yes")
    stack.delete()
    assert ran.status == FINDING
    assert "is used by stack GpuWorkstation-uses" in ran.err


def test_an_unused_image_is_deleted_with_snapshots(aws: LocalAws, verb: Verb, saved: str) -> None:
    ec2 = aws.client("ec2")
    copy = ec2.create_image(
        InstanceId=aws.client("ec2").describe_images(ImageIds=[saved])["Images"][0][
            "SourceInstanceId"
        ],
        Name="another",
        TagSpecifications=[
            {
                "ResourceType": kind,
                "Tags": [
                    {"Key": "gpustation", "Value": "GpuWorkstation"},
                    {"Key": "gpustation:saved-from", "Value": "i-1"},
                ],
            }
            for kind in ("image", "snapshot")
        ],
    )["ImageId"]
    ec2.get_waiter("image_available").wait(ImageIds=[copy], WaiterConfig={"Delay": 1})
    document = verb("image", "delete", copy, "--yes", "--json").document
    assert document["image"] == copy
    assert len(document["deleted"]) == 1
    assert remove.find_image(ec2, copy) is None


@pytest.mark.parametrize(
    ("action", "words"),
    [
        ("ec2:DescribeImages", ("list",)),
        ("ssm:GetParametersByPath", ("list",)),
        ("ec2:DescribeInstances", ("delete", UNKNOWN, "--yes")),
    ],
)
def test_a_denied_call_names_the_permission(
    aws: LocalAws, verb: Verb, action: str, words: tuple[str, ...]
) -> None:
    aws.control.fault(action.partition(":")[2], "deny", times=9)
    ran = verb("image", *words)
    assert ran.status == NO_ACCESS
    assert action in ran.err or action.partition(":")[2] in ran.err


def test_throttling_is_waited_for(aws: LocalAws, verb: Verb) -> None:
    aws.control.fault("DescribeImages", "throttle", times=2)
    assert verb("image", "list").status == 0


def test_without_credentials_it_says_how_to_get_some(
    verb: Verb, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    ran = verb("image", "list")
    assert ran.status == NO_ACCESS
    assert "aws configure" in ran.err
