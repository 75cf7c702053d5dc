"""Validates the settings of the daily stop.

Functions follow the conventions of ``gpustation.settings.values``.
"""

from __future__ import annotations

import difflib
import zoneinfo
from collections.abc import Collection

from gpustation.catalog.wall_time import WallTime
from gpustation.settings.values import text

MAX_PATIENCE_MINUTES = 720
"""Half a day: beyond it, the stop of a day could be nearer to that of the next."""

_UTC = "UTC"


def stop_at(value: object) -> str:
    """A time of day and a time zone: ``22:00 Europe/Berlin``."""
    wall = WallTime.parse(text(value))
    zones = {name for name in zoneinfo.available_timezones() if "/" in name or name == _UTC}
    if not zones:
        raise ValueError(
            "cannot be checked, as this computer has no time zones; run python -m pip install "
            "tzdata"
        )
    if wall.zone not in zones:
        raise ValueError(
            f"must end with a time zone of the IANA database, {_UTC} or Area/City such as "
            f"Europe/Berlin{_close(wall.zone, zones)}"
        )
    return str(wall)


def _close(given: str, zones: Collection[str]) -> str:
    """``"; did you mean X or Y?"`` with zones whose name or city is similar."""
    folded = {name.lower(): name for name in sorted(zones)}
    cities = {name.rpartition("/")[2]: name for name in folded}
    word = given.lower()
    near = difflib.get_close_matches(word, folded, n=3, cutoff=0.75)
    city = difflib.get_close_matches(word.rpartition("/")[2], cities, n=1, cutoff=0.75)
    found = [word] if word in folded else [*(cities[one] for one in city), *near]
    names = dict.fromkeys(folded[name] for name in found)
    return f"; did you mean {' or '.join([*names][:3])}?" if names else ""
