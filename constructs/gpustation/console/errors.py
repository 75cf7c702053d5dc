"""Why a command ends without its result."""

from __future__ import annotations


class CommandError(Exception):
    """What stands in the way, in one line with the remedy.

    Args:
        text: The line.
        status: Exit status of a command that ends by it. Default: 1.

    Attributes:
        status: The same.
    """

    def __init__(self, text: str, status: int = 1) -> None:
        super().__init__(text)
        self.status = status
