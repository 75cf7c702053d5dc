"""The settings that a template of the workstation was made with."""

from __future__ import annotations

from collections.abc import Mapping

from gpustation.plan import earlier_release
from gpustation.plan.reading import Template
from gpustation.settings.model import Settings, rows
from gpustation.settings.rows import METADATA, When, written

SCRIPTS = "scripts"
"""No setting: the hash of the machine's scripts, which another version of the project changes."""
UNKNOWN = "unknown"
"""Shown of a deployed stack that does not tell a setting, as it is older than that."""


def settings_of(template: Template, had: Mapping[str, str] | None = None) -> dict[str, str]:
    """The settings as a person writes them, and ``scripts``.

    A public key is told as its fingerprint. A setting that is newer than the template is missing.

    Args:
        template: A workstation's template.
        had: Settings of the deployed stack, which a machine keeps where nothing else is given.
            Default: none, a new machine gets the defaults.

    Raises:
        ValueError: The template is not that of a workstation.
    """
    told = template.get("Metadata", {}).get(METADATA)
    if told:
        found = {**told["settings"], SCRIPTS: told["scripts"]}
    else:
        found = earlier_release.settings_of(template)
    kept = {
        name: (had or {}).get(name, written(Settings.model_fields[name].default))
        for name, row in rows().items()
        if row.kept_if_unset
    }
    return {name: (kept | found)[name] for name in (*rows(), SCRIPTS) if name in kept | found}


def when(name: str) -> str:
    """When a change takes effect, in a plan's words."""
    return (When.NEXT_BOOT if name == SCRIPTS else rows()[name].when).plan
