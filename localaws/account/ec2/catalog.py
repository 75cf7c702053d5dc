"""Instance types and the zones that offer them, from the data files that moto ships.

moto collects them from AWS (`scripts/ec2_get_instance_types.py` there); they are read as files,
moto itself is not imported.
"""

from __future__ import annotations

import gzip
import json
import re
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

LOCAL_ZONE = "{}-lax-1a"
"""Name of the Local Zone that every region has here, opted in: callers must exclude it."""


@cache
def instance_types() -> dict[str, dict[str, Any]]:
    """All types, in the form in which the SDK's DescribeInstanceTypes answers."""
    types: dict[str, dict[str, Any]] = _read("instance_types.json")
    return types


@cache
def regions() -> list[str]:
    """The regions whose offerings are known, sorted."""
    folder = _folder() / "instance_type_offerings" / "availability-zone"
    return sorted({path.name.partition(".")[0] for path in folder.iterdir()})


@cache
def zones(region: str) -> list[dict[str, Any]]:
    """The zones of a region as DescribeAvailabilityZones answers; the Local Zone is the last."""
    names = sorted({row["Location"] for row in _zone_rows(region)})
    ordinary = [_zone(region, name, f"az{number}") for number, name in enumerate(names, 1)]
    local = _zone(region, LOCAL_ZONE.format(region), "lax1-az1")
    group = local["ZoneName"][:-1]
    local |= {"ZoneType": "local-zone", "OptInStatus": "opted-in", "GroupName": group}
    local |= {"NetworkBorderGroup": group, "ParentZoneName": names[0]}
    return [*ordinary, local]


def offerings(region: str, overrides: dict[str, list[str]]) -> list[tuple[str, str]]:
    """Type and zone of each offering; the Local Zone offers the same as the first zone."""
    if not overrides:
        return _offerings(region)
    rows = [row for row in _offerings(region) if row[0] not in overrides]
    rows += [(kind, zone) for kind, named in overrides.items() for zone in named]
    return sorted(rows)


@cache
def _offerings(region: str) -> list[tuple[str, str]]:
    rows = [(row["InstanceType"], row["Location"]) for row in _zone_rows(region)]
    first, local = min(location for _, location in rows), LOCAL_ZONE.format(region)
    return sorted([*rows, *((kind, local) for kind, location in rows if location == first)])


@cache
def types_of(region: str) -> frozenset[str]:
    """The types that AWS's own data has for a region."""
    return frozenset(name for name, _ in _offerings(region))


def vcpus(instance_type: str) -> int:
    """Default vCPUs of a type."""
    return int(instance_types()[instance_type]["VCpuInfo"]["DefaultVCpus"])


def gpus(instance_type: str) -> int:
    """Whole GPUs of a type."""
    known = instance_types()[instance_type].get("GpuInfo", {}).get("Gpus", [])
    return sum(int(gpu["Count"]) for gpu in known)


def instance_store(instance_type: str) -> tuple[int, ...]:
    """Sizes of a type's instance store disks in GB; empty for a type without."""
    known = instance_types()[instance_type].get("InstanceStorageInfo") or {}
    return tuple(
        int(disk["SizeInGB"]) for disk in known.get("Disks", []) for _ in range(disk["Count"])
    )


def _zone(region: str, name: str, number: str) -> dict[str, Any]:
    geo, *middle, index = re.split(r"-", region)
    prefix = geo + "".join(re.sub(r"(north|south|east|west|central)", _initial, m) for m in middle)
    return {
        "ZoneName": name,
        "ZoneId": f"{prefix}{index}-{number}",
        "State": "available",
        "RegionName": region,
        "GroupName": f"{region}-zg-1",
        "NetworkBorderGroup": region,
        "OptInStatus": "opt-in-not-required",
        "ZoneType": "availability-zone",
        "Messages": [],
    }


def _initial(match: re.Match[str]) -> str:
    return match.group()[0]


def _zone_rows(region: str) -> list[dict[str, str]]:
    rows: list[dict[str, str]] = _read(f"instance_type_offerings/availability-zone/{region}.json")
    return rows


@cache
def _read(name: str) -> Any:
    folder = _folder()
    # Versions of moto differ in whether they ship these compressed
    packed = folder / f"{name}.gz"
    if packed.exists():
        return json.loads(gzip.decompress(packed.read_bytes()))
    if not (folder / name).exists():
        raise RuntimeError(f"moto has no data file {name}; it knows no such region or has changed")
    return json.loads((folder / name).read_text())


def _folder() -> Path:
    spec = find_spec("moto")
    if spec is None or spec.origin is None:
        raise RuntimeError("moto's data files are not there; install requirements.txt")
    return Path(spec.origin).parent / "ec2" / "resources"
