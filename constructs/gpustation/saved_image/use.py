"""The settings for a new machine from an image."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from gpustation.catalog.images import FRAMEWORK_TAG
from gpustation.saved_image.make import find_workstation
from gpustation.saved_image.remove import SaveImageError, find_image

if TYPE_CHECKING:
    import boto3

GENERATIONS = 255
"""Largest generation; 1 follows it."""


@dataclass(frozen=True)
class Values:
    """What cdk.json has to say for a new machine.

    Attributes:
        context: Settings with their values.
        notes: What a person has to know beside them, a line each.
    """

    context: dict[str, Any]
    notes: tuple[str, ...]


def settings_for(
    session: boto3.Session, image_id: str, stack: str, context: Mapping[str, Any]
) -> Values:
    """The settings ``image`` and, if the stack exists, its next ``generation``.

    Args:
        session: The session.
        image_id: Id of the image.
        stack: Name of the workstation's stack.
        context: The settings that cdk.json has now.

    Raises:
        SaveImageError: This account has no such image here, or it is not available.
    """
    ec2 = session.client("ec2")
    image = find_image(ec2, image_id)
    if image is None:
        raise SaveImageError(
            f"{image_id}: this account has no such image in {ec2.meta.region_name}; `gpustation "
            "image list` lists its images"
        )
    if image.get("State") != "available":
        raise SaveImageError(f"{image_id} is {image.get('State')}; use it when it is available")
    values: dict[str, Any] = {"image": image_id}
    notes = []
    generation = _generation(session, stack)
    if generation:
        values["generation"] = generation % GENERATIONS + 1
    tags = {tag["Key"]: tag["Value"] for tag in image.get("Tags", [])}
    contains, wanted = tags.get(FRAMEWORK_TAG), context.get("framework")
    if contains and wanted and contains != wanted:
        notes.append(
            f"{image_id} contains {contains}, and cdk.json sets framework={wanted}: `cdk deploy` "
            "refuses that; change the framework too"
        )
    return Values(values, tuple(notes))


def _generation(session: boto3.Session, stack: str) -> int:
    """Generation of the stack's machine; 0 if there is no stack or no machine."""
    cloudformation = session.client("cloudformation")
    try:
        cloudformation.describe_stacks(StackName=stack)
    except ClientError as error:
        if "does not exist" not in str(error):
            raise
        return 0
    found = find_workstation(cloudformation, session.client("ssm"), session.client("ec2"), stack)
    return int(found.settings["generation"])
