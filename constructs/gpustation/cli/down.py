"""``gpustation down``: deletes the workstation, then lists what remains."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from gpustation.catalog.names import name_in
from gpustation.cli.ending import confirm, run, say_json
from gpustation.cli.options import App, AsJson, Name, Region, Stack, Yes, epilog
from gpustation.cli.selecting import named, selected
from gpustation.console.interrupts import say, warn
from gpustation.console.statuses import FINDING

if TYPE_CHECKING:
    import boto3
    from mypy_boto3_ec2 import EC2Client

    from gpustation.workstation.status import Status

EPILOG = epilog("gpustation down", FINDING)
DISK_SECONDS = 20.0
"""How long the machine may take to say how full its disk is."""


def down(
    name: Name = "",
    stack: Stack = "",
    app: App = "",
    region: Region = "",
    yes: Yes = False,
    as_json: AsJson = False,
) -> None:
    """Delete the workstation with its disk, then list what remains of it.

    It runs `cdk destroy` in this folder. Exit status 1: something remains.
    """
    stack = named(name, stack)

    def work() -> int:
        from gpustation.aws.session import make_session
        from gpustation.console.shown_text import visible
        from gpustation.deploy.operation import destroy
        from gpustation.leftovers.find import find_leftovers
        from gpustation.leftovers.report import conclusion, document
        from gpustation.workstation.status import read_status

        session = make_session(region)
        workstation = selected(session.client("cloudformation"), stack)
        (status,) = read_status(session, workstation.stack)
        report = warn if as_json else say
        images = _images(session.client("ec2"), workstation.stack)
        for line in _losses(status, _in_use(session, status), images):
            report(visible(line))
        options = _options(workstation.stack, app)
        confirm(f"Delete {workstation.stack} now (cdk destroy {' '.join(options)})?", yes)
        destroy(session, options, workstation.stack, report, live=not as_json)
        left = find_leftovers(session, stacks=[workstation.stack])
        if as_json:
            say_json({"stack": workstation.stack, "leftovers": document(left)})
        else:
            say(f"{workstation.stack} is deleted. {conclusion(left)}")
            if left.left:
                say("`gpustation leftovers` lists them with the commands that delete them.")
        return FINDING if left.left or not left.complete else 0

    run("down", work)


def _options(stack: str, app: str) -> list[str]:
    setting = name_in(stack)
    named_by = ["-c", f"name={setting}"] if setting and not app else []
    return [stack, *named_by, *(["--app", app] if app else [])]


def _images(ec2: EC2Client, stack: str) -> list[dict[str, Any]]:
    """Images saved from the stack's machines, which stay."""
    from gpustation.catalog.names import OWNER_TAG

    response = ec2.describe_images(
        Owners=["self"], Filters=[{"Name": f"tag:{OWNER_TAG}", "Values": [stack]}]
    )
    return [dict(row) for row in response["Images"]]


def _in_use(session: boto3.Session, status: Status) -> str:
    """How much is on the machine's disk, or why that is unknown; empty without a machine."""
    from botocore.exceptions import BotoCoreError, ClientError

    from gpustation.access.connection import connect
    from gpustation.access.shell import executor
    from gpustation.aws.session import explain
    from gpustation.console.errors import CommandError
    from gpustation.workstation.on_machine import read_disk_use

    machine = status.machine
    if machine is None or machine.is_gone:
        return ""
    if machine.state != "running":
        return f"unknown, as the machine is {machine.state}"
    try:
        connection = connect(session, status.workstation.stack, machine, note=lambda _: None)
        use = read_disk_use(executor(connection, DISK_SECONDS))
    except CommandError as error:
        return f"unknown: {error}"
    except (ClientError, BotoCoreError) as error:
        return f"unknown: {explain(error)}"
    return f"{use.used_gib:.1f} of {use.size_gib:.1f} GiB, the system and the framework included"


def _losses(status: Status, in_use: str, images: list[dict[str, Any]]) -> list[str]:
    """What is deleted, and what stays."""
    machine = status.machine
    lines = [f"{status.workstation.stack}: the machine and all that is on its disk are deleted"]
    if machine:
        lines.append(f"  machine  {machine.instance_id} ({machine.instance_type}, {machine.state})")
    lines += [f"  disk     {disk.volume_id} ({disk.gib} GiB {disk.kind})" for disk in status.disks]
    if in_use:
        lines.append(f"  in use   {in_use}")
    lines += [f"  stays    image {image['ImageId']} ({image.get('Name', '')})" for image in images]
    if not images:
        lines.append("  `gpustation image save` before this keeps the disk as an image")
    return lines
