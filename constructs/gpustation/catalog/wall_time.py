"""A time of day in a time zone, and the moments at which clocks there show it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta, timezone
from zoneinfo import ZoneInfo

_FORM = re.compile(r"([0-9]{1,2}):([0-9]{2})[ \t]+([A-Za-z0-9_+/-]{1,50})")
"""50 is the longest zone that EventBridge Scheduler accepts (API reference)."""
_MINUTES_PER_DAY = 24 * 60
_GAP_YEARS = range(2026, 2041)
"""Years in which a skipped hour is looked for. Fixed, so that a template does not depend on the
day of the synth."""


@dataclass(frozen=True)
class WallTime:
    """A time of day in a time zone of the IANA database.

    Attributes:
        hour: 0 to 23.
        minute: 0 to 59.
        zone: Name of the zone, e.g. ``Europe/Berlin``.
    """

    hour: int
    minute: int
    zone: str

    @classmethod
    def parse(cls, text: str) -> WallTime:
        """The time in a text such as ``22:00 Europe/Berlin``; the zone need not exist.

        Raises:
            ValueError: It has another form; the message has the rule and the remedy.
        """
        match = _FORM.fullmatch(text)
        if match is None or int(match[1]) > 23 or int(match[2]) > 59:
            raise ValueError(
                "must be HH:MM, from 00:00 to 23:59, a blank and a time zone; use one such as "
                "22:00 Europe/Berlin"
            )
        return cls(int(match[1]), int(match[2]), match[3])

    def __str__(self) -> str:
        return f"{self.hour:02}:{self.minute:02} {self.zone}"

    def later(self, minutes: int) -> WallTime:
        """The time that a clock shows so many minutes later."""
        total = (self.hour * 60 + self.minute + minutes) % _MINUTES_PER_DAY
        return WallTime(total // 60, total % 60, self.zone)

    def on(self, day: date) -> datetime:
        """The moment at which clocks show this time on a day, in UTC.

        The first one of two, when summer time ends. If clocks skip the time, the first moment
        after the gap.

        Raises:
            ZoneInfoNotFoundError: There is no such zone in this computer's data.
        """
        zone = ZoneInfo(self.zone)
        wall = datetime.combine(day, time(self.hour, self.minute))
        first = wall.replace(tzinfo=zone).astimezone(timezone.utc)
        if first.astimezone(zone).replace(tzinfo=None) == wall:
            return first
        # In a gap, fold=0 counts with the offset before it, and fold=1 with the one after it
        low = int(wall.replace(tzinfo=zone, fold=1).timestamp())
        high = int(first.timestamp())
        after = _offset(high, zone)
        while high - low > 1:
            middle = (low + high) // 2
            if _offset(middle, zone) == after:
                high = middle
            else:
                low = middle
        return datetime.fromtimestamp(high, timezone.utc)

    def nearest(self, moment: datetime) -> datetime:
        """Of all moments at which clocks show this time, the one nearest to a moment, in UTC.

        Raises:
            ZoneInfoNotFoundError: There is no such zone in this computer's data.
        """
        today = moment.astimezone(ZoneInfo(self.zone)).date()
        days = (today + timedelta(days=n) for n in (-1, 0, 1))
        return min(map(self.on, days), key=lambda due: abs(due - moment))

    def after_gap(self) -> WallTime | None:
        """The time that clocks show next on a day on which they skip this one; ``None`` if never.

        Raises:
            ZoneInfoNotFoundError: There is no such zone in this computer's data.
        """
        zone = ZoneInfo(self.zone)
        day = date(_GAP_YEARS.start, 1, 1)
        while day.year < _GAP_YEARS.stop:
            shown = self.on(day).astimezone(zone)
            if (shown.hour, shown.minute) != (self.hour, self.minute):
                return WallTime(shown.hour, shown.minute, self.zone)
            day += timedelta(days=1)
        return None


def _offset(moment: int, zone: ZoneInfo) -> timedelta | None:
    return datetime.fromtimestamp(moment, zone).utcoffset()
