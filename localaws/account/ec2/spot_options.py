"""What a launch or a launch template says of spot: InstanceMarketOptions and its refusals."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from typing import Any

from localaws.account import prices
from localaws.account.errors import ApiError

Market = Mapping[str, Any]
Tags = tuple[Mapping[str, str], ...]
TEMPLATE_SECONDS = 7 * 86400
"""How long a persistent request of a launch template is valid if that says nothing (botocore's
model of LaunchTemplateSpotMarketOptionsRequest: "Default: 7 days from the current date")."""
LEAST_PRICE = 0.001
"""USD per hour below which no maximum is accepted (botocore, SpotMarketOptions)."""


@dataclass(frozen=True)
class SpotOptions:
    """The spot request of a launch.

    Attributes:
        kind: `one-time` or `persistent`.
        behavior: What EC2 does to the machine when it needs its capacity: `stop` or `terminate`.
        valid_until: In seconds since 1970; None: until it is cancelled.
        tags: Of the request; its machine does not get them.
    """

    kind: str = "one-time"
    behavior: str = "terminate"
    max_price: float | None = None
    valid_until: float | None = None
    tags: Tags = ()


def parse(market: Market, tags: Tags, now: float, *, template: bool = False) -> SpotOptions | None:
    """Read `InstanceMarketOptions`; None: there are none, so the machine is on demand.

    Raises:
        ApiError: AWS's refusal. Those of request type and behaviour are from public reports
            (pahud/cdk-spot-one#206, harmony-one/harmony-ops#285).
    """
    if not market:
        return None
    kind = market.get("MarketType")
    if kind is None:
        raise ApiError("MissingParameter", "The request must contain the parameter MarketType")
    if kind != "spot":
        raise ApiError("UnsupportedOperation", f"MarketType {kind}: the embedded AWS knows spot")
    options = market.get("SpotOptions") or {}
    unknown = {*options} - _KNOWN
    if unknown:
        raise ApiError(
            "UnsupportedOperation",
            f"SpotOptions {', '.join(sorted(unknown))}: the embedded AWS does not know it; teach "
            "localaws/account/ec2/spot_options.py",
        )
    found = SpotOptions(
        kind=str(options.get("SpotInstanceType") or "one-time"),
        behavior=str(options.get("InstanceInterruptionBehavior") or "terminate"),
        max_price=_price(options.get("MaxPrice")),
        valid_until=_until(options.get("ValidUntil"), now),
        tags=tags,
    )
    _refuse(found)
    if template and found.kind == "persistent" and found.valid_until is None:
        return replace(found, valid_until=now + TEMPLATE_SECONDS)
    return found


def require_price(options: SpotOptions, instance_type: str, zone: str, region: str) -> None:
    """Refuse a launch whose maximum is below the zone's price."""
    price = prices.spot(instance_type, zone, region)
    if options.max_price is not None and price is not None and options.max_price < price:
        raise ApiError(
            "SpotMaxPriceTooLow",
            f"Your Spot request price of {options.max_price:g} is lower than the minimum required "
            f"Spot request fulfillment price of {price:g}.",
        )


def _refuse(options: SpotOptions) -> None:
    if options.kind not in ("one-time", "persistent"):
        raise ApiError("InvalidParameterValue", f"Invalid value '{options.kind}'")
    if options.behavior not in ("stop", "terminate"):
        raise ApiError(
            "UnsupportedOperation",
            f"InstanceInterruptionBehavior {options.behavior}: the embedded AWS knows stop and "
            "terminate",
        )
    if options.kind == "persistent" and options.behavior == "terminate":
        raise ApiError(
            "InvalidParameterCombination",
            "The terminate InstanceInterruptionBehavior is not supported when requestType is set "
            "to persistent.",
        )
    if options.kind == "one-time" and options.behavior == "stop":
        raise ApiError(
            "InvalidParameterCombination",
            "The request with type 'one-time' is not supported when instanceInterruptionBehavior "
            "is set to 'stop'.",
        )
    if options.kind == "one-time" and options.valid_until is not None:
        raise ApiError(
            "InvalidParameterCombination",
            "ValidUntil is not supported when the request type is one-time.",
        )


def _price(text: Any) -> float | None:
    if text is None:
        return None
    price = float(text)
    if price < LEAST_PRICE:
        raise ApiError("InvalidParameterValue", f"MaxPrice {text} must be more than {LEAST_PRICE}")
    return price


def _until(text: Any, now: float) -> float | None:
    if text is None:
        return None
    end = datetime.fromisoformat(str(text).replace("Z", "+00:00"))
    seconds = (end if end.tzinfo else end.replace(tzinfo=timezone.utc)).timestamp()
    if seconds <= now:
        raise ApiError("InvalidParameterValue", f"ValidUntil {text} must be in the future.")
    return seconds


_KNOWN = {"SpotInstanceType", "InstanceInterruptionBehavior", "MaxPrice", "ValidUntil"}
