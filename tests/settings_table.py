"""Another valid value of every setting, by when a change of it takes effect."""

from __future__ import annotations

from typing import Any

from tests.synthesis import PUBLIC_KEY

STOP_AND_START: dict[str, Any] = {"instance_type": "g4dn.2xlarge"}
IN_PLACE: dict[str, Any] = {
    "ssh_cidr": "203.0.113.7/32",
    "allow_world_ssh": True,
    "quota": "request",
}
NEXT_BOOT: dict[str, Any] = {
    "public_key": PUBLIC_KEY,
    "notebooks": False,
    "cuda_toolkit": True,
    "role_credentials_for_users": True,
    "python_mirror": "https://mirror.example.com/python",
}
NEW_GENERATION: dict[str, Any] = {
    "framework": "pytorch",
    "image": "ubuntu-22.04",
    "disk_gib": 100,
    "availability_zone": "us-east-1c",
    "ready_timeout_minutes": 60,
}
OF_OTHER_STACKS: dict[str, Any] = {
    "image_instance_type": "g5.xlarge",
    "image_retain": True,
    "github_repository": "octo-org/octo-repo",
    "github_environment": "staging",
    "github_oidc_provider_arn": (
        "arn:aws:iam::123456789012:oidc-provider/token.actions.githubusercontent.com"
    ),
    "deploy_role_names": "anna,bob",
}
"""They leave the workstation's template as it is."""
ANOTHER_OF_EACH: dict[str, Any] = {
    **STOP_AND_START,
    **IN_PLACE,
    **NEXT_BOOT,
    **NEW_GENERATION,
    **OF_OTHER_STACKS,
}
"""All but ``generation``, which renames what belongs to the machine, and ``name``, whose other
value means other stacks."""
