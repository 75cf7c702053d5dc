"""The settings that a template of the workstation was made with, read back from it.

So the settings of a deployed stack can be told without a store of their own: each is where it
takes effect.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping
from typing import Any

from gpustation.catalog.ports import SSH_PORT
from gpustation.handlers.image_choice import DEFAULTS, LOCKED

CHOICE = "Custom::ImageChoice"
QUOTA = "Custom::QuotaCheck"
PARAMETER = "AWS::SSM::Parameter"
SECURITY_GROUP = "AWS::EC2::SecurityGroup"

IN_NO_TEMPLATE = (
    *("allow_world_ssh", "image_instance_type", "image_retain"),
    *("github_repository", "github_environment", "github_oidc_provider_arn"),
    *("deploy_role_names", "name"),
)
"""Settings that leave the workstation's template as it is; ``name`` makes it another stack's."""

EFFECTS = {
    "instance_type": "the machine stops and starts",
    **dict.fromkeys(LOCKED.values(), "needs a new machine"),
    "generation": "a new machine",
    "ssh_cidr": "in place",
    "quota": "in place",
    "public_key": "from the machine's next boot on",
    "notebooks": "from the machine's next boot on",
    "cuda_toolkit": "from the machine's next boot on",
    "role_credentials_for_users": "from the machine's next boot on",
    "python_mirror": "from the machine's next boot on",
    "scripts": "from the machine's next boot on",
}
"""When a change of each row takes effect, as the README's table says; in the order shown."""

Template = Mapping[str, Any]


def settings_of(template: Template, had: Mapping[str, str] | None = None) -> dict[str, str]:
    """The settings as a person writes them, in the order of ``EFFECTS``.

    A public key is shown as its fingerprint. ``scripts`` is no setting: it is the hash of the
    machine's scripts, which changes with a new version of the project.

    Args:
        template: A workstation's template.
        had: Settings of the deployed stack, which a machine keeps where nothing else is given.
            Default: none, a new machine gets the defaults.

    Raises:
        ValueError: The template is not that of a workstation.
    """
    choice, told = _properties(template, CHOICE), _machine(template)
    found = {
        setting: str(choice.get(name, (had or {}).get(setting, DEFAULTS[name])))
        for name, setting in LOCKED.items()
    }
    found |= {
        "instance_type": str(choice["InstanceType"]),
        "generation": str(choice["Generation"]),
        "ssh_cidr": _ssh_cidr(_properties(template, SECURITY_GROUP)),
        "quota": str(_properties(template, QUOTA)["Mode"]),
        "public_key": _fingerprint(str(told["public_key"])),
        "notebooks": json.dumps(told["notebooks"]),
        "cuda_toolkit": json.dumps(told["cuda_toolkit"]),
        # Templates of release 0.1.0 have none of the two
        "role_credentials_for_users": json.dumps(told.get("role_credentials_for_users", False)),
        "python_mirror": str(told.get("python_mirror") or "none"),
        "scripts": str(told["scripts"]["sha256"])[:12],
    }
    return {name: found[name] for name in EFFECTS}


def only_resource(template: Template, resource_type: str) -> str:
    """Logical id of the one resource of a type.

    Raises:
        ValueError: There is none, or more than one.
    """
    found = [
        logical_id
        for logical_id, resource in template.get("Resources", {}).items()
        if resource["Type"] == resource_type
    ]
    if len(found) != 1:
        raise ValueError(
            f"a workstation's template has one {resource_type}, this one has {len(found)}; "
            "is it a GpuWorkstation?"
        )
    return str(found[0])


def _properties(template: Template, resource_type: str) -> dict[str, Any]:
    whole = template["Resources"][only_resource(template, resource_type)]
    return dict(whole.get("Properties", {}))


def _machine(template: Template) -> dict[str, Any]:
    """What the machine reads at every boot; references are left out of it."""
    value = _properties(template, PARAMETER)["Value"]
    parts = value["Fn::Join"][1] if isinstance(value, dict) else [value]
    told: dict[str, Any] = json.loads("".join(part for part in parts if isinstance(part, str)))
    return told


def _ssh_cidr(security_group: Mapping[str, Any]) -> str:
    rules = security_group.get("SecurityGroupIngress", [])
    return ",".join(rule["CidrIp"] for rule in rules if rule["FromPort"] == SSH_PORT) or "none"


def _fingerprint(public_key: str) -> str:
    """As ``ssh-keygen -l`` shows it; a comment may hold a person's address."""
    if not public_key:
        return "none"
    kind, key = public_key.split()[:2]
    digest = hashlib.sha256(base64.b64decode(key)).digest()
    return f"{kind} SHA256:{base64.b64encode(digest).decode().rstrip('=')}"
