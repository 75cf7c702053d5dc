"""``gpustation regions``: which regions have a type, and what it costs there."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from gpustation.cli.ending import run, say_json
from gpustation.cli.options import AsJson, Region, epilog, require_gpu_types
from gpustation.console.statuses import FINDING, TIMED_OUT

if TYPE_CHECKING:
    from gpustation.offers.regions import Row

T = TypeVar("T")
EPILOG = epilog("gpustation regions g4dn.xlarge g5.xlarge", FINDING, TIMED_OUT)


def regions(
    instance_types: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="TYPE",
            help="EC2 types with a GPU. Default: that of the workstation, else g4dn.xlarge.",
            show_default=False,
        ),
    ] = None,
    region: Region = "",
    as_json: AsJson = False,
) -> None:
    """Compare the regions: zones that offer the type, quota, prices, and the distance from here.

    All are asked at the same time, for 10 seconds at most. What could not be asked is shown as
    unknown, with the reason. Exit status 1: no region is known to suit.
    """
    names = list(dict.fromkeys(instance_types or []))
    require_gpu_types(*names)

    def work() -> int:
        from gpustation.aws.session import make_session
        from gpustation.offers.regions import SUITS, read_regions

        begin = time.monotonic()
        try:
            rows = read_regions(make_session(region), names, _progress)
        finally:
            _clear()
        seconds = time.monotonic() - begin
        if as_json:
            say_json(document(rows, seconds))
        else:
            _show(rows, seconds)
        return 0 if any(row.verdict == SUITS for row in rows) else FINDING

    run("regions", work)


def _progress(done: int, total: int) -> None:
    _write(f"\r{done} of {total} answers")


def _clear() -> None:
    _write(f"\r{' ' * 30}\r")


def _write(text: str) -> None:
    """Progress is for a person only, and on standard error so that it is not in the result."""
    if sys.stderr.isatty():
        sys.stderr.write(text)
        sys.stderr.flush()


def document(rows: list[Row], seconds: float) -> dict[str, Any]:
    """The rows as JSON data; what is unknown is ``null``."""
    return {
        "instance_types": list(dict.fromkeys(sorted(row.instance_type for row in rows))),
        "seconds": round(seconds, 1),
        "rows": [_data(row) for row in rows],
    }


def _data(row: Row) -> dict[str, Any]:
    quota, price = row.quota, row.price
    return {
        "region": row.region,
        "instance_type": row.instance_type,
        "opt_in_status": row.opt_in_status,
        "zones": row.zones,
        "quota": quota
        and {
            "needed": quota.needed,
            "limit": quota.limit,
            "in_use": quota.in_use,
            "free": quota.free,
        },
        "usd_per_hour": price and price.usd_per_hour,
        "price_as_of": price and price.as_of,
        "spot_usd_per_hour": row.spot,
        "latency_ms": None if row.latency is None else round(row.latency, 1),
        "verdict": row.verdict,
        "reason": row.reason,
        "unknown": dict(row.unknown),
    }


def _show(rows: list[Row], seconds: float) -> None:
    from gpustation.console.tables import say_note, say_table
    from gpustation.offers.price import BILL_DECIDES
    from gpustation.offers.regions import DISABLED

    numbers = ("free vCPUs", "USD/h", "spot USD/h", "ms")
    columns = ["region", "type", "zones", *numbers, "verdict", "why"]
    cells = [_cells(row) for row in rows]
    if sys.stdout.isatty() and len({row.instance_type for row in rows}) == 1:
        say_note(rows[0].instance_type)
        columns, cells = _without(1, columns), [_without(1, row) for row in cells]
    say_table(columns, cells, right=numbers)
    prices = [row.price for row in rows if row.price]
    if prices:
        say_note(
            f"Prices: {prices[0].source} of {max(price.as_of for price in prices)}, without tax "
            f"and discounts, spot as of now; {BILL_DECIDES}."
        )
    elif failed := [row.unknown["price"] for row in rows if "price" in row.unknown]:
        say_note(f"On-demand prices are unknown: {failed[0]}")
    if any(row.verdict == DISABLED for row in rows):
        say_note("To enable a region: aws account enable-region --region-name REGION")
    say_note(
        "The verdict rests on zones and quota; whether EC2 has capacity shows only at a launch. "
        f"Took {seconds:.1f} s."
    )


def _without(index: int, cells: list[T]) -> list[T]:
    """The cells but one: with a single type its column says nothing, and rows get narrower."""
    return [*cells[:index], *cells[index + 1 :]]


def _cells(row: Row) -> list[object]:
    quota, usd = row.quota, row.price.usd_per_hour if row.price else None
    return [
        row.region,
        row.instance_type,
        None if row.zones is None else len(row.zones),
        None if quota is None or quota.free is None else f"{quota.free} of {quota.limit}",
        None if usd is None else f"{usd:.4g}",
        None if row.spot is None else f"{row.spot:.4g}",
        None if row.latency is None else f"{row.latency:.0f}",
        row.verdict,
        row.reason,
    ]
