"""The resources of the committed templates: what tests are made of without any synthesis.

The snapshots are compared with what is synthesized (tests/snapshot), so these lists are complete.
"""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

SNAPSHOTS = Path(__file__).parents[1] / "snapshot" / "__snapshots__" / "test_snapshots"
DEFAULTS = {
    "GpuWorkstation": "test_template[default]",
    "GpuImage": "test_image_template[default]",
    "GpuDeployRole": "test_role_template[default]",
}
PLACEHOLDERS = {"<digest>": "[0-9a-f]{12}", "<id>": "[0-9A-F]{8}"}
"""What the snapshots have in place of what follows from the scripts' hash."""


@functools.cache
def resource_types(stack: str) -> Mapping[str, str]:
    """Types by logical id of a stack with its default settings."""
    template: dict[str, Any] = json.loads((SNAPSHOTS / f"{DEFAULTS[stack]}.json").read_text())
    return {name: made["Type"] for name, made in template["Resources"].items()}


def actual(committed: str, logical_ids: Iterable[str]) -> str:
    """The logical id of a template that a committed one stands for."""
    pattern = re.escape(committed)
    for placeholder, shape in PLACEHOLDERS.items():
        pattern = pattern.replace(re.escape(placeholder), shape)
    (found,) = [name for name in logical_ids if re.fullmatch(pattern, name)]
    return found
