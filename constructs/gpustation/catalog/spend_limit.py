"""What a spend limit makes of the costs of a month: what to stop, to tell and to wait for."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from time import gmtime, strftime

from gpustation.catalog.spending import HOUR, Ledger, Month, Spent, moment_of, spent, usd_per_hour

KEY = "id"
"""Key of the ledger's table."""
EXPIRES = "expires"
"""Attribute by which DynamoDB deletes its items."""
NEXT_CALL = "next"
"""Name of the schedule for the next moment at which something must be done."""
TOLD_PERCENT = (50, 80, 100)
"""Parts of the limit of which people are told."""
MINUTE = 60.0
"""EventBridge Scheduler's precision (its user guide): a call comes within the minute."""
SETUP_MINUTES = 30
"""How long the set-up of a new machine may take: a deploy waits that long by default."""
CHECK_AGAIN = 2 * MINUTE
"""When to look again after a stop."""


@dataclass(frozen=True)
class Finding:
    """What follows from the costs.

    Attributes:
        month: The month.
        limit_usd: The limit.
        spent: Costs of the month so far.
        usd_per_hour: What an hour costs now.
        stops_at: When the limit is reached if everything goes on; ``None`` if not in this month.
        next_at: When to look again at the latest; ``None``: at the next event.
        stop: Machines to stop.
        reached: Percentages of the limit that are reached.
        reason: Why machines may not run; empty if they may.
        is_unpriced: They may not because costs cannot be counted.
    """

    month: Month
    limit_usd: float
    spent: Spent
    usd_per_hour: float
    stops_at: float | None
    next_at: float | None
    stop: tuple[str, ...]
    reached: tuple[int, ...]
    reason: str
    is_unpriced: bool = False

    @property
    def in_words(self) -> str:
        """The costs in a sentence."""
        return (
            f"{self.spent.total:.2f} of {self.limit_usd:g} USD spent in {self.month}, counted at "
            "list price"
        )

    def subject(self, stack: str, percent: int) -> str:
        """Subject of the mail about a percentage, at most 100 characters as SNS demands."""
        return f"{stack}: {percent} % of {self.limit_usd:g} USD spent in {self.month}"[:100]

    def message(self, stack: str, percent: int) -> str:
        """Text of that mail."""
        lines = [
            f"{stack}: {self.in_words}.",
            f"Machine {self.spent.machine:.2f}, address {self.spent.address:.2f}, "
            f"disk {self.spent.disk:.2f} USD.",
        ]
        if percent >= 100:
            lines += [
                f"The machine is stopped, and stopped again if it is started in {self.month}.",
                "To raise the limit: cdk deploy -c monthly_budget_usd=..., with all other "
                "settings of the last deploy.",
            ]
        elif self.stops_at is not None:
            lines.append(f"If it runs on, it is stopped at {moment(self.stops_at)}.")
        lines += [
            "Not counted: traffic, images and snapshots, logs, tax and discounts. The bill decides."
        ]
        return "\n".join(lines)


def judge(
    ledger: Ledger,
    limit_usd: float,
    now: float,
    *,
    running: Sequence[str],
    spent_limit_usd: float = 0.0,
    unpriced: str = "",
) -> Finding:
    """What follows from the ledger.

    A limit counts as spent a minute before it is, so that it is not exceeded by the minute that a
    call may come late.

    Args:
        ledger: The intervals.
        limit_usd: The limit of a calendar month in USD.
        now: The current moment.
        running: Machines that can be stopped.
        spent_limit_usd: Highest limit that was spent in this month: it stays spent, although a
            stopped machine leaves a cent of it. Default: none.
        unpriced: Why costs cannot be counted, which stops the machines too. Default: they can.
    """
    month = Month.of(now)
    costs, rate = spent(ledger, month, now), usd_per_hour(ledger, month)
    margin = rate * MINUTE / HOUR if running else 0.0
    is_spent = costs.total + margin >= limit_usd or spent_limit_usd >= limit_usd
    reached = tuple(
        percent
        for percent in TOLD_PERCENT
        if (percent >= 100 and is_spent) or costs.total >= limit_usd * percent / 100
    )
    reason = unpriced
    if is_spent:
        reason = f"the limit of {limit_usd:g} USD for {month} is spent"
    stops_at = moment_of(ledger, limit_usd, now)
    moments = [
        _minute_of(at, percent)
        for percent in TOLD_PERCENT
        if percent not in reached
        and (at := moment_of(ledger, limit_usd * percent / 100, now)) is not None
    ]
    stop = tuple(running) if reason else ()
    if stop:
        moments = [now + CHECK_AGAIN]
    return Finding(
        month=month,
        limit_usd=limit_usd,
        spent=costs,
        usd_per_hour=rate,
        stops_at=stops_at,
        next_at=max(min(moments), now + MINUTE) if moments else None,
        stop=stop,
        reached=reached,
        reason=reason,
        is_unpriced=bool(unpriced) and not is_spent,
    )


def _minute_of(at: float, percent: int) -> float:
    """The whole minute of a schedule: before the limit is reached, after other percentages are."""
    return (math.floor if percent >= 100 else math.ceil)(at / MINUTE) * MINUTE


def too_little_left(finding: Finding, instance_type: str, machine_per_hour: float) -> str:
    """Why a new machine must not be made; empty if enough is left for its set-up.

    Args:
        finding: The costs so far.
        instance_type: Type of the new machine.
        machine_per_hour: What an hour of it costs with its address.
    """
    left = finding.limit_usd - finding.spent.total
    set_up = machine_per_hour * SETUP_MINUTES / 60
    if left >= set_up:
        return ""
    return (
        f"monthly_budget_usd={finding.limit_usd:g}: {finding.in_words}; the set-up of a "
        f"{instance_type} takes up to {SETUP_MINUTES} minutes, which cost {set_up:.2f} USD; raise "
        "the limit, use a cheaper type, or wait for the next month"
    )


def moment(at: float) -> str:
    """A moment in words."""
    return strftime("%Y-%m-%d %H:%M UTC", gmtime(at))
