"""``gpustation image list``: the images of workstations, saved and baked."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

from gpustation.catalog import prices
from gpustation.cli.ending import run, say_json
from gpustation.cli.options import AsJson, Region, epilog

if TYPE_CHECKING:
    from gpustation.saved_image.own_images import OwnImage

EPILOG = epilog("gpustation image list")
COLUMNS = ("image", "kind", "name", "state", "days", "GiB", "USD/month", "used by")


def list_images(region: Region = "", as_json: AsJson = False) -> None:
    """List the images of workstations in the region: saved ones and baked ones.

    With their age, size, cost and who uses them. Changes nothing.
    """

    def work() -> int:
        from gpustation.aws.session import make_session
        from gpustation.saved_image.own_images import read_images

        session = make_session(region)
        found = read_images(session)
        place = session.client("ec2").meta.region_name
        if as_json:
            say_json(document(place, found))
        else:
            _show(place, found)
        return 0

    run("image list", work)


def document(region: str, found: list[OwnImage]) -> dict[str, Any]:
    """The images as JSON data."""
    return {
        "region": region,
        "images": [
            {
                "image": one.image_id,
                "kind": one.kind,
                "name": one.name,
                "parameter": one.parameter or None,
                "saved_from": one.saved_from or None,
                "framework": one.framework or None,
                "state": one.state,
                "created": one.created,
                "gib": one.gib,
                "usd_per_month": round(one.usd_per_month, 2),
                "used_by": list(one.users),
            }
            for one in found
        ],
        "usd_per_month": round(sum(one.usd_per_month for one in found), 2),
        "prices": {"source": "catalog", "as_of": prices.PRICES_AS_OF},
    }


def _show(region: str, found: list[OwnImage]) -> None:
    from gpustation.console.tables import say_note, say_table
    from gpustation.offers.price import BILL_DECIDES

    if not found:
        say_note(f"There is no image of a workstation in {region}; `gpustation image save`.")
        return
    now = datetime.now(timezone.utc)
    say_table(COLUMNS, (_row(one, now) for one in found), right=("days", "GiB", "USD/month"))
    say_note(
        f"Cost: at most, if the disk was full; catalog ({prices.PRICES_AS_OF}); {BILL_DECIDES}."
    )


def _row(one: OwnImage, now: datetime) -> tuple[object, ...]:
    days = None if one.created is None else (now - one.created).days
    usd, users = f"{one.usd_per_month:.2f}", ", ".join(one.users) or None
    name = one.parameter or one.name
    return (one.image_id, one.kind, name, one.state, days, one.gib, usd, users)
