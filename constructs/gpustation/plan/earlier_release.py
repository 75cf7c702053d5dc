"""Reads the settings of a workstation's template without Metadata, as of release 0.1.0.

Each setting is read from the resource that it configures. Settings newer than that release are
unknown.
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
    """The settings in the form of the command line, without those that were not given.

    Raises:
        ValueError: The template is not that of a workstation.
    """
    choice, parameter = _properties(template, CHOICE), _machine_settings(template)
    return {setting: str(choice[name]) for name, setting in LOCKED.items() if name in choice} | {
        "instance_type": str(choice["InstanceType"]),
        "generation": str(choice["Generation"]),
        "ssh_cidr": _ssh_cidr(_properties(template, SECURITY_GROUP)),
        "quota": str(_properties(template, QUOTA)["Mode"]),
        "public_key": fingerprint(str(parameter["public_key"])),
        "notebooks": json.dumps(parameter["notebooks"]),
        "cuda_toolkit": json.dumps(parameter["cuda_toolkit"]),
        # Release 0.1.0 has neither setting, and does not restrict the credentials
        "role_credentials_for_users": json.dumps(parameter.get("role_credentials_for_users", True)),
        "python_mirror": str(parameter.get("python_mirror") or "none"),
        "scripts": str(parameter["scripts"]["sha256"])[:12],
    }


def _properties(template: Template, resource_type: str) -> dict[str, Any]:
    resources = [
        resource
        for resource in template.get("Resources", {}).values()
        if resource["Type"] == resource_type
    ]
    if len(resources) != 1:
        raise ValueError(
            f"a workstation's template has one {resource_type}, this one has {len(resources)}; "
            "is it a GpuWorkstation?"
        )
    return dict(resources[0].get("Properties", {}))


def _machine_settings(template: Template) -> dict[str, Any]:
    """Value of the machine's settings parameter, without the references in it."""
    value = _properties(template, PARAMETER)["Value"]
    parts = value["Fn::Join"][1] if isinstance(value, dict) else [value]
    settings: dict[str, Any] = json.loads("".join(part for part in parts if isinstance(part, str)))
    return settings


def _ssh_cidr(security_group: Mapping[str, Any]) -> str:
    rules = security_group.get("SecurityGroupIngress", [])
    return ",".join(rule["CidrIp"] for rule in rules if rule["FromPort"] == SSH_PORT) or "none"
