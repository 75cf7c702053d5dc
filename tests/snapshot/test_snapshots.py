"""Whole templates, one per variant: a change shows as a diff that someone has to read."""

import json
import re
from typing import Any

import pytest
from syrupy.assertion import SnapshotAssertion
from syrupy.extensions.json import JSONSnapshotExtension

from tests.support.synthesis import PUBLIC_KEY, synthesize, synthesize_image, synthesize_role

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
    "own-image": {
        "image": "ami-0123456789abcdef0",
        "availability_zone": "eu-west-1a",
        "ready_timeout_minutes": 60,
        "notebooks": False,
        "cuda_toolkit": True,
        "quota": "warn",
    },
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
VERSIONS = (
    # Whatever follows from the scripts' hash: a changed script is no change of the template
    (re.compile(r"Version[0-9a-f]{12}(\w*?)[0-9A-F]{8}\b"), r"Version<digest>\1<id>"),
    (re.compile(r"Version[0-9a-f]{12}"), "Version<digest>"),
    (re.compile(r'"1\.\d+\.\d+"'), '"<version>"'),
    (re.compile(r'"10\.0\.\d+\.\d+/28"'), '"<cidr>"'),
    (re.compile(r'("Generation": )"\d{3,}"'), r'\1"<number>"'),
    (re.compile(r"[0-9a-f]{64}"), "<hash>"),
)
HASH = re.compile(r"[0-9a-f]{64}|^[0-9a-f]{12}$")
"""Of assets, and the beginning of that of the scripts."""
LONG_TEXT = 1000


def stable(value: Any) -> Any:
    """Asset hashes by a name, and the bootstrap (pinned elsewhere) by a mark."""
    if isinstance(value, dict):
        return {key: stable(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [stable(inner) for inner in value]
    if isinstance(value, str):
        return "<bootstrap>" if len(value) > LONG_TEXT else HASH.sub("<hash>", value)
    return value


@pytest.mark.parametrize("variant", VARIANTS)
def test_template(variant: str, snapshot: SnapshotAssertion) -> None:
    template = stable(synthesize(**VARIANTS[variant]).to_json())
    assert template == snapshot(extension_class=JSONSnapshotExtension)
    assert not HASH.search(json.dumps(template))


@pytest.mark.parametrize("variant", IMAGE_VARIANTS)
def test_image_template(variant: str, snapshot: SnapshotAssertion) -> None:
    text = json.dumps(synthesize_image(**IMAGE_VARIANTS[variant]).to_json())
    for pattern, name in VERSIONS:
        text = pattern.sub(name, text)
    assert json.loads(text) == snapshot(extension_class=JSONSnapshotExtension)


@pytest.mark.parametrize("variant", ROLE_VARIANTS)
def test_role_template(variant: str, snapshot: SnapshotAssertion) -> None:
    template = stable(synthesize_role(**ROLE_VARIANTS[variant]).to_json())
    assert template == snapshot(extension_class=JSONSnapshotExtension)
