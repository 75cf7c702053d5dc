"""Whole templates, one per variant: a change shows as a diff that someone has to read."""

import json
import re
from typing import Any

import pytest
from syrupy.assertion import SnapshotAssertion
from syrupy.extensions.json import JSONSnapshotExtension

from tests.synthesis import PUBLIC_KEY, synthesize

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
HASH = re.compile(r"[0-9a-f]{64}")
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
