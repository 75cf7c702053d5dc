"""Whole templates, one per variant: a change shows as a diff that someone has to read."""

import json
import re
from typing import Any

import pytest
from syrupy.assertion import SnapshotAssertion
from syrupy.extensions.json import JSONSnapshotExtension

from tests.support.synthesis import (
    synthesize,
    synthesize_acceptance_role,
    synthesize_image,
    synthesize_role,
)
from tests.support.variants import IMAGE_VARIANTS, ROLE_VARIANTS, VARIANTS

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


def test_acceptance_role_template(snapshot: SnapshotAssertion) -> None:
    """One variant: what the settings change is its trust policy, as with the deploy role."""
    template = stable(synthesize_acceptance_role(**ROLE_VARIANTS["default"]).to_json())
    assert template == snapshot(extension_class=JSONSnapshotExtension)
