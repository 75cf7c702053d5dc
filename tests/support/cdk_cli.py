"""Runs the real CDK CLI against the embedded AWS, as a person or a CI job does."""

import dataclasses
import functools
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError

from gpustation.leftovers import find_leftovers
from localaws import LocalAws
from tests.support.synthesis import ROOT, make_app

CDK = ROOT / "node_modules" / ".bin" / "cdk"
STACK = "GpuWorkstation"
COMMAND_SECONDS = 600
SHORT_WAITS = Path(__file__).with_name("short_waits.js")


@dataclasses.dataclass(frozen=True)
class Run:
    """Result of a command: exit status, output, and the stack's outputs."""

    status: int
    output: str
    outputs: dict[str, str]


class Cdk:
    """The CDK CLI with an account, for one folder of cloud assemblies.

    Args:
        aws: The embedded AWS.
        folder: Where assemblies and output files go.
        session: Variables of another caller's credentials. Default: the account's root.
        own_pace: Keep the CLI's own polling intervals, which suit AWS and cost five seconds per
            command. Default: False, four times a second.
    """

    def __init__(
        self,
        aws: LocalAws,
        folder: Path,
        session: Mapping[str, str] | None = None,
        *,
        own_pace: bool = False,
    ) -> None:
        self.aws = aws
        self._pace = {} if own_pace else {"NODE_OPTIONS": f'--require="{SHORT_WAITS}"'}
        self._folder = folder
        self._session = session or {}
        self._count = 0

    def deploy(self, *, scripts: Path | None = None, **settings: Any) -> Run:
        """Deploys with these settings; synthesizes in this process to save time.

        Args:
            scripts: Other scripts for the machine than those of ``userdata/``.
            **settings: The context.
        """
        assembly = self.assembly(scripts=scripts, with_stages=False, **settings)
        return self.deploy_app("--app", assembly)

    def assembly(
        self, *, scripts: Path | None = None, with_stages: bool = True, **settings: Any
    ) -> str:
        """Folder of a new cloud assembly with these settings, for ``--app``.

        Args:
            scripts: Other scripts for the machine than those of ``userdata/``.
            with_stages: With the image and the deploy role, as ``app.py`` makes it.
            **settings: The context.
        """
        self._count += 1
        assembly = self._folder / f"assembly-{self._count}"
        app = make_app(outdir=str(assembly), scripts=scripts, with_stages=with_stages, **settings)
        app.synth()
        return str(assembly)

    def deploy_app(self, *arguments: str) -> Run:
        """Deploys as ``cdk deploy`` does, with these arguments."""
        outputs = self._folder / "outputs.json"
        outputs.unlink(missing_ok=True)
        run = self.run(
            "deploy",
            *arguments,
            "--require-approval",
            "never",
            "--progress",
            "events",
            "--outputs-file",
            str(outputs),
        )
        written = json.loads(outputs.read_text()).get(STACK, {}) if outputs.exists() else {}
        return dataclasses.replace(run, outputs=written)

    def destroy(self) -> Run:
        """Destroys the workstation, by its first assembly: all of them name the same stack."""
        assembly = self._folder / "assembly-1"
        if not assembly.exists():
            make_app(outdir=str(assembly), with_stages=False).synth()
        return self.run("destroy", "--force", "--app", str(assembly))

    def destroy_app(self, *arguments: str) -> Run:
        """Destroys as ``cdk destroy`` does, with these arguments and without confirmation."""
        return self.run("destroy", "--force", *arguments)

    def run(self, *arguments: str) -> Run:
        """Any other command."""
        with self._start(*arguments) as command:
            output, _ = command.communicate(timeout=COMMAND_SECONDS)
        print(f"$ cdk {' '.join(arguments)}\n{output}\nexit status {command.returncode}")
        return Run(command.returncode, output, {})

    def interrupt(self, how: signal.Signals, when: Callable[[], bool], *arguments: str) -> None:
        """Starts a command, and ends it with all its processes as soon as a condition holds."""
        with self._start(*arguments) as command:
            deadline = time.monotonic() + COMMAND_SECONDS
            while not when():
                assert command.poll() is None, command.communicate()[0]
                assert time.monotonic() < deadline
                time.sleep(0.02)
            os.killpg(command.pid, how)
            output, _ = command.communicate(timeout=COMMAND_SECONDS)
        print(f"$ cdk {' '.join(arguments)}\n{output}\n{how.name}")

    def _start(self, *arguments: str) -> subprocess.Popen[str]:
        """A command in its own session, because the CLI runs under a wrapper of Node.js."""
        environment = self.aws.environment | {"CDK_VALIDATION": "false", **self._pace}
        environment |= self._session
        path = f"{Path(sys.executable).parent}{os.pathsep}{environment['PATH']}"
        output = [] if "--app" in arguments else ["--output", str(self._folder / "cdk.out")]
        return subprocess.Popen(
            [str(CDK), *arguments, *output],
            cwd=ROOT,
            env=environment | {"PATH": path},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )


