"""The instances of a stack as costs are counted from them."""

from __future__ import annotations

import re
from calendar import timegm
from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from time import strptime
from typing import TYPE_CHECKING, Any

from gpustation.aws.calls import call_aws
from gpustation.catalog.spending import Seen

if TYPE_CHECKING:
    from mypy_boto3_ec2 import EC2Client

STOPPABLE = "running"
"""EC2 refuses to stop an instance that is pending; the event of its next state comes soon."""
_TRANSITION = re.compile(r"\((\d{4}-\d\d-\d\d \d\d:\d\d:\d\d) GMT\)")
"""Time in EC2's StateTransitionReason, e.g. ``User initiated (2026-11-29 04:02:11 GMT)``."""


def read_machines(
    ec2: EC2Client, stack_id: str, *, patience: float | None = None
) -> tuple[list[Seen], float]:
    """The instances of a stack that EC2 still knows, and EC2's time.

    Args:
        ec2: The client.
        stack_id: The stack.
        patience: See ``call_aws``.

    Raises:
        UnknownError: They could not be read.
        ClientError: Another refusal of the service.
    """
    pages = ec2.get_paginator("describe_instances").paginate(
        Filters=[{"Name": "tag:aws:cloudformation:stack-id", "Values": [stack_id]}]
    )
    seen: list[Seen] = []
    now = 0.0
    for page in call_aws("the stack's instances", lambda: [*pages], patience=patience):
        date = page["ResponseMetadata"]["HTTPHeaders"]["date"]
        now = parsedate_to_datetime(date).timestamp()
        for reservation in page["Reservations"]:
            seen += [_seen(row) for row in reservation["Instances"]]
    return seen, now


def _seen(row: Mapping[str, Any]) -> Seen:
    changed = _TRANSITION.search(row.get("StateTransitionReason") or "")
    disks = row.get("BlockDeviceMappings") or []
    launched = row["LaunchTime"].timestamp()
    made = min(
        (disk["Ebs"]["AttachTime"].timestamp() for disk in disks if "AttachTime" in disk["Ebs"]),
        default=launched,
    )
    return Seen(
        machine=row["InstanceId"],
        state=row["State"]["Name"],
        instance_type=row["InstanceType"],
        launched=launched,
        made=min(made, launched),
        changed=float(timegm(strptime(changed[1], "%Y-%m-%d %H:%M:%S"))) if changed else None,
    )
