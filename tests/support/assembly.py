"""Stacks of the app by the plain CloudFormation API: templates, their files, what is changed."""

from __future__ import annotations

import functools
import json
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from localaws import LocalAws
from tests.support import cdk_cli as everywhere
from tests.support.probe_stack import Stack
from tests.support.synthesis import make_app

WORKSTATION = "GpuWorkstation"
IMAGE = "GpuImage"
ROLE = "GpuDeployRole"
INSTANCE = "AWS::EC2::Instance"
BUILT_IMAGE = "AWS::ImageBuilder::Image"
WAIT = "AWS::CloudFormation::WaitCondition"
VERSION_PARAMETER = "/cdk-bootstrap/hnb659fds/version"
Template = dict[str, Any]


@dataclass(frozen=True)
class Assembly:
    """What synth made of one stack.

    Attributes:
        template: Its template.
        files: Its published files by their keys in the bootstrap bucket.
    """

    template: Template
    files: dict[str, bytes]

    def publish(self, aws: LocalAws) -> None:
        """Upload the files, as the CDK CLI does."""
        for key, content in self.files.items():
            aws.client("s3").put_object(Bucket=bucket(aws), Key=key, Body=content)


def bucket(aws: LocalAws) -> str:
    """The bootstrap bucket."""
    return f"cdk-hnb659fds-assets-{aws.account}-{aws.region}"


def bootstrap(aws: LocalAws) -> None:
    """What templates and files need of `cdk bootstrap`, which takes seconds."""
    aws.client("s3").create_bucket(Bucket=bucket(aws))
    aws.client("ssm").put_parameter(Name=VERSION_PARAMETER, Value="30", Type="String")


def assemble(stack: str = WORKSTATION, **settings: Any) -> Assembly:
    """A stack with these settings; made once per process."""
    return _assemble(stack, json.dumps(settings, sort_keys=True))


@functools.cache
def _assemble(stack: str, settings: str) -> Assembly:
    with tempfile.TemporaryDirectory() as folder:
        staged = stack != WORKSTATION
        make_app(outdir=folder, with_stages=staged, **json.loads(settings)).synth()
        (path,) = Path(folder).rglob(f"*{stack}*.template.json")
        manifest = path.with_name(path.name.replace(".template.", ".assets."))
        files = {
            destination["objectKey"]: (path.parent / file["source"]["path"]).read_bytes()
            for file in json.loads(manifest.read_text())["files"].values()
            for destination in file["destinations"].values()
        }
        return Assembly(json.loads(path.read_text()), files)


def of_type(template: Template, kind: str) -> list[str]:
    """Logical ids of the resources of a type."""
    return [name for name, made in template["Resources"].items() if made["Type"] == kind]


def machine(template: Template) -> str:
    """Logical id of what launches a machine: an instance, or an image that is built."""
    (found,) = [*of_type(template, INSTANCE), *of_type(template, BUILT_IMAGE)]
    return found


def needs(template: Template, logical_id: str) -> set[str]:
    """What must be there before a resource can be, directly or through others."""
    resources, found, pending = template["Resources"], set[str](), [logical_id]
    while pending:
        direct = set(_references(resources[pending.pop()])) & resources.keys()
        pending += direct - found
        found |= direct
    return found


def _references(value: Any) -> Iterator[str]:
    if isinstance(value, list):
        for inner in value:
            yield from _references(inner)
    elif isinstance(value, dict):
        for key, inner in value.items():
            if key == "Ref":
                yield inner
            elif key == "Fn::GetAtt":
                yield inner[0]
            elif key == "DependsOn":
                yield from [inner] if isinstance(inner, str) else inner
            else:
                yield from _references(inner)


def assert_nothing_left(aws: LocalAws) -> None:
    """The account holds nothing but what `cdk bootstrap` made, and the person's command agrees."""
    everywhere.assert_nothing_left(aws)


def assert_no_machine_runs(aws: LocalAws) -> None:
    """Every machine that was launched has been terminated."""
    events = aws.control.history()
    launched = {event.instance_id for event in events if event.event == "launched"}
    assert launched == {event.instance_id for event in events if event.event == "terminated"}


def launches(aws: LocalAws) -> int:
    """How many machines were ever launched."""
    return sum(event.event == "launched" for event in aws.control.history())


def remove(stack: Stack) -> None:
    """Delete a stack, in whichever state it is, and see that nothing stays."""
    if stack.stack_id and stack.describe()["StackStatus"] != "DELETE_COMPLETE":
        assert stack.delete() == "DELETE_COMPLETE", stack.events()
    assert_nothing_left(stack.aws)
    assert_no_machine_runs(stack.aws)
