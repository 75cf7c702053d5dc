"""Refuses the copy of a disk whose machine has been started since.

``gpustation start`` moves a machine to another zone by an image of its stopped disk. If the move
is left half-way and the old machine is started and used, a later deploy of that image would delete
the newer disk.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from botocore.exceptions import ClientError

from gpustation.aws.calls import UnknownError, call_aws, error_code
from gpustation.catalog.names import LAST_START_TAG, SAVED_TAG, started_text
from gpustation.handlers.responder import RefusedError

if TYPE_CHECKING:
    from mypy_boto3_ec2 import EC2Client
    from mypy_boto3_ec2.type_defs import ImageTypeDef, InstanceTypeDef

_GONE = ("shutting-down", "terminated")
_STACK_ID = "aws:cloudformation:stack-id"

log = logging.getLogger(__name__)


def require_newest_copy(image: ImageTypeDef, stack_id: str, ec2: EC2Client) -> None:
    """Checks an image that was made for a move against the machine that it was made of.

    If that machine cannot be read, as without ``capacity_check``, it is not checked.

    Args:
        image: The image.
        stack_id: Id of the stack that is deployed.
        ec2: The client.

    Raises:
        RefusedError: The machine exists, is of this stack, and was started since.
    """
    tags = {tag["Key"]: tag["Value"] for tag in image.get("Tags", [])}
    copied, machine_id = tags.get(LAST_START_TAG), tags.get(SAVED_TAG)
    if not (copied and machine_id):
        return
    for machine in _machines(machine_id, ec2):
        own = {tag["Key"]: tag["Value"] for tag in machine.get("Tags", [])}
        started = started_text(machine["LaunchTime"])
        if machine["State"]["Name"] in _GONE or own.get(_STACK_ID) != stack_id or started == copied:
            continue
        raise RefusedError(
            f"image={image['ImageId']} is a copy of the disk of {machine_id} that is older than "
            f"the disk: the machine was started again at {started}, and what was written since "
            "would be deleted with it. Set image, generation and availability_zone back, or save "
            "the machine again (gpustation image save)"
        )


def _machines(machine_id: str, ec2: EC2Client) -> list[InstanceTypeDef]:
    try:
        answer = call_aws(
            f"machine {machine_id}",
            lambda: ec2.describe_instances(InstanceIds=[machine_id]),
            patience=0,
        )
    except UnknownError as why:
        log.info("not compared with its machine: %s", why)
        return []
    except ClientError as error:
        if error_code(error) != "InvalidInstanceID.NotFound":
            raise
        return []
    return [row for group in answer["Reservations"] for row in group["Instances"]]
