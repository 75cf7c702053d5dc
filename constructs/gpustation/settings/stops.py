"""What stops a machine by itself, in words, for whoever pays for it."""

from __future__ import annotations

from collections.abc import Mapping


def what_stops(idle_minutes: int, stop_at: str, budget_usd: int) -> str:
    """The clause after "it stops"; empty if nothing stops it.

    Args:
        idle_minutes: The setting ``idle_stop_minutes``.
        stop_at: The setting ``stop_at``.
        budget_usd: The setting ``monthly_budget_usd``; 0: none.
    """
    ways = []
    if idle_minutes:
        ways.append(f"when nothing has moved for {idle_minutes} min")
    if stop_at:
        ways.append(f"every day at {stop_at}")
    if budget_usd:
        ways.append(f"when it has cost {budget_usd} USD in a month")
    return ", ".join(ways[:-1]) + (", and " if ways[1:] else "") + "".join(ways[-1:])


def stops_of(settings: Mapping[str, str]) -> str:
    """The same from the settings in a template's Metadata; empty, too, if it has none."""
    given = {name: value for name, value in settings.items() if value != "none"}
    return what_stops(
        int(given.get("idle_stop_minutes", "0")),
        given.get("stop_at", ""),
        int(given.get("monthly_budget_usd", "0")),
    )
