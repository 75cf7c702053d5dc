"""Schedule expressions: `at()`, `rate()` and `cron()` in a time zone, as AWS documents them.

Source: EventBridge Scheduler user guide, "Schedule types". A time that does not exist on a day
(summer time begins) is skipped on that day, a time that exists twice (it ends) counts once.
"""

from __future__ import annotations

import calendar
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime, timezone, tzinfo
from zoneinfo import ZoneInfo

_FORM = re.compile(r"(at|rate|cron)\((.*)\)")
_AT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d")
_RATE = re.compile(r"([1-9]\d*) (minute|hour|day)s?")
_SECONDS = {"minute": 60, "hour": 3600, "day": 86400}
_MONTHS = {name.upper(): number for number, name in enumerate(calendar.month_abbr) if name}
_DAYS = {"SUN": 1, "MON": 2, "TUE": 3, "WED": 4, "THU": 5, "FRI": 6, "SAT": 7}
LAST_YEAR = 2199


@dataclass(frozen=True)
class At:
    """One time.

    Attributes:
        when: In seconds since 1970.
    """

    when: float

    def following(self, after: float) -> float | None:
        """The first time later than a time, in seconds since 1970; None: there is none."""
        return self.when if self.when > after else None


@dataclass(frozen=True)
class Rate:
    """Times at a fixed distance; a day has 24 hours.

    Attributes:
        seconds: The distance.
        start: The first time, in seconds since 1970.
    """

    seconds: int
    start: float

    def following(self, after: float) -> float | None:
        """The first time later than a time, in seconds since 1970."""
        if after < self.start:
            return self.start
        return self.start + ((after - self.start) // self.seconds + 1) * self.seconds


@dataclass(frozen=True)
class Cron:
    """Times by the calendar and the clock of a zone.

    Attributes:
        day_of_month: The field as written; `?` means that `day_of_week` decides.
        day_of_week: Likewise; 1 is Sunday.
    """

    minutes: tuple[int, ...]
    hours: tuple[int, ...]
    day_of_month: str
    months: tuple[int, ...]
    day_of_week: str
    years: tuple[int, ...]
    zone: tzinfo

    def following(self, after: float) -> float | None:
        """The first time later than a time, in seconds since 1970; None: there is none."""
        first = datetime.fromtimestamp(after, self.zone).date()
        for day in self._days(first):
            for hour in self.hours:
                for minute in self.minutes:
                    when = _utc(datetime(day.year, day.month, day.day, hour, minute), self.zone)
                    if when is not None and when > after:
                        return when
        return None

    def _days(self, first: date) -> Iterator[date]:
        for year in self.years:
            for month in self.months:
                if (year, month) >= (first.year, first.month):
                    days = (date(year, month, day) for day in self._of_month(year, month))
                    yield from (day for day in days if day >= first)

    def _of_month(self, year: int, month: int) -> list[int]:
        last = calendar.monthrange(year, month)[1]
        if self.day_of_month != "?":
            wanted = _days_of_month(self.day_of_month, year, month, last)
        else:
            wanted = _days_of_week(self.day_of_week, year, month, last)
        return sorted(day for day in wanted if day <= last)


Expression = At | Rate | Cron


def parse(expression: str, zone_name: str, start: float) -> Expression:
    """Read a schedule expression.

    Args:
        expression: As CreateSchedule takes it.
        zone_name: ScheduleExpressionTimezone, by its IANA name.
        start: The first time of a `rate()`, in seconds since 1970.

    Raises:
        ValueError: It is not valid.
    """
    try:
        zone = timezone.utc if zone_name == "UTC" else ZoneInfo(zone_name)
    except (ValueError, OSError, KeyError) as error:
        raise ValueError(f"Invalid Schedule Expression Timezone {zone_name}.") from error
    form = _FORM.fullmatch(expression.strip())
    try:
        if form is None:
            raise ValueError("it is not at(), rate() or cron()")
        kind, text = form.groups()
        if kind == "at":
            return _at(text, zone)
        return _rate(text, start) if kind == "rate" else _cron(text, zone)
    except ValueError as error:
        raise ValueError(f"Invalid Schedule Expression {expression}.") from error


def _at(text: str, zone: tzinfo) -> At:
    if not _AT.fullmatch(text):
        raise ValueError("at() takes yyyy-mm-ddThh:mm:ss")
    when = _utc(datetime.fromisoformat(text), zone)
    if when is None:
        # What AWS does with it is not established
        raise ValueError(f"there is no such time in {zone}")
    return At(when)


def _rate(text: str, start: float) -> Rate:
    form = _RATE.fullmatch(text)
    if form is None:
        raise ValueError("rate() takes a positive number and minutes, hours or days")
    return Rate(int(form[1]) * _SECONDS[form[2]], start)


def _cron(text: str, zone: tzinfo) -> Cron:
    fields = text.split()
    if len(fields) != 6:
        raise ValueError("cron() takes six fields: minutes hours day month weekday year")
    minutes, hours, day, months, weekday, years = fields
    if (day == "?") == (weekday == "?"):
        raise ValueError("one of day-of-month and day-of-week must be ?, and only one")
    made = Cron(
        _numbers(minutes, 0, 59),
        _numbers(hours, 0, 23),
        day,
        _numbers(months, 1, 12, _MONTHS),
        weekday,
        _numbers(years, 1970, LAST_YEAR),
        zone,
    )
    made._of_month(2024, 1)  # Reads the fields of the days
    return made


def _utc(local: datetime, zone: tzinfo) -> float | None:
    """The time of a wall clock; None if it does not exist, the first if it exists twice."""
    there = local.replace(tzinfo=zone)
    when = there.timestamp()
    return when if datetime.fromtimestamp(when, zone).replace(tzinfo=None) == local else None


def _days_of_month(field: str, year: int, month: int, last: int) -> set[int]:
    days: set[int] = set()
    for part in field.upper().split(","):
        if part == "L":
            days.add(last)
        elif part == "LW":
            days.add(_nearest_weekday(year, month, last, last))
        elif part.endswith("W"):
            day = _number(part[:-1], 1, 31, {})
            days |= {_nearest_weekday(year, month, day, last)} if day <= last else set()
        else:
            days |= {*_numbers(part, 1, 31)}
    return days


def _nearest_weekday(year: int, month: int, day: int, last: int) -> int:
    """The weekday of the month that is nearest to a day."""
    weekday = date(year, month, day).isoweekday()
    if weekday == 6:
        return day - 1 if day > 1 else day + 2
    if weekday == 7:
        return day + 1 if day < last else day - 2
    return day


def _days_of_week(field: str, year: int, month: int, last: int) -> set[int]:
    of_weekday: dict[int, list[int]] = {number: [] for number in _DAYS.values()}
    for day in range(1, last + 1):
        of_weekday[date(year, month, day).isoweekday() % 7 + 1].append(day)
    days: set[int] = set()
    for part in field.upper().split(","):
        weekday, mark, nth = part.partition("#")
        if mark:
            place = _number(nth, 1, 5, {}) - 1
            days |= {*of_weekday[_number(weekday, 1, 7, _DAYS)][place : place + 1]}
        elif part == "L":
            days |= {*of_weekday[7]}
        elif part.endswith("L"):
            days.add(of_weekday[_number(part[:-1], 1, 7, _DAYS)][-1])
        else:
            days |= {day for number in _numbers(part, 1, 7, _DAYS) for day in of_weekday[number]}
    return days


def _numbers(
    field: str, low: int, high: int, names: dict[str, int] | None = None
) -> tuple[int, ...]:
    """The numbers that a field stands for, in their order."""
    numbers: set[int] = set()
    for part in field.upper().split(","):
        span, slash, step = part.partition("/")
        first, dash, last = span.partition("-")
        if span == "*":
            start, end = low, high
        else:
            start = _number(first, low, high, names or {})
            end = _number(last, low, high, names or {}) if dash else high if slash else start
        numbers.update(range(start, end + 1, _number(step, 1, high, {}) if slash else 1))
    if not numbers:
        raise ValueError(f"{field} stands for no number")
    return tuple(sorted(numbers))


def _number(text: str, low: int, high: int, names: dict[str, int]) -> int:
    number = names.get(text, int(text) if text.isdecimal() else -1)
    if not low <= number <= high:
        raise ValueError(f"{text or 'nothing'} is not between {low} and {high}")
    return number
