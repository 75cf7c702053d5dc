"""The moments at which clocks show a time of day, in zones that change it in different ways."""

from __future__ import annotations

from datetime import date, datetime, timedelta, timezone
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gpustation.catalog.wall_time import WallTime

ZONES = (
    "Europe/Berlin",
    "America/New_York",
    "Asia/Kolkata",
    "Australia/Lord_Howe",  # half an hour
    "America/Havana",  # at midnight
    "Africa/Casablanca",
    "UTC",
)
DAYS = st.dates(date(2026, 1, 1), date(2040, 12, 31))
WALLS = st.builds(WallTime, st.integers(0, 23), st.integers(0, 59), st.sampled_from(ZONES))


def test_the_form() -> None:
    assert str(WallTime.parse("7:05  Etc/GMT+5")) == "07:05 Etc/GMT+5"


@pytest.mark.parametrize(
    ("text", "day", "moment"),
    [
        ("22:00 Europe/Berlin", "2026-03-28", "2026-03-28T21:00"),
        ("22:00 Europe/Berlin", "2026-03-29", "2026-03-29T20:00"),
        ("02:30 Europe/Berlin", "2026-03-29", "2026-03-29T01:00"),  # the gap's end
        ("02:30 Europe/Berlin", "2026-10-25", "2026-10-25T00:30"),  # the first of two
        ("02:30 America/New_York", "2026-03-08", "2026-03-08T07:00"),
        ("01:30 America/New_York", "2026-11-01", "2026-11-01T05:30"),
        ("22:00 Asia/Kolkata", "2026-03-29", "2026-03-29T16:30"),
        ("02:15 Australia/Lord_Howe", "2026-10-04", "2026-10-03T15:30"),
    ],
)
def test_the_moment_of_a_day(text: str, day: str, moment: str) -> None:
    due = WallTime.parse(text).on(date.fromisoformat(day))

    assert due == datetime.fromisoformat(moment).replace(tzinfo=timezone.utc)


@given(WALLS, DAYS)
def test_clocks_show_it_then_or_skip_it(wall: WallTime, day: date) -> None:
    zone = ZoneInfo(wall.zone)
    shown = wall.on(day).astimezone(zone)

    if (shown.hour, shown.minute) == (wall.hour, wall.minute):
        assert shown.fold == 0
    else:
        before = (wall.on(day) - timedelta(seconds=1)).astimezone(zone)
        assert shown.utcoffset() != before.utcoffset(), "a gap ends here"
        assert (before.hour, before.minute) < (wall.hour, wall.minute) or before.date() < day


@given(WALLS, DAYS, st.integers(-11 * 60, 11 * 60))
def test_the_nearest_moment(wall: WallTime, day: date, minutes: int) -> None:
    due = wall.on(day)

    assert wall.nearest(due + timedelta(minutes=minutes)) == due


@given(WALLS, st.integers(0, 720))
def test_a_later_time_of_day(wall: WallTime, minutes: int) -> None:
    later = wall.later(minutes)

    passed = (later.hour * 60 + later.minute - wall.hour * 60 - wall.minute) % (24 * 60)
    assert passed == minutes


@pytest.mark.parametrize(
    ("text", "after"),
    [
        ("22:00 Europe/Berlin", None),
        ("02:00 Europe/Berlin", "03:00 Europe/Berlin"),
        ("02:59 America/New_York", "03:00 America/New_York"),
        ("03:00 America/New_York", None),
        ("02:10 Australia/Lord_Howe", "02:30 Australia/Lord_Howe"),
        ("00:30 America/Havana", "01:00 America/Havana"),
        ("02:30 Asia/Kolkata", None),
        ("02:30 UTC", None),
    ],
)
def test_a_time_that_clocks_skip_on_some_day(text: str, after: str | None) -> None:
    found = WallTime.parse(text).after_gap()

    assert (found and str(found)) == after
