"""The settings of a workstation's template."""

from __future__ import annotations

from collections.abc import Mapping

from gpustation.plan import earlier_release
from gpustation.plan.reading import Template
from gpustation.settings.model import Settings, rows
from gpustation.settings.rows import METADATA, When, written

SCRIPTS = "scripts"
"""Pseudo-setting: the hash of the machine's scripts, which changes with the project's version."""
UNKNOWN = "unknown"
"""Value of a setting that is newer than the deployed stack."""


def settings_of(template: Template, current: Mapping[str, str] | None = None) -> dict[str, str]:
    """The settings in the form of the command line, and ``scripts``.

    A public key is represented by its fingerprint. Settings newer than the template are missing.

    Args:
        template: A workstation's template.
        current: Settings of the deployed stack, for those that a machine keeps if they are not
            given. Default: none, as a new machine uses the defaults.

    Raises:
        ValueError: The template is not that of a workstation.
    """
    metadata = template.get("Metadata", {}).get(METADATA)
    if metadata:
        settings = {**metadata["settings"], SCRIPTS: metadata["scripts"]}
    else:
        settings = earlier_release.settings_of(template)
    kept = {
        name: (current or {}).get(name, written(Settings.model_fields[name].default))
        for name, row in rows().items()
        if row.kept_if_unset
    }
    settings = kept | settings
    return {name: settings[name] for name in (*rows(), SCRIPTS) if name in settings}


def when(name: str) -> str:
    """When a change takes effect, as shown in a plan."""
    return (When.NEXT_BOOT if name == SCRIPTS else rows()[name].when).plan
