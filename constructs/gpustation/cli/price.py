"""``gpustation price``: what a workstation costs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from gpustation.cli.ending import run, say_json
from gpustation.cli.options import AsJson, OptionalType, Region, epilog, require_gpu_types

if TYPE_CHECKING:
    import boto3

    from gpustation.aws.price_list import Price
    from gpustation.offers.costs import Costs

EPILOG = epilog("gpustation price g5.xlarge --hours 4")


def price(
    instance_type: OptionalType = "",
    hours: Annotated[
        float, typer.Option(min=0, max=24, help="Hours a day that the machine runs.")
    ] = 8,
    disk_gib: Annotated[
        int, typer.Option("--disk-gib", min=1, max=16384, help="Size of the disk.")
    ] = 64,
    region: Region = "",
    as_json: AsJson = False,
) -> None:
    """Show what a workstation costs: running, stopped, and per month.

    Prices are AWS's present list prices of the region. If these cannot be had, for example without
    credentials, they are the catalog's, and the output says why.
    """
    require_gpu_types(instance_type)

    def work() -> int:
        from gpustation.aws.session import make_session
        from gpustation.offers.costs import read_costs

        session = make_session(region)
        name = instance_type or _own_type(session)
        costs = read_costs(session, session.region_name or "", name, disk_gib, hours)
        if as_json:
            say_json(document(costs, session.region_name))
        else:
            _show(costs)
        return 0

    run("price", work)


def _own_type(session: boto3.Session) -> str:
    from botocore.exceptions import BotoCoreError, ClientError

    from gpustation.offers.own_machine import DEFAULT_TYPE, own_machine

    try:
        machine = own_machine(session)
    except (BotoCoreError, ClientError):  # the price of the default is an answer too
        return DEFAULT_TYPE
    return machine.instance_type if machine else DEFAULT_TYPE


def document(costs: Costs, region: str | None) -> dict[str, Any]:
    """The costs as JSON data; what is unknown is ``null``."""
    return {
        "region": region,
        "instance_type": costs.instance_type,
        "disk_gib": costs.disk_gib,
        "hours_per_day": costs.hours,
        "usd": {
            "running_per_hour": _rounded(costs.running_hour),
            "running_per_day": _rounded(costs.running_hour, 24),
            "stopped_per_month": _rounded(costs.disk_month),
            "per_month": _rounded(costs.month),
        },
        "prices": {
            "machine_per_hour": _price(costs.machine),
            "disk_per_gib_month": _price(costs.disk),
            "address_per_hour": _price(costs.address),
        },
        "why_catalog": costs.why_catalog or None,
    }


def _price(price: Price) -> dict[str, Any]:
    return {
        "usd": price.usd_per_hour,
        "source": price.source,
        "as_of": price.as_of,
        "region": price.region,
    }


def _rounded(usd: float | None, times: float = 1) -> float | None:
    return None if usd is None else round(usd * times, 4)


def _show(costs: Costs) -> None:
    from gpustation.console.tables import say_note, say_table
    from gpustation.offers.price import BILL_DECIDES

    gib, hours = costs.disk_gib, costs.hours
    rows = [
        ("machine", _usd(costs.machine.usd_per_hour, 4), f"per hour, {costs.instance_type}"),
        ("address", _usd(costs.address.usd_per_hour, 4), "per hour, while it runs"),
        ("disk", _usd(costs.disk_month), f"per month, {gib} GiB, running or stopped"),
        ("hour", _usd(costs.running_hour, 4), "running: machine, address and disk"),
        ("day", _usd(costs.running_hour, times=24), "running for 24 hours"),
        ("stopped", _usd(costs.disk_month), "per month: the disk"),
        ("month", _usd(costs.month), f"running {hours:g} hours a day, the disk at all times"),
    ]
    say_table(("what", "USD", "for"), rows, right=("USD",))
    for origin, parts in _origins(costs).items():
        say_note(f"{', '.join(parts)}: {origin}")
    if costs.why_catalog:
        say_note(f"NOT LIVE: {costs.why_catalog}")
    say_note(f"Without tax, discounts, traffic and images; {BILL_DECIDES}.")


def _origins(costs: Costs) -> dict[str, list[str]]:
    """The parts by the origin of their price."""
    origins: dict[str, list[str]] = {}
    parts = {"machine": costs.machine, "disk": costs.disk, "address": costs.address}
    for name, price in parts.items():
        origins.setdefault(price.origin, []).append(name)
    return origins


def _usd(usd: float | None, digits: int = 2, *, times: float = 1) -> str | None:
    return None if usd is None else f"{usd * times:.{digits}f}"
