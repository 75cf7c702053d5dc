"""The images of workstations in an account: those a person saved, and those a stack baked."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from gpustation.aws.parallel import Calls
from gpustation.catalog import prices
from gpustation.catalog.images import FRAMEWORK_TAG
from gpustation.catalog.names import OWNER_TAG, SAVED_TAG
from gpustation.saved_image.remove import snapshots_of
from gpustation.saved_image.users import Users, read_users

if TYPE_CHECKING:
    import boto3
    from mypy_boto3_ec2 import EC2Client
    from mypy_boto3_ec2.type_defs import ImageTypeDef, SnapshotTypeDef
    from mypy_boto3_ssm import SSMClient

DEADLINE_SECONDS = 60.0
"""How long the calls may take together, botocore's own retries included."""
SAVED, BAKED = "saved", "baked"
PARAMETERS = "/gpustation/"
"""Path of the parameters in which stacks write the ids of baked images."""
_PARAMETER = re.compile(r"/gpustation/(?:[A-Za-z0-9-]+/)?image/[a-z]+")


@dataclass(frozen=True)
class OwnImage:
    """An image of a workstation.

    Attributes:
        image_id: Its id.
        kind: ``SAVED`` or ``BAKED``.
        name: Its name. Text of others, as the names of tags.
        parameter: Parameter that holds its id; empty for a saved image, and for a baked one that
            was replaced and kept (``image_retain=true``).
        saved_from: Id of the machine that it was saved from; empty for a baked image.
        framework: Framework that it contains; empty if its tags do not say so.
        state: State in EC2, e.g. ``available``.
        created: When it was created; ``None`` if EC2 does not say so.
        gib: Size of its disks in GiB.
        usd_per_month: Upper bound of the cost of its snapshots, in USD.
        users: Who uses it: stacks, machines, launch templates.
    """

    image_id: str
    kind: str
    name: str
    parameter: str
    saved_from: str
    framework: str
    state: str
    created: datetime | None
    gib: int
    usd_per_month: float
    users: tuple[str, ...]


def read_images(session: boto3.Session) -> list[OwnImage]:
    """The images of workstations in the session's region, the newest first.

    Raises:
        ClientError: AWS refused a call.
        BotoCoreError: AWS was not reached.
        DeadlineError: A call did not return in time.
    """
    ec2, ssm = session.client("ec2"), session.client("ssm")
    cloudformation = session.client("cloudformation")
    results: dict[str, Any] = Calls[Any](
        {
            "images": lambda: _images(ec2),
            "snapshots": lambda: _snapshots(ec2),
            "parameters": lambda: _parameters(ssm),
            "users": lambda: read_users(cloudformation, ec2),
        },
        DEADLINE_SECONDS,
    ).results()
    for result in results.values():
        if isinstance(result, Exception):
            raise result
    parameters, users = results["parameters"], results["users"]
    found = [_own(row, parameters, results["snapshots"], users) for row in results["images"]]
    return sorted(found, key=lambda one: str(one.created or ""), reverse=True)


def _images(ec2: EC2Client) -> list[Any]:
    pages = ec2.get_paginator("describe_images").paginate(
        Owners=["self"], Filters=[{"Name": "tag-key", "Values": [OWNER_TAG]}]
    )
    return [row for page in pages for row in page["Images"]]


def _snapshots(ec2: EC2Client) -> dict[str, Any]:
    pages = ec2.get_paginator("describe_snapshots").paginate(OwnerIds=["self"])
    return {row["SnapshotId"]: row for page in pages for row in page["Snapshots"]}


def _parameters(ssm: SSMClient) -> dict[str, str]:
    """Names of the parameters with baked images, by the id of the image."""
    pages = ssm.get_paginator("get_parameters_by_path").paginate(Path=PARAMETERS, Recursive=True)
    rows = [row for page in pages for row in page["Parameters"]]
    return {row["Value"]: row["Name"] for row in rows if _PARAMETER.fullmatch(row["Name"])}


def _own(
    row: ImageTypeDef,
    parameters: Mapping[str, str],
    snapshots: Mapping[str, SnapshotTypeDef],
    users: Users,
) -> OwnImage:
    from botocore.utils import parse_timestamp

    tags = {tag["Key"]: tag["Value"] for tag in row.get("Tags", [])}
    image_id, created = row["ImageId"], row.get("CreationDate")
    own = [snapshots[name] for name in snapshots_of(row) if name in snapshots]
    return OwnImage(
        image_id=image_id,
        kind=SAVED if SAVED_TAG in tags else BAKED,
        name=row.get("Name", ""),
        parameter=parameters.get(image_id, ""),
        saved_from=tags.get(SAVED_TAG, ""),
        framework=tags.get(FRAMEWORK_TAG, ""),
        state=row.get("State", ""),
        created=parse_timestamp(created) if created else None,
        gib=sum(
            disk.get("Ebs", {}).get("VolumeSize", 0) for disk in row.get("BlockDeviceMappings", [])
        ),
        usd_per_month=sum(_usd(snapshot) for snapshot in own),
        users=users.of(image_id),
    )


def _usd(snapshot: SnapshotTypeDef) -> float:
    tier = snapshot.get("StorageTier", "standard")
    full_bytes = snapshot.get("FullSnapshotSizeInBytes", 0)
    return prices.snapshot(tier, snapshot["VolumeSize"], full_bytes)[0]
