"""Settings whose templates are committed as snapshots and validated, for each stack."""

from __future__ import annotations

from typing import Any

from tests.support.synthesis import PUBLIC_KEY

VARIANTS: dict[str, dict[str, Any]] = {
    "default": {},
    "ssh": {"ssh_cidr": "203.0.113.7/32,198.51.100.0/24", "public_key": PUBLIC_KEY},
    "world": {"ssh_cidr": "0.0.0.0/0", "allow_world_ssh": True},
    "pytorch-dlami": {
        "framework": "pytorch",
        "image": "dlami",
        "instance_type": "p5.48xlarge",
        "disk_gib": 200,
    },
    "baked-second-generation": {"image": "baked", "generation": 2, "quota": "request"},
    "limited": {"monthly_budget_usd": 20, "budget_email": "me@example.com"},
    "own-image": {
        "image": "ami-0123456789abcdef0",
        "availability_zone": "eu-west-1a",
        "ready_timeout_minutes": 60,
        "notebooks": False,
        "cuda_toolkit": True,
        "idle_stop_scratch_gib": 50,
        "quota": "warn",
    },
    "spot": {"spot": True},
    "spot-preferred": {"spot": "prefer"},
    # The net is at a time that clocks skip once a year
    "daily-stop": {"stop_at": "1:45 Europe/Berlin", "stop_at_patience": 30},
}
IMAGE_VARIANTS: dict[str, dict[str, Any]] = {
    "default": {},
    "pytorch-retained": {
        "framework": "pytorch",
        "instance_type": "g6.xlarge",
        "image_instance_type": "p5.48xlarge",
        "image_retain": True,
        "notebooks": False,
        "cuda_toolkit": True,
        "quota": "request",
    },
}
ROLE_VARIANTS: dict[str, dict[str, Any]] = {
    "nobody": {},
    "default": {"github_repository": "octo-org/octo-repo"},
    "known-provider": {
        "github_repository": "octo-org@123456/octo-repo@456789",
        "github_environment": "staging",
        "github_oidc_provider_arn": (
            "arn:aws:iam::123456789012:oidc-provider/token.actions.githubusercontent.com"
        ),
    },
}
ALL_VARIANTS = (
    {name: {**settings, "with_stages": False} for name, settings in VARIANTS.items()}
    | {f"image-{name}": settings for name, settings in IMAGE_VARIANTS.items()}
    | {f"role-{name}": settings for name, settings in ROLE_VARIANTS.items()}
)
"""Arguments of ``make_app`` for each variant of each stack."""
