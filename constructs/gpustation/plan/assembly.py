"""A stack in a cloud assembly: its template and the roles that deploy it."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gpustation.console.interrupts import SLICE_SECONDS, Hold, held
from gpustation.plan.template_upload import TemplateAsset
from gpustation.settings.rows import METADATA

_STACK = "aws:cloudformation:stack"
_ASSETS = "cdk:asset-manifest"
_INSTANCE = "AWS::EC2::Instance"


class AssemblyError(Exception):
    """There is no stack to plan; the message says why in one line."""


@dataclass(frozen=True)
class SynthesizedStack:
    """The one top-level stack of a cloud assembly.

    Attributes:
        name: Name of the stack.
        template: Its template.
        tags: Its tags.
        deploy_role: ARN of the role that the CDK CLI assumes for the deploy, with placeholders
            such as ``${AWS::AccountId}``; empty if the CLI uses its own credentials.
        execution_role: ARN of the role that CloudFormation assumes, with such placeholders; empty
            if there is none.
        asset: The template as a file, and where the CDK CLI puts it; ``None`` if the assembly
            does not say so.
        template_url: Where CloudFormation finds the template; empty if the request has it.
    """

    name: str
    template: dict[str, Any]
    tags: dict[str, str]
    deploy_role: str
    execution_role: str
    asset: TemplateAsset | None = None
    template_url: str = ""

    @property
    def settings(self) -> dict[str, str]:
        """The settings in its Metadata; empty for a stack of another app."""
        return dict(self.template.get("Metadata", {}).get(METADATA, {}).get("settings", {}))

    @property
    def machine(self) -> tuple[str, int]:
        """Type of the stack's machine, and the size of its disks in GiB.

        Raises:
            AssemblyError: The stack does not have exactly one machine.
        """
        resources = self.template.get("Resources", {}).values()
        machines = [row["Properties"] for row in resources if row["Type"] == _INSTANCE]
        if len(machines) != 1:
            raise AssemblyError(f"{self.name} must have one machine, got {len(machines)}")
        disks = machines[0].get("BlockDeviceMappings", [])
        gib = sum(int(disk.get("Ebs", {}).get("VolumeSize", 0)) for disk in disks)
        return str(machines[0]["InstanceType"]), gib


def synthesize(*, app: str = "", context: Sequence[str] = ()) -> SynthesizedStack:
    """Run ``cdk synth`` in the current folder and read its top-level stack.

    Args:
        app: See ``assembly``.
        context: See ``assembly``.

    Raises:
        AssemblyError: There is no CDK CLI, it failed, or the app has no such stack.
        Interrupted: A signal was received.
    """
    with assembly(app=app, context=context) as folder:
        return read_assembly(folder)


@contextlib.contextmanager
def assembly(*, app: str = "", context: Sequence[str] = ()) -> Iterator[Path]:
    """The cloud assembly of the app in the current folder.

    All files and processes of its synthesis are removed at the end, also after a signal.

    Args:
        app: The CDK CLI's ``--app``: a command, or a cloud assembly, which is only read.
            Default: the app of ``cdk.json``.
        context: Settings as ``key=value``; only for an app that is a command.

    Yields:
        The folder of the assembly.

    Raises:
        AssemblyError: There is no CDK CLI, or it failed.
        Interrupted: A signal was received.
    """
    configured = app or os.environ.get("CDK_APP") or _configured_app()
    is_assembly = bool(configured) and Path(configured).is_dir()
    if context and is_assembly:
        raise AssemblyError(
            f"--context {context[0]}: the app {configured} is a cloud assembly, synthesized with "
            "its own settings, and the CDK CLI would ignore this one; synthesize it again with "
            "this setting, or pass a command as --app"
        )
    if is_assembly:
        yield Path(configured)
        return
    cdk = shutil.which("cdk")
    if cdk is None:
        raise AssemblyError("cdk is not on PATH; run `make setup`, then `. .venv/bin/activate`")
    with contextlib.ExitStack() as removed:
        with held("stopping cdk synth; nothing was created in the account") as hold:
            scratch = removed.enter_context(tempfile.TemporaryDirectory(prefix="gpustation-plan-"))
            folder = Path(scratch, "cdk.out")
            options = [word for setting in context for word in ("--context", setting)]
            options += ["--app", app] if app else []
            options += ["--output", str(folder)]
            status, output = _run([cdk, "synth", "--quiet", "--no-color", *options], scratch, hold)
        if status != 0:
            raise AssemblyError(f"{output.strip()}\ncdk synth failed; fix the errors above")
        yield folder


def _configured_app() -> str:
    """The app of ``cdk.json``; empty if the file is invalid, which the CDK CLI reports."""
    try:
        return str(json.loads(Path("cdk.json").read_text(encoding="utf-8")).get("app", ""))
    except (OSError, ValueError, AttributeError):
        return ""


def _run(command: list[str], scratch: str, hold: Hold) -> tuple[int, str]:
    """Exit status and output of a command; a signal kills it with all its children."""
    with subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        # jsii unpacks itself into TMPDIR, and does not clean up when it is killed
        env={**os.environ, "TMPDIR": scratch},
        start_new_session=True,
    ) as process:
        try:
            while True:
                hold.check()
                with contextlib.suppress(subprocess.TimeoutExpired):
                    output, _ = process.communicate(timeout=SLICE_SECONDS)
                    return process.returncode, output
        except BaseException:
            os.killpg(process.pid, signal.SIGKILL)
            raise


def read_assembly(folder: Path) -> SynthesizedStack:
    """The one top-level stack of a cloud assembly.

    Raises:
        AssemblyError: There is no such stack, or more than one.
    """
    try:
        manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise AssemblyError(f"{folder} is not a cloud assembly: {error}") from error
    stacks = {
        name: artifact["properties"]
        for name, artifact in manifest["artifacts"].items()
        if artifact["type"] == _STACK
    }
    if len(stacks) != 1:
        raise AssemblyError(
            f"the app must have one top-level stack, got {', '.join(stacks) or 'none'}; "
            "put others into a stage"
        )
    ((name, properties),) = stacks.items()
    template = json.loads((folder / properties["templateFile"]).read_text(encoding="utf-8"))
    return SynthesizedStack(
        name=properties.get("stackName", name),
        template=template,
        tags=dict(properties.get("tags", {})),
        deploy_role=properties.get("assumeRoleArn", ""),
        execution_role=properties.get("cloudFormationExecutionRoleArn", ""),
        asset=_template_asset(folder, manifest, properties["templateFile"]),
    )


def _template_asset(
    folder: Path, manifest: Mapping[str, Any], template: str
) -> TemplateAsset | None:
    """The template among the files that the CDK CLI publishes; ``None`` if it is not."""
    for artifact in manifest["artifacts"].values():
        if artifact["type"] != _ASSETS:
            continue
        text = (folder / artifact["properties"]["file"]).read_text(encoding="utf-8")
        for file in json.loads(text).get("files", {}).values():
            if file["source"].get("path") == template:
                place = next(iter(file["destinations"].values()))
                return TemplateAsset(
                    text=(folder / template).read_text(encoding="utf-8"),
                    bucket=place["bucketName"],
                    key=place["objectKey"],
                    role=place.get("assumeRoleArn", ""),
                )
    return None


def fill(text: str, values: Mapping[str, str]) -> str:
    """Replace the placeholders ``${AWS::<name>}`` with values."""
    for name, value in values.items():
        text = text.replace(f"${{AWS::{name}}}", value)
    return text
