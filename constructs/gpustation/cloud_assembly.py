"""A stack as the CDK CLI synthesized it: its template, and the roles that deploy it."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_STACK = "aws:cloudformation:stack"


class AssemblyError(Exception):
    """Why there is no stack to look at, in one line."""


@dataclass(frozen=True)
class SynthesizedStack:
    """The one top-level stack of a cloud assembly.

    Attributes:
        name: Name of the stack.
        template: Its template.
        tags: Its tags.
        deploy_role: ARN of the role that the CDK CLI deploys it with, with placeholders such as
            ``${AWS::AccountId}``; empty if the CLI uses the credentials that it was given.
        execution_role: ARN of the role that it gives to CloudFormation, likewise.
    """

    name: str
    template: dict[str, Any]
    tags: dict[str, str]
    deploy_role: str
    execution_role: str


def synthesize(folder: Path, *, app: str = "", context: Sequence[str] = ()) -> SynthesizedStack:
    """Run ``cdk synth`` from the current folder and read the stack that bare commands mean.

    Args:
        folder: Where the cloud assembly goes.
        app: The CDK CLI's ``--app``: a command, or a cloud assembly, which stays where it is.
            Default: the app of ``cdk.json``.
        context: Settings as ``key=value``.

    Raises:
        AssemblyError: There is no CDK CLI, it failed, or the app has no such stack.
    """
    cdk = shutil.which("cdk")
    if cdk is None:
        raise AssemblyError("cdk is not on PATH; run `make setup`, then `. .venv/bin/activate`")
    made = Path(app) if app and Path(app).is_dir() else folder
    words = [word for setting in context for word in ("--context", setting)]
    words += ["--app", app] if app else []
    words += [] if made != folder else ["--output", str(folder)]
    status, output = _run([cdk, "synth", "--quiet", "--no-color", *words])
    if status != 0:
        raise AssemblyError(f"{output.strip()}\ncdk synth failed; set right what it says")
    return read_assembly(made)


def _run(command: list[str]) -> tuple[int, str]:
    """Exit status and output of a command that dies with its children if it is interrupted."""
    with subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    ) as process:
        try:
            output, _ = process.communicate()
        except BaseException:
            os.killpg(process.pid, signal.SIGKILL)
            raise
    return process.returncode, output


def read_assembly(folder: Path) -> SynthesizedStack:
    """The one top-level stack of a cloud assembly.

    Raises:
        AssemblyError: There is none, or more than one.
    """
    manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
    stacks = {
        name: artifact["properties"]
        for name, artifact in manifest["artifacts"].items()
        if artifact["type"] == _STACK
    }
    if len(stacks) != 1:
        raise AssemblyError(
            f"the app must have one stack at its top, got {', '.join(stacks) or 'none'}; "
            "put others into a stage"
        )
    ((name, told),) = stacks.items()
    template = json.loads((folder / told["templateFile"]).read_text(encoding="utf-8"))
    return SynthesizedStack(
        name=told.get("stackName", name),
        template=template,
        tags=dict(told.get("tags", {})),
        deploy_role=told.get("assumeRoleArn", ""),
        execution_role=told.get("cloudFormationExecutionRoleArn", ""),
    )


def fill(text: str, values: Mapping[str, str]) -> str:
    """Put values in place of the placeholders ``${AWS::<name>}``."""
    for name, value in values.items():
        text = text.replace(f"${{AWS::{name}}}", value)
    return text
