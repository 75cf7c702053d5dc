"""AWS's partitions and regions, from the data that botocore itself uses."""

from __future__ import annotations

import functools
import importlib.resources
import json
import re


@functools.cache
def _forms_of_regions() -> dict[str, re.Pattern[str]]:
    """Form of a region's name by partition. Takes a millisecond: no session, no endpoints.json."""
    file = importlib.resources.files("botocore") / "data" / "partitions.json"
    partitions = json.loads(file.read_text(encoding="utf-8"))["partitions"]
    return {entry["id"]: re.compile(entry["regionRegex"].rstrip("$")) for entry in partitions}


def names() -> tuple[str, ...]:
    """Names of the partitions, such as ``aws`` and ``aws-cn``."""
    return tuple(_forms_of_regions())


def region_at_start(text: str) -> str | None:
    """The region that the text begins with, such as ``us-east-1`` of ``us-east-1a``.

    The form counts, so that a region newer than the installed botocore is known as well.
    """
    matches = (form.match(text) for form in _forms_of_regions().values())
    return next((match[0] for match in matches if match), None)