def gpustation(aws: LocalAws, *words: str) -> subprocess.CompletedProcess[str]:
    """Run ``gpustation`` as a person with credentials does."""
    return subprocess.run(
        [sys.executable, "-m", "gpustation", *words],
        cwd=ROOT,
        env=aws.environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


def delete_stack(aws: LocalAws, name: str) -> None:
    """Delete a stack, if it exists, by the plain API: the CLI's `destroy` takes seconds more.

    Tests of `cdk destroy` run it themselves.
    """
    cloudformation = aws.client("cloudformation")
    deadline = time.monotonic() + COMMAND_SECONDS
    while (status := stack_status(aws, name)) is not None:
        assert time.monotonic() < deadline, f"{name} is still {status}"
        if status == "REVIEW_IN_PROGRESS" or not status.endswith("_IN_PROGRESS"):
            cloudformation.delete_stack(StackName=name)
        time.sleep(0.05)


def stack_status(aws: LocalAws, name: str) -> str | None:
    """The status of a stack; None if there is no such stack."""
    try:
        stacks = aws.client("cloudformation").describe_stacks(StackName=name)["Stacks"]
    except ClientError as error:
        if "does not exist" not in str(error):
            raise
        return None
    status = str(stacks[0]["StackStatus"])
    return None if status == "DELETE_COMPLETE" else status


@functools.cache
def _session(key: str) -> boto3.session.Session:
    """One session per account, as most of the time is spent reading the services' models."""
    return boto3.session.Session()


def assert_nothing_left(aws: LocalAws) -> None:
    """Neither the account's own inventory nor the person's command finds anything."""
    assert aws.inventory() == []
    with pytest.MonkeyPatch.context() as patch:
        for name, value in aws.exports.items():
            patch.setenv(name, value)
        report = find_leftovers(_session(aws.exports["AWS_ACCESS_KEY_ID"]))
    assert (report.left, report.not_checked) == ((), ())


class Account:
    """The embedded AWS as the tests inspect it."""

    def __init__(self, aws: LocalAws) -> None:
        self.aws = aws

    def instances(self) -> list[dict[str, Any]]:
        """All instances that are not terminated."""
        reservations = self.aws.client("ec2").describe_instances()["Reservations"]
        return [
            instance
            for reservation in reservations
            for instance in reservation["Instances"]
            if instance["State"]["Name"] != "terminated"
        ]

    def instance(self) -> dict[str, Any]:
        """The only instance."""
        (instance,) = self.instances()
        return instance

    def root_volume(self) -> str:
        """Id of its root volume."""
        return str(self.instance()["BlockDeviceMappings"][0]["Ebs"]["VolumeId"])

    def events(self, instance_id: str) -> list[str]:
        """The events of an instance."""
        return [event.event for event in self.aws.control.history(instance_id)]

    def stack_status(self) -> str:
        """Status of the workstation's stack; `none` if there is no such stack."""
        return stack_status(self.aws, STACK) or "none"

    def machine_file(self, instance_id: str, path: str) -> Path:
        """A file of the machine."""
        return Path(self.aws.control.machine_root(instance_id)) / path.lstrip("/")
