"""Errors that end a command."""

from __future__ import annotations


class CommandError(Exception):
    """An error that ends a command with a message.

    Args:
        text: Message of one line with the remedy.
        status: Exit status of the command. Default: 1.

    Attributes:
        status: Exit status of the command.
    """

    def __init__(self, text: str, status: int = 1) -> None:
        super().__init__(text)
        self.status = status
