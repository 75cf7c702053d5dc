"""Runs schedules when they are due, and tries again what failed."""

from __future__ import annotations

import json
import secrets
import threading
import time
import uuid
from dataclasses import dataclass
from functools import partial
from typing import Any

from ministack.core.responses import get_account_id, get_region, request_scope
from ministack.services import scheduler

from localaws.account.clock import Due
from localaws.account.scheduler.expressions import At, parse
from localaws.account.scheduler.targets import Targets
from localaws.account.world import World
from localaws.reports import ScheduleRun

Record = dict[str, Any]
Key = tuple[str, str, str]
"""Account, region, and group and name of a schedule, as ministack keeps it."""
FIRST_WAIT, LONGEST_WAIT = 60, 480
"""Seconds before the second attempt, doubled for each further one, and at most. AWS documents
that the distance grows, not the numbers; with these, 185 attempts fit into 24 hours."""
ATTEMPTS, EVENT_AGE = 185, 86400
"""Scheduler's defaults: further attempts, and seconds for which it tries."""


@dataclass
class _Plan:
    record: Record
    due: Due | None = None


@dataclass(frozen=True)
class _Invocation:
    """One time of a schedule, over all its attempts."""

    key: Key
    record: Record
    scheduled: float
    last: bool


class Runs:
    """Has an entry in the clock for the next time of every schedule.

    Args:
        world: The account's state.
        targets: Invokes the targets.
    """

    def __init__(self, world: World, targets: Targets) -> None:
        self._world = world
        self._clock = world.time
        self._targets = targets
        self._plans: dict[Key, _Plan] = {}
        self._lock = threading.RLock()

    def now(self) -> float:
        """The account's time in seconds since 1970."""
        return self._clock.now()

    def follow(self) -> None:
        """Plan what is new or changed, and forget what is gone; after every change."""
        with self._lock:
            records: dict[Key, Record] = dict(scheduler._schedules._data)
            for key, plan in list(self._plans.items()):
                if records.get(key) is not plan.record:
                    if plan.due is not None:
                        plan.due.cancelled = True
                    del self._plans[key]
            for key, record in records.items():
                if key not in self._plans:
                    made = record["CreationDate"]
                    new = record["LastModificationDate"] == made
                    self._plans[key] = _Plan(record)
                    self._plan(key, record, made - 0.001 if new else self._clock.now())

    def _plan(self, key: Key, record: Record, after: float) -> float | None:
        """Enter the first time after a time; returns it."""
        when = following(record, after)
        if when is not None:
            due = self._clock.at(when, partial(self._run, key, record, when))
            self._plans[key].due = due
        return when

    def _run(self, key: Key, record: Record, when: float) -> None:
        with self._lock:
            plan = self._plans.get(key)
            if plan is None or plan.record is not record:
                return
            last = self._plan(key, record, when) is None
        with request_scope(*key[:2]):
            self._attempt(_Invocation(key, record, when, last), 1)

    def _attempt(self, invocation: _Invocation, number: int) -> None:
        record, now = invocation.record, self._clock.now()
        if invocation.key not in scheduler._schedules._data:
            self._note(invocation, "dropped", number, "the schedule was deleted")
            return
        target = record["Target"]
        text = _input(record, invocation.scheduled, number)
        reason = self._targets.invoke(target, record["GroupName"], text)
        policy = target.get("RetryPolicy") or {}
        when = now + min(FIRST_WAIT * 2 ** (number - 1), LONGEST_WAIT)
        again = (
            reason != ""
            and number <= int(policy.get("MaximumRetryAttempts", ATTEMPTS))
            and when - invocation.scheduled
            <= float(policy.get("MaximumEventAgeInSeconds", EVENT_AGE))
        )
        if again:
            self._note(invocation, "failed", number, reason)
            self._clock.at(when, partial(self._attempt, invocation, number + 1))
            return
        self._note(invocation, "dropped" if reason else "delivered", number, reason)
        if invocation.last and record["ActionAfterCompletion"] == "DELETE":
            self._delete(invocation)

    def _delete(self, invocation: _Invocation) -> None:
        """Delete a schedule that has completed, unless it was changed since."""
        with self._lock:
            if scheduler._schedules._data.get(invocation.key) is invocation.record:
                del scheduler._schedules._data[invocation.key]
                scheduler._tags.pop(invocation.record["Arn"], None)
            self.follow()

    def _note(self, invocation: _Invocation, outcome: Any, number: int, reason: str) -> None:
        arn, now = invocation.record["Arn"], self._clock.now()
        run = ScheduleRun(now, arn, outcome, invocation.scheduled, number, reason)
        self._world.schedule_runs.append(run)


def following(record: Record, after: float) -> float | None:
    """The first time of a schedule after a time, in seconds since 1970; None: there is none.

    Start and end do not count for a one-time schedule. Without a start, a `rate()` begins when
    the schedule is created (user guide).
    """
    if record["State"] != "ENABLED":
        return None
    start, end = record.get("StartDate"), record.get("EndDate")
    first = record["CreationDate"] if start is None else start
    expression = parse(record["ScheduleExpression"], record["ScheduleExpressionTimezone"], first)
    if isinstance(expression, At):
        return expression.following(after)
    when = expression.following(after if start is None else max(after, start - 0.001))
    return None if end is not None and when is not None and when > end else when


def _input(record: Record, scheduled: float, number: int) -> str:
    """The target's input, with the attributes of this attempt."""
    stamp = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(scheduled))
    text = record["Target"].get("Input")
    if text is None:
        if not record["Target"]["Arn"].startswith("arn:aws:lambda:"):
            return "{}"
        event = {"version": "0", "id": str(uuid.uuid4()), "detail-type": "Scheduled Event"}
        event |= {"source": "aws.scheduler", "account": get_account_id(), "time": stamp}
        return json.dumps(
            {**event, "region": get_region(), "resources": [record["Arn"]], "detail": "{}"}
        )
    attributes = {
        "schedule-arn": record["Arn"],
        "scheduled-time": stamp,
        "execution-id": secrets.token_hex(8),
        "attempt-number": str(number),
    }
    for name, value in attributes.items():
        text = text.replace(f"<aws.scheduler.{name}>", value)
    return str(text)
