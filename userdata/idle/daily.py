"""Decides about the daily stop, from a clock and from what the idle stop knows: no files, no waits.

The rules (docs/daily-stop.md): the machine stops at stop_at. What moves on it, or a request to keep
it awake, delays that, but not beyond stop_at plus the patience as clocks show it, when a schedule
on AWS stops it whatever it does. Only a moment counts that comes while the machine runs: one that
was started after stop_at runs until the next day.

All times are seconds since 1970, because a time of day is one of clocks.
"""

import dataclasses
import re
from datetime import date, datetime, time, timedelta, timezone
from zoneinfo import ZoneInfo

FORM = re.compile(r"([0-9]{2}):([0-9]{2}) (\S+)")
#: Seconds after the last moment in which the machine still stops itself. One that sampled nothing
#: at that time, as it hung, leaves it to the schedule: nobody expects the stop later.
LATE = 300.0
#: How far ahead of the present a stop is looked for, in days; clocks can skip one whole day.
DAYS = range(-2, 4)


@dataclasses.dataclass(frozen=True)
class Rule:
    """The settings ``stop_at`` and ``stop_at_patience``."""

    hour: int
    minute: int
    zone: str
    #: Minutes.
    patience: int

    def __str__(self) -> str:
        return f"daily stop at {self.hour:02}:{self.minute:02} {self.zone}"


@dataclasses.dataclass(frozen=True)
class Moment:
    """One daily stop.

    Attributes:
        at: When the machine stops.
        latest: When it stops at the latest, if something delays that.
    """

    at: float
    latest: float


@dataclasses.dataclass(frozen=True)
class Decision:
    """What to do about the daily stop.

    Attributes:
        state: ``awake``, ``warned`` or ``stop``.
        stops_at: When the machine stops if nothing moves from now on.
        moment: The daily stop that this is about.
        reason: The rule in words, and what delayed the stop.
        rule: The rule in words.
    """

    state: str
    stops_at: float
    moment: Moment
    reason: str
    rule: str


def read_rule(settings: "dict[str, object]") -> "Rule | None":
    """Return the rule of the settings; ``None`` if there is no daily stop.

    Raises:
        ValueError: The settings are not in the form that this release reads, or this machine does
            not know the time zone.
    """
    text, patience = settings.get("stop_at") or "", settings.get("stop_at_patience") or 0
    if not text:
        return None
    match = FORM.fullmatch(str(text))
    if match is None or type(patience) is not int:
        raise ValueError(f"stop_at={text} is not in the form that this release reads")
    try:
        ZoneInfo(match[3])
    except (LookupError, OSError, ValueError) as error:
        raise ValueError(f"this machine does not know the time zone {match[3]}") from error
    return Rule(int(match[1]), int(match[2]), match[3], patience)


def current(rule: Rule, booted: float, now: float) -> Moment:
    """Return the daily stop that is going on, or else the next one.

    Args:
        rule: The rule.
        booted: When the machine was started.
        now: The current time.
    """
    today = datetime.fromtimestamp(now, ZoneInfo(rule.zone)).date()
    for days in DAYS:
        moment = _on(rule, today + timedelta(days=days))
        if moment.at > booted and now <= moment.latest + LATE:
            return moment
    raise ValueError(f"{rule}: clocks never show it")


def decide(
    rule: Rule,
    *,
    booted: float,
    now: float,
    lead: float,
    tick: float = 0.0,
    held_until: float = 0.0,
    held_by: str = "",
    warned_at: "float | None" = None,
) -> Decision:
    """Return what to do.

    Args:
        rule: The rule.
        booted: When the machine was started.
        now: The current time.
        lead: Seconds between the warning and the stop.
        tick: Seconds between two decisions. The warning is earlier by one and a half, so that the
            stop is not late by it.
        held_until: Until when work or a request may delay the stop.
        held_by: Which, in words.
        warned_at: When a stop was announced; ``None`` if it was not, or was taken back.
    """
    moment = current(rule, booted, now)
    stops_at = moment.at
    reason = str(rule)
    if held_until > moment.at < moment.latest:
        stops_at = held_until
        reason += f", delayed by {rule.patience} min at most: {held_by}"
    # Whoever takes a request back is warned too, as far as there is time for it.
    announced = now if warned_at is None else warned_at
    stops_at = min(max(stops_at, announced + lead), moment.latest)
    if now >= stops_at:
        return Decision("stop", stops_at, moment, reason, str(rule))
    state = "warned" if now >= stops_at - lead - 1.5 * tick else "awake"
    return Decision(state, stops_at, moment, reason, str(rule))


def _on(rule: Rule, day: date) -> Moment:
    total = rule.hour * 60 + rule.minute + rule.patience
    later = day + timedelta(days=total // (24 * 60))
    at = _moment(rule.zone, day, rule.hour, rule.minute)
    return Moment(at, max(at, _moment(rule.zone, later, total // 60 % 24, total % 60)))


def _moment(zone: str, day: date, hour: int, minute: int) -> float:
    """Return when clocks first show a time on a day; the end of the gap if they skip it."""
    place = ZoneInfo(zone)
    wall = datetime.combine(day, time(hour, minute))
    first = wall.replace(tzinfo=place).astimezone(timezone.utc)
    if first.astimezone(place).replace(tzinfo=None) == wall:
        return first.timestamp()
    # In a gap, fold=0 counts with the offset before it, and fold=1 with the one after it.
    low, high = int(wall.replace(tzinfo=place, fold=1).timestamp()), int(first.timestamp())
    after = datetime.fromtimestamp(high, place).utcoffset()
    while high - low > 1:
        middle = (low + high) // 2
        if datetime.fromtimestamp(middle, place).utcoffset() == after:
            high = middle
        else:
            low = middle
    return float(high)
