"""Who uses an image: stacks of workstations, machines, launch templates."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from gpustation.saved_image.remove import SaveImageError
from gpustation.workstation.find import find_all

if TYPE_CHECKING:
    import boto3
    from mypy_boto3_cloudformation import CloudFormationClient
    from mypy_boto3_ec2 import EC2Client

_GONE = ("shutting-down", "terminated")
_IMAGE_OUTPUT = "ImageId"
"""Output of a workstation's stack with the image of its machine."""


@dataclass(frozen=True)
class Users:
    """The users of images.

    Attributes:
        by_image: Descriptions of the users by the id of the image.
    """

    by_image: Mapping[str, tuple[str, ...]]

    def of(self, image_id: str) -> tuple[str, ...]:
        """The users of an image, e.g. ``stack GpuWorkstation``."""
        return self.by_image.get(image_id, ())


def read_users(cloudformation: CloudFormationClient, ec2: EC2Client, image_id: str = "") -> Users:
    """The users of all images of the region, or of one image."""
    found: dict[str, list[str]] = {}

    def add(image: str, user: str) -> None:
        if image and image_id in ("", image):
            found.setdefault(image, []).append(user)

    for workstation in find_all(cloudformation):
        add(workstation.outputs.get(_IMAGE_OUTPUT, ""), f"stack {workstation.stack}")
    filters: list[Any] = [{"Name": "image-id", "Values": [image_id]}] if image_id else []
    for page in ec2.get_paginator("describe_instances").paginate(Filters=filters):
        for reservation in page["Reservations"]:
            for row in reservation["Instances"]:
                if row["State"]["Name"] not in _GONE:
                    add(row.get("ImageId", ""), f"machine {row['InstanceId']}")
    for template, image in _templates(ec2):
        add(image, f"launch template {template}")
    return Users({image: tuple(dict.fromkeys(users)) for image, users in found.items()})


def require_unused(session: boto3.Session, image_id: str) -> None:
    """Check that nothing uses an image.

    Raises:
        SaveImageError: Something does; the message names it.
    """
    users = read_users(session.client("cloudformation"), session.client("ec2"), image_id)
    if names := users.of(image_id):
        raise SaveImageError(
            f"{image_id} is used by {', '.join(names)}, and is not deleted; deploy another image "
            "there, or delete that first. `gpustation image undo` deletes it all the same: a "
            "machine keeps running without its image"
        )


def _templates(ec2: EC2Client) -> list[tuple[str, str]]:
    """Id and image of each launch template's default and latest version."""
    found = []
    for page in ec2.get_paginator("describe_launch_templates").paginate():
        for template in page["LaunchTemplates"]:
            name = template["LaunchTemplateId"]
            versions = ec2.describe_launch_template_versions(
                LaunchTemplateId=name, Versions=["$Default", "$Latest"]
            )["LaunchTemplateVersions"]
            found += [(name, row["LaunchTemplateData"].get("ImageId", "")) for row in versions]
    return found
