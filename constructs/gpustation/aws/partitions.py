"""AWS's partitions and regions, from botocore's data."""

from __future__ import annotations

import functools
import importlib.resources
import json
import re


@functools.cache
def _region_patterns() -> dict[str, re.Pattern[str]]:
    """Pattern of region names by partition. Takes 1 ms, as it loads no boto3 session."""
    file = importlib.resources.files("botocore") / "data" / "partitions.json"
    partitions = json.loads(file.read_text(encoding="utf-8"))["partitions"]
    return {entry["id"]: re.compile(entry["regionRegex"].rstrip("$")) for entry in partitions}


def names() -> tuple[str, ...]:
    """Names of the partitions, such as ``aws`` and ``aws-cn``."""
    return tuple(_region_patterns())


def region_at_start(text: str) -> str | None:
    """The region name that the text starts with, such as ``us-east-1`` for ``us-east-1a``.

    It matches a pattern, not a list, so that regions newer than the installed botocore are known.
    """
    matches = (pattern.match(text) for pattern in _region_patterns().values())
    return next((match[0] for match in matches if match), None)
