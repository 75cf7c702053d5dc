"""Spot Instance requests: finding and cancelling those of a stack."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime, timezone
from typing import TYPE_CHECKING, cast

from gpustation.aws.calls import call_aws
from gpustation.catalog.capacity import PLATFORM
from gpustation.catalog.spot import SpotRequest

if TYPE_CHECKING:
    from mypy_boto3_ec2 import EC2Client
    from mypy_boto3_ec2.literals import InstanceTypeType
    from mypy_boto3_ec2.type_defs import FilterTypeDef, SpotInstanceRequestTypeDef

ALIVE = ("active", "disabled", "open")
"""States in which a request has a machine or may launch one."""

SETTLE_SECONDS = 60.0
"""How long a cancelled request may still be listed as alive."""


def read_requests(
    ec2: EC2Client,
    tags: Mapping[str, str],
    *,
    states: tuple[str, ...] = ALIVE,
    patience: float | None = None,
) -> list[SpotInstanceRequestTypeDef]:
    """The requests with all these tags and one of these states.

    Raises:
        UnknownError: They could not be read.
        ClientError: Another refusal of the service.
    """
    filters: list[FilterTypeDef] = [{"Name": "state", "Values": [*states]}]
    filters += [{"Name": f"tag:{key}", "Values": [value]} for key, value in tags.items()]
    pages = ec2.get_paginator("describe_spot_instance_requests")
    answer = call_aws(
        "spot requests",
        lambda: pages.paginate(Filters=filters).build_full_result(),
        patience=patience,
    )
    return [*answer.get("SpotInstanceRequests", [])]


def read_by_id(ec2: EC2Client, ids: Iterable[str]) -> dict[str, SpotRequest]:
    """Requests by their ids, with a person's permissions; those that EC2 forgot are missing.

    Raises:
        UnknownError: They could not be read.
        ClientError: Another refusal of the service.
    """
    filters: list[FilterTypeDef] = [{"Name": "spot-instance-request-id", "Values": [*ids]}]
    pages = ec2.get_paginator("describe_spot_instance_requests")
    answer = call_aws(
        "spot requests",
        lambda: pages.paginate(Filters=filters).build_full_result(),
        patience=0,
    )
    found = {}
    for row in answer.get("SpotInstanceRequests", []):
        status = row.get("Status", {})
        found[row["SpotInstanceRequestId"]] = SpotRequest(
            row["SpotInstanceRequestId"],
            row["State"],
            status.get("Code", ""),
            status.get("UpdateTime"),
        )
    return found


def lowest_prices(ec2: EC2Client, instance_types: list[str]) -> dict[str, float]:
    """The lowest present spot price of each type in the region, in USD per hour.

    Raises:
        UnknownError: They could not be read.
        ClientError: Another refusal of the service.
    """
    pages = ec2.get_paginator("describe_spot_price_history")
    response = call_aws(
        "spot prices",
        lambda: pages.paginate(
            InstanceTypes=cast("list[InstanceTypeType]", instance_types),
            ProductDescriptions=[PLATFORM],
            StartTime=datetime.now(timezone.utc),
        ).build_full_result(),
        patience=0,
    )
    lowest: dict[str, float] = {}
    for row in response.get("SpotPriceHistory", []):
        name, usd = row["InstanceType"], float(row["SpotPrice"])
        lowest[name] = min(usd, lowest.get(name, usd))
    return lowest


def cancel_requests(
    ec2: EC2Client,
    tags: Mapping[str, str],
    *,
    monotonic: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> list[str]:
    """Cancels the requests with all these tags, and returns those that are still alive.

    EC2 terminates a stopped machine whose request is cancelled, so use it only for machines that
    are deleted.

    Raises:
        UnknownError: They could not be read or cancelled.
        ClientError: Another refusal of the service.
    """
    deadline = monotonic() + SETTLE_SECONDS
    while True:
        ids = [row["SpotInstanceRequestId"] for row in read_requests(ec2, tags)]
        if not ids:
            return []
        call_aws(
            f"spot requests {', '.join(ids)}",
            lambda ids=ids: ec2.cancel_spot_instance_requests(  # type: ignore[misc]
                SpotInstanceRequestIds=ids
            ),
        )
        if monotonic() >= deadline:
            return ids
        sleep(2.0)
