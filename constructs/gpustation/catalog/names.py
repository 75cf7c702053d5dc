"""Names of the stacks, with and without the setting ``name``, and tags of our resources."""

from __future__ import annotations

import re

OWNER_TAG = "gpustation"
"""Marks what is ours; its value is the stack's name."""

SAVED_TAG = "gpustation:saved-from"
"""Marks an image that a person saved, and what may be undone; its value is the instance's id."""

WORKSTATION, IMAGE, DEPLOY_ROLE = "GpuWorkstation", "GpuImage", "GpuDeployRole"

STACK_NAMES = (WORKSTATION, IMAGE, DEPLOY_ROLE)
"""The stacks of this project, by the names that they have where nobody sets ``name``."""

MAX_NAME = 20
"""Characters of a name: IAM's 64 for a role leave so much of it readable beside a logical id."""

NAME = re.compile(f"[A-Za-z][A-Za-z0-9-]{{0,{MAX_NAME - 1}}}")
"""What a name may be: the characters of a stack's name, and the first of them a letter."""


def stack_name(kind: str, name: str = "") -> str:
    """``GpuWorkstation`` or ``GpuWorkstation-<name>``.

    Args:
        kind: ``WORKSTATION`` or ``IMAGE``.
        name: The setting ``name``. Default: none.
    """
    return f"{kind}-{name}" if name else kind


def name_in(stack: str) -> str | None:
    """The setting ``name`` of a stack's whole name; ``None`` where it is none that we give."""
    kind, hyphen, name = stack.partition("-")
    if kind not in (WORKSTATION, IMAGE) or bool(hyphen) != bool(name):
        return None
    return name if not name or NAME.fullmatch(name) else None


def context_for(name: str) -> str:
    """What a command needs behind it to mean the stacks of this name: nothing, or a ``-c``."""
    return f" -c name={name}" if name else ""
