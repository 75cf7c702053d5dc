"""``gpustation types``: the EC2 types with a GPU."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from gpustation.catalog.frameworks import Framework
from gpustation.cli.ending import run, say_json
from gpustation.cli.options import AsJson, Region, epilog

if TYPE_CHECKING:
    from gpustation.offers.types import Offer

EPILOG = epilog("gpustation types --framework pytorch --gpus 4 --max-price 6")
_UNKNOWN_ZONES = "unknown"


def types(
    framework: Annotated[
        Framework, typer.Option(help="Framework that the types should run.")
    ] = Framework.MXNET,
    gpus: Annotated[
        int | None, typer.Option(min=1, metavar="N", help="Only types with N GPUs.")
    ] = None,
    max_price: Annotated[
        float | None,
        typer.Option(min=0, metavar="USD", help="Only types that cost at most USD per hour."),
    ] = None,
    all_types: Annotated[
        bool, typer.Option("--all", help="Also types that cannot run the framework, and why.")
    ] = False,
    region: Region = "",
    as_json: AsJson = False,
) -> None:
    """List the types that run the framework, and the zones that offer them.

    Prices are the catalog's, of us-east-1; `gpustation price` and `gpustation regions` show the
    present ones. Without access to AWS the zones are unknown.
    """

    def work() -> int:
        from gpustation.aws.session import make_session
        from gpustation.offers.types import select, with_zones

        session = make_session(region)
        offers, why = with_zones(select(framework.value, gpus, max_price), session)
        shown = [one for one in offers if all_types or one.obstacle is None]
        if as_json:
            say_json(document(shown, framework.value, session.region_name, why))
        else:
            _show(shown, len(offers) - len(shown), framework.value, session.region_name, why)
        return 0

    run("types", work)


def document(
    offers: list[Offer], framework: str, region: str | None, zones_unknown: str
) -> dict[str, Any]:
    """The types as JSON data; what is unknown is ``null``."""
    from gpustation.offers.price import from_catalog

    price = from_catalog("")
    return {
        "region": region,
        "framework": framework,
        "zones_unknown": zones_unknown or None,
        "types": [
            {
                "instance_type": one.gpu_type.name,
                "gpu": one.gpu_type.gpu,
                "gpus": one.gpu_type.gpus,
                "vcpus": one.gpu_type.vcpus,
                "quota_code": one.gpu_type.quota_code,
                "usd_per_hour": one.gpu_type.usd_per_hour,
                "zones": one.zones,
                "obstacle": one.obstacle,
            }
            for one in offers
        ],
        "price": {"source": price.source, "as_of": price.as_of, "region": price.region},
    }


def _show(offers: list[Offer], hidden: int, framework: str, region: str | None, why: str) -> None:
    from gpustation.console.tables import say_note, say_table
    from gpustation.offers.price import BILL_DECIDES, from_catalog

    columns = ["type", "GPU", "GPUs", "vCPUs", "USD/h", f"zones in {region or 'no region'}"]
    obstacles = any(one.obstacle for one in offers)
    rows = [_row(one, obstacles) for one in offers]
    say_table([*columns, *(["cannot run it"] if obstacles else [])], rows, right=columns[2:5])
    if hidden:
        say_note(f"{hidden} more cannot run {framework}; --all lists them with the reason.")
    if why:
        say_note(f"The zones are unknown: {why}")
    say_note(f"Prices: {from_catalog('').origin}, without tax and discounts; {BILL_DECIDES}.")


def _row(one: Offer, obstacles: bool) -> tuple[object, ...]:
    gpu_type, usd = one.gpu_type, one.gpu_type.usd_per_hour
    return (
        gpu_type.name,
        gpu_type.gpu.upper(),
        gpu_type.gpus or "fraction",
        gpu_type.vcpus,
        None if usd is None else f"{usd:.4g}",
        _zones(one.zones),
        *([one.obstacle or ""] if obstacles else []),
    )


def _zones(zones: list[str] | None) -> str:
    """The letters of the zones; their region is in the heading."""
    if zones is None:
        return _UNKNOWN_ZONES
    return " ".join(zone[-1] for zone in zones) or "none"
