"""The settings of a moved machine in cdk.json, and taking back those of an unfinished move."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gpustation.catalog.spot import SpotMode
from gpustation.console.errors import CommandError
from gpustation.move.copies import read_copy
from gpustation.plan.deployed_settings import settings_of
from gpustation.saved_image.remove import find_image
from gpustation.saved_image.use import GENERATIONS
from gpustation.settings.cdk_json import Change
from gpustation.settings.rows import METADATA

if TYPE_CHECKING:
    import boto3

    from gpustation.workstation.find import Workstation
    from gpustation.workstation.machine import Machine


@dataclass(frozen=True)
class Target:
    """Where a machine is moved to.

    Attributes:
        zone: Name of the zone.
        to_on_demand: Whether a spot machine becomes an on-demand machine.
        disk_gib: Size of its disk, if somebody enlarged it since; else 0.
    """

    zone: str
    to_on_demand: bool = False
    disk_gib: int = 0

    def values(self, machine: Machine) -> dict[str, Any]:
        """The settings of the moved machine, but for its image."""
        values: dict[str, Any] = {
            "generation": machine.generation % GENERATIONS + 1,
            "availability_zone": self.zone,
        }
        if self.to_on_demand:
            values["spot"] = False
        if self.disk_gib:
            values["disk_gib"] = self.disk_gib
        return values


def take_back_unfinished(
    session: boto3.Session, workstation: Workstation, machine: Machine, folder: Path
) -> str:
    """Undoes the settings of a move that ended half-way, and whose deploy did not succeed.

    The old machine is there. If it is started and used, a deploy of these settings would be refused
    by the image choice, because the copy of its disk is older than the disk then.

    Args:
        session: The session.
        workstation: The workstation; CloudFormation does not work on its stack.
        machine: Its machine.
        folder: Folder of the CDK app.

    Returns:
        What was done, as one line; empty if there is nothing to do.

    Raises:
        CommandError: cdk.json cannot be changed; the message says how to change it by hand.
        ClientError: AWS refused a call.
    """
    try:
        change = Change.read(folder)
    except CommandError:
        return ""  # this is no folder of an app, and a start needs none
    context = change.context
    image, generation = str(context.get("image")), context.get("generation")
    if not image.startswith("ami-") or str(generation) == str(machine.generation):
        return ""
    row = find_image(session.client("ec2"), image)
    copy = read_copy(row) if row else None
    if copy is None or not copy.last_start or copy.machine != machine.instance_id:
        return ""
    values = _deployed_values(session, workstation, context)
    try:
        change = change.with_values(values)
        change.write()
    except CommandError as error:
        shown = ", ".join(f'"{key}": {json.dumps(value)}' for key, value in values.items())
        raise CommandError(f"{error}; an unfinished move left it, set by hand: {shown}") from error
    return (
        f"{change.path.name} had the settings of a move that was not finished (generation="
        f"{generation}, image={image}); it has those of {machine.instance_id} again"
    )


def _deployed_values(
    session: boto3.Session, workstation: Workstation, context: dict[str, Any]
) -> dict[str, Any]:
    """The deployed values of the settings that a move writes; null for one that is not given."""
    cloudformation = session.client("cloudformation")
    template: Any = cloudformation.get_template(StackName=workstation.stack)["TemplateBody"]
    given = template.get("Metadata", {}).get(METADATA, {}).get("settings", {})
    settings = settings_of(template)
    values: dict[str, Any] = {
        "image": given.get("image"),
        "generation": int(settings["generation"]),
        "availability_zone": given.get("availability_zone"),
    }
    spot = settings.get("spot", "false")
    if "spot" in context and spot != "false":
        values["spot"] = True if spot == "true" else SpotMode(spot).value
    if "disk_gib" in context:
        values["disk_gib"] = int(settings["disk_gib"])
    return values
