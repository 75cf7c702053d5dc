"""Shows the main job: the real CDK CLI against the embedded AWS, from bootstrap to destroy.

Run by ``make demo``. Exit status 0 only if every step ended as expected, the refusal included.
"""

from __future__ import annotations

import contextlib
import json
import subprocess
import tempfile
import time
import urllib.request
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.rule import Rule
from rich.table import Table

from gpustation.console.interrupts import leave, listening, say, status_of
from localaws import LocalAws
from localaws.isolation import isolate
from localaws.machines.booted.support import why_not

ROOT = Path(__file__).resolve().parent.parent
CDK = ROOT / "node_modules" / ".bin" / "cdk"
G_QUOTA = "L-DB2E81BA"
"""Running On-Demand G and VT instances."""

console = Console(highlight=False)


@dataclass(frozen=True)
class Step:
    """One command of the story.

    Attributes:
        what: What the command does and why, in a line or two.
        command: Arguments of ``cdk``.
        succeeds: Whether it must succeed or must fail. Default: succeed.
        expects: Text that its output must contain. Default: any.
        proves: Look at the machine afterwards, if it was booted. Default: no.
        validates: Run CDK's template validation, some seconds each time. Default: no.
    """

    what: str
    command: Sequence[str]
    succeeds: bool = True
    expects: str = ""
    proves: bool = False
    validates: bool = False


class DemoError(RuntimeError):
    """A step did not end as expected."""


JUPYTER_PORT = 8888
BOOT_ID = "/proc/sys/kernel/random/boot_id"
REBOOT_SECONDS = 300
PACKAGE = "cowsay"
"""Small, and needs nothing else."""
COMPUTE = 'import mxnet; print("MXNet:", mxnet.nd.ones((2, 3)).sum().asscalar())'
COMPUTED = "MXNet: 6.0"
USE_PACKAGE = f'import {PACKAGE}; print({PACKAGE}.get_output_string("cow", "still here"))'
SHOW_OUTPUTS = """
import json
for cell in json.load(open("first.ipynb"))["cells"][1:]:
    print("In: ", *cell["source"])
    print("".join(text for output in cell["outputs"] for text in output.get("text", [])))
"""
SIMULATED = "simulated, no machine was booted"
COMPUTED_ON_CPU = "no GPU: computed on the CPU"
DEPLOY = ("deploy", "--require-approval", "never", "--progress", "events")
STORY = (
    Step(
        "CDK prepares the account once: a bucket and roles that deployments go through.",
        ("bootstrap", "aws://123456789012/us-east-1"),
    ),
    Step(
        "One command makes the workstation. The quota is checked before anything that costs, then "
        "zone and image are chosen, the machine starts, and each step that it reports completes a "
        "wait condition: DriverReady, EnvironmentReady, GpuReady.",
        DEPLOY,
        expects="Ready = ",
        proves=True,
        validates=True,
    ),
    Step("The same again: nothing has changed, so nothing happens.", DEPLOY, expects="no changes"),
    Step(
        "Now a type with 48 vCPUs, and the account's quota is 8: refused before the machine is "
        "touched, with what to do about it. This command must fail.",
        (*DEPLOY, "-c", "instance_type=g4dn.12xlarge"),
        succeeds=False,
        expects="quota too small",
    ),
    Step("And away with all of it.", ("destroy", "--force")),
)


def main() -> int:
    """Run the story; returns the exit status."""
    isolate()
    with listening():
        return _show()


def _show() -> int:
    console.print(Rule("gpustation: the main job, without an AWS account"))
    reason = why_not()
    console.print(
        "Real: the CDK CLI, the templates, the Lambda functions, the user data and its runner.\n"
        "Embedded: the AWS on this computer that they talk to. It is not AWS, and nothing costs.\n"
        f"{_about_machines(reason)} CDK's validation of the templates is on in the first deploy "
        "only, to save time."
    )
    began = time.monotonic()
    try:
        if reason is None:
            console.print("Debian's packages become the machine's root, once: about a minute.")
        with LocalAws(booted=reason is None) as aws, tempfile.TemporaryDirectory() as folder:
            aws.control.set_quota(G_QUOTA, 8)
            for number, step in enumerate(STORY, start=1):
                _announce(number, step)
                _run(step, aws, Path(folder), booted=reason is None)
            _show_what_is_left(aws)
    except DemoError as error:
        console.print(f"[bold red]the demo failed:[/bold red] {escape(str(error))}")
        return 1
    except KeyboardInterrupt as interrupt:
        say("\ninterrupted: the embedded AWS and all that it started are gone")
        return status_of(interrupt)
    machine = "a machine's set-up" if reason else f"a GPU ({COMPUTED_ON_CPU})"
    console.print(
        f"\nEvery step ended as it must, in {time.monotonic() - began:.0f} s.\n"
        f"Not shown here: AWS itself, and {machine}.\nOn AWS: README.md."
    )
    return 0


def _about_machines(reason: str | None) -> str:
    if reason:
        return (
            f"[bold]No machine is booted ({escape(reason)}), no GPU computes:[/bold] the instance "
            "is a record. The machine's own runner makes its reports, with what only a machine has "
            "(apt, driver, GPU) stubbed."
        )
    return (
        "[bold]A machine boots, no GPU computes:[/bold] Debian 13 with real systemd, cloud-init "
        "and downloads, in namespaces of this computer. The NVIDIA packages are dummies, and MXNet "
        "is its build for the CPU."
    )


def _announce(number: int, step: Step) -> None:
    console.print()
    console.print(Rule(f"{number} of {len(STORY)}", align="left"))
    console.print(step.what)
    console.print(f"[bold]$ cdk {escape(' '.join(step.command))}[/bold]")


