"""Check of the settings in the current folder's cdk.json."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from gpustation.console.errors import CommandError
from gpustation.doctor.finding import Finding, Mark
from gpustation.settings.cdk_json import NAME, Change
from gpustation.settings.read import read_settings


def read_project(folder: Path) -> tuple[dict[str, Any], Finding]:
    """The context of the folder's cdk.json, and whether its settings are valid."""
    if not (folder / NAME).exists():
        detail = f"no {NAME} in this folder: defaults are assumed"
        return {}, Finding("settings", Mark.WARNING, detail, "run this in the CDK app's folder")
    try:
        context = Change.read(folder).context
    except CommandError as error:
        return {}, Finding("settings", Mark.FAILED, str(error))
    report = read_settings(context)
    if report.faults:
        return context, Finding("settings", Mark.FAILED, "; ".join(report.faults))
    given = ", ".join(f"{name}={context[name]}" for name in sorted(report.given))
    return context, Finding("settings", Mark.OK, given or "all defaults")
