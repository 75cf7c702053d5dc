"""Stores the prices that a spend limit counts with; it invents none."""

from __future__ import annotations

import logging

from botocore.exceptions import ClientError

from gpustation.aws.calls import UnknownError, call_aws
from gpustation.aws.price_list import disk_from_price_list, from_price_list
from gpustation.handlers.responder import RefusedError
from gpustation.handlers.spend_place import Clients, Place

log = logging.getLogger(__name__)


def store_prices(place: Place, clients: Clients, instance_type: str) -> None:
    """Read the prices of a machine and its disk from the price list and store them.

    If the price list cannot be reached, prices that were stored before are kept.

    Args:
        place: The resources of the stack.
        clients: The AWS clients.
        instance_type: Type of the machine.

    Raises:
        RefusedError: They are not known.
    """
    records = clients.ledger.read()
    stored = {*records.machines, *(["gp3"] if records.disk_per_gib is not None else [])}
    without = "use another type, or deploy without monthly_budget_usd"
    region, pricing = clients.ec2.meta.region_name, clients.pricing
    limit = f"monthly_budget_usd={place.limit_usd:g}"
    if pricing is None:
        raise RefusedError(
            f"{limit}: AWS has no price list for {region}, so costs cannot be counted; deploy "
            "without monthly_budget_usd"
        )
    for name, read in (
        (instance_type, lambda: from_price_list(pricing, region, instance_type)),
        ("gp3", lambda: disk_from_price_list(pricing, region)),
    ):
        try:
            price = call_aws(f"price of {name}", read)
        except (UnknownError, ClientError) as error:
            if name in stored:
                log.warning("the stored price of %s is kept: %s", name, error)
                continue
            raise RefusedError(
                f"{limit}: the price of a {name} in {region} could not be read from AWS's "
                f"price list ({error}), so costs cannot be counted; deploy again later, or "
                "without monthly_budget_usd"
            ) from error
        if price is None or price.usd_per_hour is None:
            raise RefusedError(
                f"{limit}: AWS's price list has no single price of a {name} in {region}, so "
                f"costs cannot be counted; {without}"
            )
        clients.ledger.store_price(name, price.usd_per_hour, price.as_of)
