"""Where a spend limit works: the resources of its stack, and the clients that reach them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import boto3

from gpustation.aws.calls import RETRIES
from gpustation.aws.price_list import API_REGION
from gpustation.aws.spend_ledger import SpendLedger

if TYPE_CHECKING:
    from mypy_boto3_cloudformation import CloudFormationClient
    from mypy_boto3_ec2 import EC2Client
    from mypy_boto3_pricing import PricingClient
    from mypy_boto3_scheduler import EventBridgeSchedulerClient
    from mypy_boto3_sns import SNSClient
    from mypy_boto3_ssm import SSMClient


@dataclass(frozen=True)
class Place:
    """The resources of the stack, from the function's environment.

    Attributes:
        stack_id: Stack whose machines are counted.
        limit_usd: The setting ``monthly_budget_usd``.
        disk_gib: Size of the root disk of machines that are created, in GiB.
        table: Name of the ledger's table.
        notice: Name of the notice's parameter.
        group: Name of the group of its schedules.
        role: ARN of the role by which a schedule calls this function.
        topic: ARN of the topic for mails; empty without ``budget_email``.
    """

    stack_id: str
    limit_usd: float
    disk_gib: int
    table: str
    notice: str
    group: str
    role: str
    topic: str

    @classmethod
    def of(cls, environment: Mapping[str, str]) -> Place:
        """The place that an environment describes."""
        return cls(
            stack_id=environment["STACK_ID"],
            limit_usd=float(environment["LIMIT_USD"]),
            disk_gib=int(environment["DISK_GIB"]),
            table=environment["TABLE"],
            notice=environment["NOTICE"],
            group=environment["GROUP"],
            role=environment["SCHEDULE_ROLE"],
            topic=environment.get("TOPIC", ""),
        )

    @property
    def stack(self) -> str:
        """Name of the stack."""
        return self.stack_id.split("/")[1]


@dataclass(frozen=True)
class Clients:
    """The AWS clients; without ``pricing`` the partition has no price list."""

    cloudformation: CloudFormationClient
    ec2: EC2Client
    ledger: SpendLedger
    pricing: PricingClient | None
    scheduler: EventBridgeSchedulerClient
    sns: SNSClient
    ssm: SSMClient


def make_clients(place: Place) -> Clients:
    """The clients of the function's role."""

    def client(service: str, **more: Any) -> Any:
        return boto3.client(service, config=RETRIES, **more)  # type: ignore[call-overload]

    ec2 = client("ec2")
    region = API_REGION.get(ec2.meta.partition)
    return Clients(
        client("cloudformation"),
        ec2,
        SpendLedger(client("dynamodb"), place.table),
        client("pricing", region_name=region) if region else None,
        client("scheduler"),
        client("sns"),
        client("ssm"),
    )
