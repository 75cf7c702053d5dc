"""Zones for a spot machine, and whether a machine that may be either becomes one.

EC2 reserves no spot capacity, so no zone can be asked. Of AWS's placement scores only the order
counts: with fewer than three types they are low by definition (EC2 API, GetSpotPlacementScores).
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import TYPE_CHECKING, TypeVar, cast

from botocore.exceptions import ClientError

from gpustation.aws.calls import NOT_UNDERSTOOD, UnknownError, call_aws, error_code
from gpustation.aws.quotas import (
    compare,
    known,
    read_instances,
    read_open_spot_requests,
    read_quota,
)
from gpustation.catalog.capacity import PLATFORM
from gpustation.catalog.gpu_types import gpu_types
from gpustation.catalog.quotas import Need
from gpustation.handlers.capacity_hold import Clients
from gpustation.handlers.responder import Event

if TYPE_CHECKING:
    from mypy_boto3_ec2 import EC2Client
    from mypy_boto3_ec2.literals import InstanceTypeType

T = TypeVar("T")
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Market:
    """What is known about the spot market of a type.

    Attributes:
        zones: The zones, the one with the best chance first.
        scores: AWS's placement score, 1 to 10, by zone; empty if unknown.
        prices: Present spot price in USD per hour by zone; ``None`` if unknown. A zone without one
            does not sell it.
    """

    zones: list[str]
    scores: dict[str, int]
    prices: dict[str, float] | None

    def __str__(self) -> str:
        """The first zone with its reasons, for the output ``Capacity``."""
        zone = self.zones[0]
        facts = [f"placement score {self.scores[zone]}"] if zone in self.scores else []
        facts += [f"{self.prices[zone]:g} USD per hour now"] if self.prices else []
        return f"spot in {zone}" + (f": {', '.join(facts)}" if facts else "")


def read_market(instance_type: str, zones: list[str], ec2: EC2Client) -> Market:
    """Scores and prices of the zones; what cannot be read does not count.

    Args:
        instance_type: EC2 type.
        zones: Zones in which the machine may be, in the order that counts if all else is equal.
        ec2: Client of the region.
    """
    scores = _or(dict[str, int](), lambda: _scores(instance_type, ec2))
    prices = _or(None, lambda: _prices(instance_type, ec2))
    selling = [zone for zone in zones if prices is None or zone in prices]
    ordered = sorted(
        selling or zones,
        key=lambda zone: (-scores.get(zone, 0), (prices or {}).get(zone, 0.0), zones.index(zone)),
    )
    return Market(ordered, scores, prices if selling else {})


def against_spot(event: Event, market: Market, clients: Clients) -> str:
    """Why a machine that may be either is bought on demand; empty if it is a spot machine.

    A spot machine never costs more than the on-demand price, which is its default maximum (EC2
    API, SpotMarketOptions), so the price alone is no reason.
    """
    if market.prices == {}:
        return "no zone sells it as spot"
    gpu_type = gpu_types()[event["ResourceProperties"]["InstanceType"]]
    code = gpu_type.spot_quota_code
    if not code:
        return "it is not known which spot quota counts it"
    quota = known(lambda: read_quota(clients.quotas, code))
    instances = known(lambda: read_instances(clients.ec2, event["StackId"]))
    waiting = known(lambda: read_open_spot_requests(clients.ec2))
    using = None
    if instances.value is not None and waiting.value is not None:
        using = [*instances.value, *waiting.value]
    need = Need(gpu_type.vcpus, replaces_own=False)
    verdict = compare(need, quota.value, using, [], clients.ec2)
    if verdict.free is None:
        why = next((fact.why for fact in (quota, instances, waiting) if fact.why), "use unknown")
        return f"the spot quota {code} is unknown ({why})"
    if verdict.is_refusal:
        return (
            f"the spot quota {code} has {verdict.free} of {gpu_type.vcpus} vCPUs free (limit "
            f"{verdict.limit}, in use {verdict.in_use})"
        )
    return ""


def _or(default: T, read: Callable[[], T]) -> T:
    try:
        return read()
    except UnknownError as why:
        log.info("%s", why)
    except ClientError as error:
        log.info("%s: %s", error.operation_name, error_code(error))
    except NOT_UNDERSTOOD:
        log.exception("unexpected response of AWS")
    return default


def _scores(instance_type: str, ec2: EC2Client) -> dict[str, int]:
    zones = call_aws("zones", lambda: ec2.describe_availability_zones())["AvailabilityZones"]
    names = {zone["ZoneId"]: zone["ZoneName"] for zone in zones}
    # Organizations often deny it, so a denial is not waited for
    answer = call_aws(
        "spot placement scores",
        lambda: ec2.get_spot_placement_scores(
            InstanceTypes=[instance_type],
            TargetCapacity=1,
            SingleAvailabilityZone=True,
            RegionNames=[ec2.meta.region_name],
        ),
        patience=0,
    )
    rows = answer.get("SpotPlacementScores", [])
    return {names[row["AvailabilityZoneId"]]: row["Score"] for row in rows}


def _prices(instance_type: str, ec2: EC2Client) -> dict[str, float]:
    answer = call_aws(
        "spot prices",
        lambda: ec2.describe_spot_price_history(
            InstanceTypes=[cast("InstanceTypeType", instance_type)],
            ProductDescriptions=[PLATFORM],
            StartTime=datetime.now(timezone.utc),
        ),
    )
    newest = sorted(answer["SpotPriceHistory"], key=lambda row: row["Timestamp"])
    return {row["AvailabilityZone"]: float(row["SpotPrice"]) for row in newest}
