"""Stacks of the app for the plain CloudFormation API: templates and the files they refer to."""

from __future__ import annotations

import functools
import json
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from localaws import LocalAws
from tests.support.synthesis import make_app
from tests.support.template_graph import TemplateGraph

WORKSTATION = "GpuWorkstation"
IMAGE = "GpuImage"
ROLE = "GpuDeployRole"
ACCEPTANCE_ROLE = "GpuAcceptanceRole"
INSTANCE = "AWS::EC2::Instance"
BUILT_IMAGE = "AWS::ImageBuilder::Image"
VERSION_PARAMETER = "/cdk-bootstrap/hnb659fds/version"


@dataclass(frozen=True)
class Assembly:
    """One synthesized stack.

    Attributes:
        template: Its template.
        files: Its assets by their keys in the bootstrap bucket.
    """

    template: dict[str, Any]
    files: dict[str, bytes]

    @property
    def graph(self) -> TemplateGraph:
        """The resources and their references."""
        return TemplateGraph(self.template)

    @property
    def machine(self) -> str:
        """Logical id of the resource that launches a machine: an instance, or an image build."""
        (logical_id,) = self.graph.of_type(INSTANCE) | self.graph.of_type(BUILT_IMAGE)
        return logical_id

    def publish(self, aws: LocalAws) -> None:
        """Upload the assets, as the CDK CLI does."""
        for key, content in self.files.items():
            aws.client("s3").put_object(Bucket=bucket(aws), Key=key, Body=content)


def bucket(aws: LocalAws) -> str:
    """The bootstrap bucket."""
    return f"cdk-hnb659fds-assets-{aws.account}-{aws.region}"


def minimal_bootstrap(aws: LocalAws) -> None:
    """The bucket and the version that templates need; `cdk bootstrap` itself takes seconds."""
    aws.client("s3").create_bucket(Bucket=bucket(aws))
    aws.client("ssm").put_parameter(Name=VERSION_PARAMETER, Value="30", Type="String")


def assemble(stack: str = WORKSTATION, **settings: Any) -> Assembly:
    """A stack with these settings; synthesized once per process."""
    return _assemble(stack, json.dumps(settings, sort_keys=True))


@functools.cache
def _assemble(stack: str, settings: str) -> Assembly:
    with tempfile.TemporaryDirectory() as folder:
        in_a_stage = stack != WORKSTATION
        make_app(outdir=folder, with_stages=in_a_stage, **json.loads(settings)).synth()
        (path,) = Path(folder).rglob(f"*{stack}*.template.json")
        manifest = path.with_name(path.name.replace(".template.", ".assets."))
        files = {
            destination["objectKey"]: (path.parent / file["source"]["path"]).read_bytes()
            for file in json.loads(manifest.read_text())["files"].values()
            for destination in file["destinations"].values()
        }
        return Assembly(json.loads(path.read_text()), files)
