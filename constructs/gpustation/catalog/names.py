"""Names of the stacks, with and without the setting ``name``, and tags of their resources."""

from __future__ import annotations

import re
from datetime import datetime, timezone

OWNER_TAG = "gpustation"
"""Tag of all resources of this project; its value is the stack's name."""

SAVED_TAG = "gpustation:saved-from"
"""Tag of an image made by ``gpustation image save``, which ``image undo`` may delete; its value is
the id of the instance."""

LAST_START_TAG = "gpustation:last-start"
"""Tag of an image that was made of a stopped machine to move it; its value is when that machine
had been started last (``started_text``). A machine that was started since has a newer disk."""

REPORTS = "/gpustation/report"
"""Path of the parameters with the machines' reports, as ``<path>/<stack>/<logical id>``: with one
call, all of a region are read."""

NOTICES = "/gpustation/spent"
"""Path of the parameters with what the spend limits found, as ``<path>/<stack>``."""

WORKSTATION, IMAGE, DEPLOY_ROLE = "GpuWorkstation", "GpuImage", "GpuDeployRole"
ACCEPTANCE_ROLE = "GpuAcceptanceRole"

STACK_NAMES = (WORKSTATION, IMAGE, DEPLOY_ROLE, ACCEPTANCE_ROLE)
"""Names of the stacks without the setting ``name``."""

ACCEPTANCE = "acceptance"
"""The setting ``name`` of an acceptance run begins with it and a hyphen; a GitHub environment of
this name is what the acceptance role trusts."""

WORKSTATION_DESCRIPTION = "GPU workstation for deep learning"
"""Description of the stacks ``GpuWorkstation``, by which the command recognizes them: their tags
are on their resources only."""

MAX_NAME = 20
"""Longest ``name``: IAM's limit of 64 characters for role names leaves room for it beside the
logical id."""

NAME = re.compile(f"[A-Za-z][A-Za-z0-9-]{{0,{MAX_NAME - 1}}}")
"""Form of a ``name``: the characters of a stack's name, starting with a letter."""


def started_text(started: datetime) -> str:
    """The value of ``LAST_START_TAG`` for a machine's ``LaunchTime``."""
    return started.astimezone(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")


def stack_name(kind: str, name: str = "") -> str:
    """``GpuWorkstation`` or ``GpuWorkstation-<name>``.

    Args:
        kind: ``WORKSTATION`` or ``IMAGE``.
        name: The setting ``name``. Default: none.
    """
    return f"{kind}-{name}" if name else kind


def name_in(stack: str) -> str | None:
    """The setting ``name`` in the name of a stack; ``None`` if it is not a name of our stacks."""
    kind, hyphen, name = stack.partition("-")
    if kind not in (WORKSTATION, IMAGE) or bool(hyphen) != bool(name):
        return None
    return name if not name or NAME.fullmatch(name) else None


def context_for(name: str) -> str:
    """Option that a ``cdk`` command needs for the stacks with this name; empty without a name."""
    return f" -c name={name}" if name else ""
