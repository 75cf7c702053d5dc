"""Reading of EC2 requests, whose parameters are flat forms with numbered names."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ministack.services import ec2

from localaws.account.ec2 import wire
from localaws.account.errors import ApiError

Parameters = Mapping[str, Any]
PAGE = 1000
"""Rows of a page if the request has no MaxResults."""


def value(request: Parameters, name: str) -> str:
    """The value of a parameter; empty if the request does not have it."""
    return str(ec2._p(request, name))


def _numbered(request: Parameters, prefix: str) -> list[str]:
    """Prefixes of the members of a list of structures."""
    prefixes: list[str] = []
    while any(name.startswith(f"{prefix}.{len(prefixes) + 1}.") for name in request):
        prefixes.append(f"{prefix}.{len(prefixes) + 1}")
    return prefixes


def refuse_others(request: Parameters, known: tuple[str, ...]) -> None:
    """Refuse parameters that the embedded AWS would ignore.

    Raises:
        ApiError: There is one.
    """
    others = {name.partition(".")[0] for name in request} - {"Action", "Version", *known}
    if others:
        raise ApiError(
            "UnsupportedOperation",
            f"{', '.join(sorted(others))}: the embedded AWS does not know this parameter; teach "
            "localaws/account/ec2/",
        )


def disks(request: Parameters) -> list[dict[str, Any]]:
    """The block devices of a launch or of an image; ``NoDevice`` omits the image's own."""
    devices = []
    for prefix in _numbered(request, "BlockDeviceMapping"):
        start = f"{prefix}.Ebs."
        ebs = {n.removeprefix(start): value(request, n) for n in request if n.startswith(start)}
        disk = {"DeviceName": value(request, f"{prefix}.DeviceName"), "Ebs": ebs}
        devices.append(disk | {"NoDevice": f"{prefix}.NoDevice" in request})
    return devices


def tags(request: Parameters, kind: str) -> list[dict[str, str]]:
    """The tags that a request gives to new resources of a kind.

    Most calls name the parameter in the singular, CreateCapacityReservation in the plural.
    """
    pairs = []
    given = ("TagSpecification", "TagSpecifications")
    for prefix in [one for name in given for one in _numbered(request, name)]:
        if value(request, f"{prefix}.ResourceType") == kind:
            for tag in _numbered(request, f"{prefix}.Tag"):
                pairs.append({part: value(request, f"{tag}.{part}") for part in ("Key", "Value")})
    return pairs


def filtered(
    rows: list[Any], request: Parameters, paths: Mapping[str, str], others: tuple[str, ...] = ()
) -> list[Any]:
    """The rows that pass the call's filters.

    ministack ignores filters that it does not know; EC2 refuses them.

    Args:
        rows: The rows to filter.
        request: The call.
        paths: Dotted path of the value that each filter compares.
        others: Prefixes of filters that were applied before. Default: none.
    """
    for name, values in ec2._parse_filters(request).items():
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


def passes(actual: Any, patterns: list[str]) -> bool:
    """Whether a value matches a pattern of a filter, with EC2's wildcards."""
    values = actual if isinstance(actual, list) else [actual]
    texts = [str(v).lower() if isinstance(v, bool) else str(v) for v in values]
    return any(ec2._glob_match(pattern, text) for pattern in patterns for text in texts)


def page(operation: str, member: str, rows: list[Any], request: Parameters) -> wire.Response:
    """One page of rows, with the token of the next page."""
    start = int(value(request, "NextToken") or "0")
    end = start + int(value(request, "MaxResults") or PAGE)
    result: dict[str, Any] = {member: rows[start:end]}
    if end < len(rows):
        result["NextToken"] = str(end)
    return wire.response(operation, result)
