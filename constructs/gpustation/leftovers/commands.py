"""AWS CLI commands that are safe to paste into a shell."""

from __future__ import annotations

import re
import shlex

SAFE = re.compile(r"(?!.*://)[A-Za-z0-9_./:@+][A-Za-z0-9_./:@+-]*")
"""Values without a special meaning for a shell or the AWS CLI: no option, no URL of a file to read
(``file://``, ``http://``), no shorthand syntax."""
REFUSED = (
    "# no command: a shell or the AWS CLI would interpret this name differently; "
    "remove it in the console"
)
"""Replaces a command with a value that is not ``SAFE``."""


def command(words: str, region: str = "", **options: str | tuple[str, ...]) -> str:
    """A command of the AWS CLI; ``REFUSED`` if a value is not ``SAFE``.

    Args:
        words: Service and operation, e.g. ``ec2 delete-volume``.
        region: Region. Default: none, as IAM needs none.
        **options: Options, with underscores in their names; a tuple has several values of one.
    """
    parts = [f"aws {words}"]
    for name, given in {**({"region": region} if region else {}), **options}.items():
        values = (given,) if isinstance(given, str) else given
        if not all(SAFE.fullmatch(value) for value in values):
            return REFUSED
        parts += [f"--{name.replace('_', '-')}", *map(shlex.quote, values)]
    return " ".join(parts)


def chain(*commands: str) -> str:
    """Commands of which each runs only if the one before succeeded; empty ones are omitted.

    A refused command refuses the whole chain, which would otherwise run in part.
    """
    return REFUSED if REFUSED in commands else " && ".join(part for part in commands if part)
