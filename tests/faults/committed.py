"""The resources of the committed templates, so that tests are collected without a synthesis.

tests/snapshot compares the snapshots with what is synthesized, so these lists are complete.
"""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Iterable, Mapping
from pathlib import Path

from tests.support.template_graph import TemplateGraph

SNAPSHOTS = Path(__file__).parents[1] / "snapshot" / "__snapshots__" / "test_snapshots"
DEFAULTS = {
    "GpuWorkstation": "test_template[default]",
    "GpuImage": "test_image_template[default]",
    "GpuDeployRole": "test_role_template[default]",
}
PLACEHOLDERS = {"<digest>": "[0-9a-f]{12}", "<id>": "[0-9A-F]{8}"}
"""Placeholders in the snapshots for values that follow from the scripts' hash, with their forms."""


@functools.cache
def resource_types(stack: str) -> Mapping[str, str]:
    """Types by logical id of a stack with default settings."""
    graph = TemplateGraph(json.loads((SNAPSHOTS / f"{DEFAULTS[stack]}.json").read_text()))
    return {name: resource["Type"] for name, resource in graph.resources.items()}


def actual(committed: str, logical_ids: Iterable[str]) -> str:
    """The logical id in a template of today for one of a snapshot."""
    pattern = re.escape(committed)
    for placeholder, shape in PLACEHOLDERS.items():
        pattern = pattern.replace(re.escape(placeholder), shape)
    (logical_id,) = [name for name in logical_ids if re.fullmatch(pattern, name)]
    return logical_id
