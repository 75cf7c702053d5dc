"""The settings of a workstation's template that does not tell them, as release 0.1.0's do not.

Each is read where it takes effect. Newer settings are not: what such a stack has of them is not
known.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from gpustation.catalog.locked import LOCKED
from gpustation.catalog.ports import SSH_PORT
from gpustation.plan.reading import CHOICE, Template
from gpustation.settings.public_key import fingerprint

QUOTA = "Custom::QuotaCheck"
PARAMETER = "AWS::SSM::Parameter"
SECURITY_GROUP = "AWS::EC2::SecurityGroup"


def settings_of(template: Template) -> dict[str, str]:
    """The settings as a person writes them, without those that were not given.

    Raises:
        ValueError: The template is not that of a workstation.
    """
    choice, told = _properties(template, CHOICE), _machine(template)
    return {setting: str(choice[name]) for name, setting in LOCKED.items() if name in choice} | {
        "instance_type": str(choice["InstanceType"]),
        "generation": str(choice["Generation"]),
        "ssh_cidr": _ssh_cidr(_properties(template, SECURITY_GROUP)),
        "quota": str(_properties(template, QUOTA)["Mode"]),
        "public_key": fingerprint(str(told["public_key"])),
        "notebooks": json.dumps(told["notebooks"]),
        "cuda_toolkit": json.dumps(told["cuda_toolkit"]),
        # Release 0.1.0 has neither; there every user may ask for the credentials
        "role_credentials_for_users": json.dumps(told.get("role_credentials_for_users", True)),
        "python_mirror": str(told.get("python_mirror") or "none"),
        "scripts": str(told["scripts"]["sha256"])[:12],
    }


def _properties(template: Template, resource_type: str) -> dict[str, Any]:
    found = [
        resource
        for resource in template.get("Resources", {}).values()
        if resource["Type"] == resource_type
    ]
    if len(found) != 1:
        raise ValueError(
            f"a workstation's template has one {resource_type}, this one has {len(found)}; "
            "is it a GpuWorkstation?"
        )
    return dict(found[0].get("Properties", {}))


def _machine(template: Template) -> dict[str, Any]:
    """What the machine reads at every boot; references are left out of it."""
    value = _properties(template, PARAMETER)["Value"]
    parts = value["Fn::Join"][1] if isinstance(value, dict) else [value]
    told: dict[str, Any] = json.loads("".join(part for part in parts if isinstance(part, str)))
    return told


def _ssh_cidr(security_group: Mapping[str, Any]) -> str:
    rules = security_group.get("SecurityGroupIngress", [])
    return ",".join(rule["CidrIp"] for rule in rules if rule["FromPort"] == SSH_PORT) or "none"
