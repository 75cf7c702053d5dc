"""The possible effects of a deploy on the machine, with an exit status for each."""

from __future__ import annotations

import enum


class Effect(enum.Enum):
    """Exit status and meaning of each effect. 1 is a failure and 2 a usage error."""

    NOTHING = 0, "nothing changes"
    """Also if the changed settings do not affect this template, such as ``image_retain``."""
    IN_PLACE = 10, "changes in place; the machine keeps running"
    """Also for changes that take effect at the machine's next boot."""
    NEW = 11, "a new stack with a new machine"
    """The stack does not exist, or its creation failed."""
    STOPS = 12, "the machine stops and starts again; its disk is kept"
    """Running programs end, and the public address changes."""
    REPLACED = 13, "a new machine replaces this one, whose DISK IS LOST"
    """A new generation, or a change that may replace the instance."""
    REFUSED = 14, "a deploy would be refused, and nothing would change"
    """The plan's notes give the reason and the remedy."""
    HALTED = 15, "the machine stops and stays stopped; its disk is kept"
    """A spend limit below what the month has cost; the plan's notes say how much that is."""

    def __init__(self, status: int, meaning: str) -> None:
        self.status = status
        self.meaning = meaning

    @property
    def word(self) -> str:
        """Name of the effect on the command line."""
        return self.name.lower().replace("_", "-")
