"""What a deploy comes to, with an exit status for each."""

from __future__ import annotations

import enum


class Effect(enum.Enum):
    """What a deploy comes to: exit status and meaning. 1 is a failure and 2 a wrong usage."""

    NOTHING = 0, "nothing changes"
    """Also where only what no template holds was set, such as ``image_retain``."""
    IN_PLACE = 10, "changes in place; the machine goes on running"
    """What waits for the machine's next boot counts as this too."""
    NEW = 11, "a new stack with a new machine"
    """There is no such stack, or its creation failed and nothing of it is in use."""
    STOPS = 12, "the machine stops and starts again; its disk stays"
    """What runs on it ends, and its public address becomes another."""
    REPLACED = 13, "another machine takes the place of this one, whose DISK IS LOST"
    """A new generation, or a change that cannot be ruled out to replace it."""
    REFUSED = 14, "a deploy would be refused, and nothing would change"
    """The plan says why, and what would work."""

    def __init__(self, status: int, meaning: str) -> None:
        self.status = status
        self.meaning = meaning

    @property
    def word(self) -> str:
        """Its name on a command line."""
        return self.name.lower().replace("_", "-")
