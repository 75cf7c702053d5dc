"""How a part of a run ends otherwise than well."""

from __future__ import annotations


class PartFailedError(Exception):
    """The part did not show what it is for; the message is one line that says why."""


class LeftOutError(Exception):
    """The part cannot be shown here; the message is the reason, a clause such as ``quota``."""


class OverLimitError(Exception):
    """What remains of the limit is needed to delete what runs."""


def fault_of_the_program(error: Exception) -> str:
    """An error that nothing expected, as one line."""
    return " ".join(f"a fault of this program: {type(error).__name__}: {error}".split())