def _run(step: Step, aws: LocalAws, folder: Path, *, booted: bool) -> None:
    """Run the command and show its output.

    Raises:
        DemoError: Its exit status or its output is not the expected one.
    """
    # Another home: ~/.cdk.json is a person's own
    home = {"HOME": str(folder), "CDK_VALIDATION": str(step.validates).lower()}
    process = subprocess.Popen(
        [str(CDK), *step.command, "--output", str(folder / "cdk.out")],
        cwd=ROOT,
        env=aws.environment | home,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    lines = []
    try:
        assert process.stdout is not None
        for line in process.stdout:
            print(line, end="", flush=True)
            lines.append(line)
        status = process.wait()
    finally:
        process.kill()
        process.wait()
    text = " ".join("".join(lines).split())
    name = f"cdk {' '.join(step.command)}"
    if (status == 0) != step.succeeds:
        raise DemoError(f"`{name}` ended with exit status {status}")
    for words in (step.expects, *([COMPUTED_ON_CPU if booted else SIMULATED] * step.proves)):
        if words not in text:
            raise DemoError(f"`{name}` did not say {words!r}")
    if step.proves and booted:
        instance_id = aws.control.history()[-1].instance_id
        _show_machine(aws, instance_id)
        _show_person(aws, instance_id)


def _show_machine(aws: LocalAws, instance_id: str) -> None:
    """Show the machine's units, and Jupyter through a forwarded port.

    Raises:
        DemoError: Jupyter did not answer to its token.
    """
    console.print(f"\nInside {instance_id}, in its own words:")
    shown = aws.control.machine_run(
        instance_id, "systemctl", "list-units", "gpustation*", "--no-legend"
    )
    print(shown.stdout.strip())
    url = aws.control.machine_run(instance_id, "gpustation-jupyter-url").stdout.strip()
    token = url.rpartition("=")[2]
    port = aws.control.forward(instance_id, JUPYTER_PORT)
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}/api/status", headers={"Authorization": f"token {token}"}
    )
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            console.print(
                f"Jupyter, through port {port} of this computer and with its token: HTTP status "
                f"{answer.status}, {answer.read().decode()}"
            )
    except OSError as error:
        raise DemoError(f"Jupyter did not answer to its token: {error}") from error


def _show_person(aws: LocalAws, instance_id: str) -> None:
    """Do what a person does first: compute in a shell and a notebook, add a package, reboot.

    Raises:
        DemoError: One of them failed.
    """
    empty: dict[str, Any] = {"cell_type": "code", "metadata": {}, "outputs": []}
    sources = (f"%pip install -q {PACKAGE}", COMPUTE, USE_PACKAGE)
    cells = [
        {**empty, "id": f"cell-{number}", "execution_count": None, "source": source}
        for number, source in enumerate(sources)
    ]
    notebook = {"nbformat": 4, "nbformat_minor": 5, "metadata": {}, "cells": cells}
    console.print(f"\nA person on {instance_id}, in the shell that ssh and Session Manager give:")
    _as_person(aws, instance_id, f"python3 -c '{COMPUTE}'", expects=COMPUTED)
    console.print(f"\nA notebook's kernel: it installs {PACKAGE}, and computes:")
    _as_person(
        aws, instance_id, f"cat >first.ipynb <<'END'\n{json.dumps(notebook)}\nEND", shown=False
    )
    _as_person(
        aws, instance_id, "jupyter execute --inplace --kernel_name=mxnet first.ipynb", shown=False
    )
    _as_person(aws, instance_id, f"python3 -c '{SHOW_OUTPUTS}'", expects=COMPUTED, shown=False)
    before = aws.control.machine_run(instance_id, "cat", BOOT_ID).stdout
    console.print("\nAfter a reboot both are still there:")
    aws.client("ec2").reboot_instances(InstanceIds=[instance_id])
    deadline = time.monotonic() + REBOOT_SECONDS
    while time.monotonic() < deadline:
        with contextlib.suppress(ValueError):  # between two boots no command can run
            if aws.control.machine_run(instance_id, "cat", BOOT_ID).stdout.strip() not in (
                "",
                before.strip(),
            ):
                break
        time.sleep(0.2)
    aws.control.machine_idle(instance_id, REBOOT_SECONDS)
    _as_person(aws, instance_id, f"python3 -c '{COMPUTE}; {USE_PACKAGE}'", expects=COMPUTED)


def _as_person(
    aws: LocalAws, instance_id: str, script: str, *, expects: str = "", shown: bool = True
) -> None:
    """Run a command in the login shell of the machine's user, and show both.

    Raises:
        DemoError: It failed, or its output lacks the expected text.
    """
    if shown:
        console.print(f"[bold]ubuntu$ {escape(script)}[/bold]")
    done = aws.control.machine_run(instance_id, "runuser", "-l", "ubuntu", "-c", script)
    if done.status != 0 or expects not in done.stdout:
        raise DemoError(f"`{script}` on the machine: {done.stdout}{done.stderr}")
    if expects:
        print(done.stdout.strip())


def _show_what_is_left(aws: LocalAws) -> None:
    """Show a table of the account's inventory.

    Raises:
        DemoError: It is not empty.
    """
    left = aws.inventory()
    console.print()
    table = Table("what", "id", "detail", title="Left in the account, bootstrap aside")
    for row in left:
        table.add_row(row.kind, row.id, row.detail)
    if not left:
        table.add_row("nothing", "", "")
    console.print(table)
    if left:
        raise DemoError(f"{len(left)} things were left behind")


if __name__ == "__main__":
    leave(main())
