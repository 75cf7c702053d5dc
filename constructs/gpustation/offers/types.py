"""The types of the catalog, and the zones of a region that offer them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from botocore.exceptions import BotoCoreError, ClientError

from gpustation.aws.calls import UnknownError
from gpustation.aws.session import explain
from gpustation.aws.zones import zones_by_type
from gpustation.catalog.gpu_types import GpuType, gpu_types
from gpustation.offers.price import BRIEF

if TYPE_CHECKING:
    import boto3


@dataclass(frozen=True)
class Offer:
    """A type of the catalog.

    Attributes:
        gpu_type: The type.
        obstacle: Why the framework cannot run on it; ``None`` if it can.
        zones: Zones of the region that offer it; ``None`` if unknown.
    """

    gpu_type: GpuType
    obstacle: str | None
    zones: list[str] | None


def select(framework: str, gpus: int | None, max_price: float | None) -> list[Offer]:
    """The types of the catalog with unknown zones, cheapest first, those without a price last.

    Args:
        framework: The framework that they should run.
        gpus: Only types with this number of GPUs. Default: any.
        max_price: Only types with a known price of at most this, in USD per hour. Default: any.
    """
    offers = [
        Offer(one, one.obstacle(framework), None)
        for one in gpu_types().values()
        if gpus in (None, one.gpus) and _is_within(one.usd_per_hour, max_price)
    ]
    return sorted(offers, key=_by_price)


def with_zones(offers: list[Offer], session: boto3.Session) -> tuple[list[Offer], str]:
    """The offers with the zones of the session's region, and why these are unknown, if they are."""
    try:
        ec2 = session.client("ec2", config=BRIEF)
        zones = zones_by_type(ec2, ["g*", "p*"], patience=0)
    except UnknownError as why:
        return offers, _explained(why)
    except (ClientError, BotoCoreError) as error:
        return offers, explain(error)
    return [
        Offer(one.gpu_type, one.obstacle, zones.get(one.gpu_type.name, [])) for one in offers
    ], ""


def _explained(why: UnknownError) -> str:
    cause = why.__cause__
    return explain(cause) if isinstance(cause, (ClientError, BotoCoreError)) else str(why)


def _is_within(usd: float | None, limit: float | None) -> bool:
    return limit is None or (usd is not None and usd <= limit)


def _by_price(offer: Offer) -> tuple[bool, float, str]:
    usd = offer.gpu_type.usd_per_hour
    return usd is None, usd or 0.0, offer.gpu_type.name
