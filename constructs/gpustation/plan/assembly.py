"""A stack as the CDK CLI synthesized it: its template, and the roles that deploy it."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gpustation.console.interrupts import SLICE_SECONDS, Hold, held

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


def synthesize(*, app: str = "", context: Sequence[str] = ()) -> SynthesizedStack:
    """Run ``cdk synth`` from the current folder and read the stack that bare commands mean.

    Nothing of it stays: neither files nor processes, also if a signal comes.

    Args:
        app: The CDK CLI's ``--app``: a command, or a cloud assembly, which is only read.
            Default: the app of ``cdk.json``.
        context: Settings as ``key=value``; only for an app that is a command.

    Raises:
        AssemblyError: There is no CDK CLI, it failed, or the app has no such stack.
        Interrupted: A signal came.
    """
    named = app or os.environ.get("CDK_APP") or _configured_app()
    is_assembly = bool(named) and Path(named).is_dir()
    if context and is_assembly:
        raise AssemblyError(
            f"--context {context[0]}: the app {named} is a cloud assembly, made with settings of "
            "its own, and the CDK CLI would ignore this one; synthesize it again with this "
            "setting, or pass a command as --app"
        )
    cdk = shutil.which("cdk")
    if cdk is None:
        raise AssemblyError("cdk is not on PATH; run `make setup`, then `. .venv/bin/activate`")
    what = "cdk synth is being ended; nothing was made in the account"
    with held(what) as hold, tempfile.TemporaryDirectory(prefix="gpustation-plan-") as scratch:
        made = Path(named) if is_assembly else Path(scratch, "cdk.out")
        words = [word for setting in context for word in ("--context", setting)]
        words += ["--app", app] if app else []
        words += [] if is_assembly else ["--output", str(made)]
        command = [cdk, "synth", "--quiet", "--no-color", *words]
        status, output = _run(command, scratch, hold)
        if status != 0:
            raise AssemblyError(f"{output.strip()}\ncdk synth failed; set right what it says")
        return read_assembly(made)


def _configured_app() -> str:
    """The app of ``cdk.json``; a fault in that file is for the CDK CLI to name."""
    try:
        return str(json.loads(Path("cdk.json").read_text(encoding="utf-8")).get("app", ""))
    except (OSError, ValueError, AttributeError):
        return ""


def _run(command: list[str], scratch: str, hold: Hold) -> tuple[int, str]:
    """Exit status and output of a command, which ends with all its children if a signal comes."""
    with subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        # jsii unpacks itself there, and leaves that behind when it is killed
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
        AssemblyError: There is none, or more than one.
    """
    try:
        manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise AssemblyError(f"{folder} holds no cloud assembly: {error}") from error
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
