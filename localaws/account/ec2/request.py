"""Reading of EC2 requests, whose parameters are flat forms with numbered names."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ministack.services import ec2

from localaws.account.ec2 import wire
from localaws.account.errors import ApiError

Parameters = Mapping[str, Any]
PAGE = 1000
"""Rows of a page where the request names no number."""


def one(asked: Parameters, name: str) -> str:
    """A parameter's value; empty when it is not there."""
    return str(ec2._p(asked, name))


def _numbered(asked: Parameters, prefix: str) -> list[str]:
    """Prefixes of the members of a list of structures."""
    found: list[str] = []
    while any(name.startswith(f"{prefix}.{len(found) + 1}.") for name in asked):
        found.append(f"{prefix}.{len(found) + 1}")
    return found


def disks(asked: Parameters) -> list[dict[str, Any]]:
    """The block devices of a launch or of an image; ``NoDevice`` leaves one out."""
    found = []
    for prefix in _numbered(asked, "BlockDeviceMapping"):
        start = f"{prefix}.Ebs."
        ebs = {n.removeprefix(start): one(asked, n) for n in asked if n.startswith(start)}
        disk = {"DeviceName": one(asked, f"{prefix}.DeviceName"), "Ebs": ebs}
        found.append(disk | {"NoDevice": f"{prefix}.NoDevice" in asked})
    return found


def tags(asked: Parameters, kind: str) -> list[dict[str, str]]:
    """The tags that a launch gives to what it makes of a kind."""
    found = []
    for prefix in _numbered(asked, "TagSpecification"):
        if one(asked, f"{prefix}.ResourceType") == kind:
            for tag in _numbered(asked, f"{prefix}.Tag"):
                found.append({part: one(asked, f"{tag}.{part}") for part in ("Key", "Value")})
    return found


def filtered(
    rows: list[Any], asked: Parameters, paths: Mapping[str, str], others: tuple[str, ...] = ()
) -> list[Any]:
    """Rows that pass the call's filters; an unknown filter is an error, as in EC2.

    Args:
        rows: What to filter.
        asked: The call.
        paths: Where a row keeps what a filter compares.
        others: Beginnings of filters that have been applied already.
    """
    for name, values in ec2._parse_filters(asked).items():
        if others and name.startswith(others):
            continue
        if name not in paths:
            raise ApiError("InvalidParameterValue", f"The filter '{name}' is invalid")
        rows = [row for row in rows if passes(deep(row, paths[name]), values)]
    return rows


def deep(row: Any, path: str) -> Any:
    """A value by its dotted path."""
    for key in path.split("."):
        row = row[key]
    return row


def passes(value: Any, patterns: list[str]) -> bool:
    """Whether a value meets one of a filter's patterns, with EC2's wildcards."""
    values = value if isinstance(value, list) else [value]
    texts = [str(v).lower() if isinstance(v, bool) else str(v) for v in values]
    return any(ec2._glob_match(pattern, text) for pattern in patterns for text in texts)


def page(operation: str, member: str, rows: list[Any], asked: Parameters) -> wire.Answer:
    """One page of an answer, and the token of the next."""
    start = int(one(asked, "NextToken") or "0")
    end = start + int(one(asked, "MaxResults") or PAGE)
    result: dict[str, Any] = {member: rows[start:end]}
    if end < len(rows):
        result["NextToken"] = str(end)
    return wire.answer(operation, result)
