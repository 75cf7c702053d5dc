"""Which properties replace a resource, from the CloudFormation schemas that cfn-lint ships.

Upstream a list written by hand has some types. The schemas are read as files, without importing
cfn-lint; what they leave out is added here.
"""

from __future__ import annotations

import json
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

INSTANCE = "AWS::EC2::Instance"
DEVICES = "BlockDeviceMappings"
_POINTER = "/properties/"
Properties = dict[str, Any]


@cache
def _lists(resource_type: str) -> tuple[frozenset[str], frozenset[str]]:
    """Create-only and conditionally create-only properties, as pointers without their prefix."""
    schema = _schema(resource_type)
    return (
        frozenset(p.removeprefix(_POINTER) for p in schema.get("createOnlyProperties", [])),
        frozenset(
            p.removeprefix(_POINTER) for p in schema.get("conditionalCreateOnlyProperties", [])
        ),
    )


def is_known(resource_type: str) -> bool:
    """Whether there is a schema for the type."""
    return bool(_schema(resource_type))


def replaces(resource_type: str, old: Properties, new: Properties) -> bool:
    """Whether changing the old properties into the new ones needs a new resource."""
    create_only, _ = _lists(resource_type)
    if any(_at(old, pointer) != _at(new, pointer) for pointer in create_only):
        return True
    # AWS's documentation, not the schema: any change but that of DeleteOnTermination replaces
    return resource_type == INSTANCE and _disks(old) != _disks(new)


def recreation(resource_type: str, name: str) -> str:
    """How a change set announces a change of the property: Always, Conditionally or Never."""
    create_only, conditional = _lists(resource_type)
    if name in create_only:
        return "Always"
    nested = any(pointer.startswith(f"{name}/") for pointer in create_only)
    return "Conditionally" if nested or name in conditional else "Never"


def _at(properties: Any, pointer: str) -> Any:
    for key in pointer.split("/"):
        properties = properties.get(key) if isinstance(properties, dict) else None
    return properties


def _disks(properties: Properties) -> list[dict[str, Any]]:
    """The block devices without what can be changed in place."""
    disks = []
    for device in properties.get(DEVICES) or []:
        ebs = {k: v for k, v in (device.get("Ebs") or {}).items() if k != "DeleteOnTermination"}
        disks.append({**device, "Ebs": ebs})
    return disks


@cache
def _index() -> dict[str, str]:
    index: dict[str, str] = json.loads((_folder() / "providers" / "us-east-1.json").read_text())
    return index


@cache
def _schema(resource_type: str) -> dict[str, Any]:
    name = _index().get(resource_type)
    if name is None:
        return {}
    schema: dict[str, Any] = json.loads((_folder() / "resources" / f"{name}.json").read_text())
    return schema


def _folder() -> Path:
    spec = find_spec("cfnlint")
    if spec is None or spec.origin is None:
        raise RuntimeError("cfn-lint's schemas are not there; install requirements.txt")
    return Path(spec.origin).parent / "data" / "schemas"
