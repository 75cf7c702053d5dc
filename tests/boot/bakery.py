"""Deploys of ``Image/GpuImage`` on booted machines, and what they leave."""

from __future__ import annotations

import shutil
from pathlib import Path

from localaws import LocalAws
from tests.support.cdk_cli import Cdk, Run
from tests.support.synthesis import ROOT, make_app

PARAMETER = "/gpustation/image/mxnet"


class Bakery:
    """One account's image stack."""

    def __init__(self, aws: LocalAws, cdk: Cdk, folder: Path) -> None:
        self.aws, self._cdk, self._folder, self._count = aws, cdk, folder, 0

    def bake(self, scripts: Path | None = None) -> Run:
        self._count += 1
        assembly = str(self._folder / f"image-{self._count}")
        make_app(outdir=assembly, scripts=scripts, notebooks=False).synth()
        words = ("--app", assembly, "--require-approval", "never", "--progress", "events")
        return self._cdk.run("deploy", "Image/GpuImage", *words)

    def destroy(self) -> Run:
        return self._cdk.run("destroy", "Image/GpuImage", "--force")

    def changed(self, file: str, old: str, new: str) -> Path:
        """The machine's scripts with a change."""
        scripts = self._folder / f"scripts-{self._count}"
        shutil.copytree(ROOT / "userdata", scripts)
        text = (scripts / file).read_text()
        assert old in text
        (scripts / file).write_text(text.replace(old, new))
        return scripts

    def images(self) -> list[str]:
        shown = self.aws.client("ec2").describe_images(Owners=["self"])["Images"]
        return [row["ImageId"] for row in shown]

    def snapshots(self) -> list[str]:
        shown = self.aws.client("ec2").describe_snapshots(OwnerIds=["self"])["Snapshots"]
        return [row["SnapshotId"] for row in shown]

    def published(self) -> str | None:
        ssm = self.aws.client("ssm")
        try:
            return str(ssm.get_parameter(Name=PARAMETER)["Parameter"]["Value"])
        except ssm.exceptions.ParameterNotFound:
            return None
