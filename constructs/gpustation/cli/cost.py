"""``gpustation cost``: what a workstation cost in a month."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from gpustation.catalog.spending import Month
from gpustation.cli.ending import run, say_json
from gpustation.cli.options import AsJson, Name, Region, Stack, epilog
from gpustation.cli.selecting import named, selected

if TYPE_CHECKING:
    from gpustation.workstation.cost import MonthlyCost

EPILOG = epilog("gpustation cost --month 2026-11")


def cost(
    name: Name = "",
    stack: Stack = "",
    month: Annotated[
        str, typer.Option(metavar="YYYY-MM", help="A month of UTC. Default: the present one.")
    ] = "",
    region: Region = "",
    as_json: AsJson = False,
) -> None:
    """Show what a workstation cost in a month: machine, address, disk, images, and its limit.

    A workstation with the setting monthly_budget_usd records its months; of another one only the
    present run is known. Prices are list prices.
    """
    stack = named(name, stack)
    try:
        wanted = Month.parse(month) if month else None
    except ValueError as rule:
        raise typer.BadParameter(f"--month {month} {rule}") from None

    def work() -> int:
        from gpustation.aws.session import make_session
        from gpustation.workstation.cost import read_cost

        session = make_session(region)
        one = selected(session.client("cloudformation"), stack)
        found = read_cost(session, one.stack, wanted)
        if as_json:
            say_json(document(found))
        else:
            _show(found)
        return 0

    run("cost", work)


def document(found: MonthlyCost) -> dict[str, Any]:
    """The costs as JSON data; what is unknown is ``null``."""
    from datetime import datetime, timezone

    notice = found.notice
    return {
        "stack": found.stack,
        "month": str(found.month),
        "usd": {
            "machine": round(found.spent.machine, 4),
            "address": round(found.spent.address, 4),
            "disk": round(found.spent.disk, 4),
            "total": round(found.spent.total, 4),
            "this_run": None if found.this_run is None else round(found.this_run, 4),
            "per_hour_now": round(found.usd_per_hour, 4),
            "images_per_month": round(found.images_per_month, 2),
        },
        "recorded": found.is_recorded,
        "limit_usd": notice.limit_usd if notice else None,
        "left_usd": round(max(notice.limit_usd - found.spent.total, 0), 4) if notice else None,
        "stops_at": datetime.fromtimestamp(found.stops_at, timezone.utc)
        if found.stops_at
        else None,
        "stopped_because": (notice.reason or None) if notice else None,
    }


def _show(found: MonthlyCost) -> None:
    from gpustation.console.tables import say_note, say_table
    from gpustation.offers.price import BILL_DECIDES
    from gpustation.workstation.cost import price_origin

    costs = found.spent
    since = f"in {found.month}" if found.is_recorded else "in this run"
    rows = [
        ("machine", f"{costs.machine:.2f}", since),
        ("address", f"{costs.address:.2f}", since),
        ("disk", f"{costs.disk:.2f}", since),
        ("total", f"{costs.total:.2f}", f"of {found.stack}, {since}"),
    ]
    if found.this_run is not None:
        rows.append(("this run", f"{found.this_run:.2f}", "machine and address since its start"))
    if found.usd_per_hour:
        rows.append(("now", f"{found.usd_per_hour:.4f}", "per hour"))
    rows.append(("images", f"{found.images_per_month:.2f}", "per month at most, not in the total"))
    if found.notice:
        left = max(found.notice.limit_usd - costs.total, 0.0)
        rows.append(
            (
                "left",
                f"{left:.2f}",
                f"of the limit of {found.notice.limit_usd:g} USD; {_end(found)}",
            )
        )
    say_table(("what", "USD", "for"), rows, right=("USD",))
    if not found.is_recorded:
        say_note(
            f"What ran before in {found.month} is not recorded; the setting monthly_budget_usd "
            "records it."
        )
        say_note(f"Prices: {price_origin()}.")
    else:
        say_note("Prices: AWS price list of the region, as stored at the deploy.")
    say_note(f"Without traffic, logs, tax and discounts; {BILL_DECIDES}.")


def _end(found: MonthlyCost) -> str:
    from gpustation.catalog.spend_limit import moment

    assert found.notice
    if found.notice.reason:
        return f"the machine may not run: {found.notice.reason}"
    if found.stops_at is None:
        return "it is not reached this month"
    return f"it stops the machine at {moment(found.stops_at)}"
