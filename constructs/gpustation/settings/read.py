"""Reads the settings from CDK context.

Errors are returned as lines, all at once, and not raised: the stack adds them as error
annotations, which block ``cdk deploy`` but not ``cdk destroy``.
"""

from __future__ import annotations

import dataclasses
import difflib
import hashlib
import re
from collections.abc import Mapping
from typing import Any

from gpustation.catalog.gpu_types import gpu_types
from gpustation.console.shown_text import looks_like_a_path, looks_secret, shown
from gpustation.settings import values
from gpustation.settings.model import Settings, read_value
from gpustation.settings.public_key import read_public_key

LATER_SETTINGS = (
    "max_price_usd",
    "workstations",
)
"""Planned settings that are not implemented yet; they are errors, never silently ignored."""

_CDK_KEYS = ("cli-telemetry", "acknowledged-issue-numbers")


@dataclasses.dataclass(frozen=True)
class SettingsReport:
    """The settings with their errors and warnings.

    Attributes:
        settings: The settings; an invalid one has its default.
        given: Names of the settings that are given and valid.
        faults: One line per error. If there are any, nothing may be deployed.
        warnings: One line for each ignored key and shortened value, by the id to acknowledge it.
        name_fault: The error about ``name``; then even a destroy must not continue, because it
            would delete stacks of another name. Empty if there is none.
    """

    settings: Settings
    given: frozenset[str]
    faults: tuple[str, ...]
    warnings: Mapping[str, str]
    name_fault: str = ""


def read_settings(context: Mapping[str, Any]) -> SettingsReport:
    """Reads the settings from CDK context, which also contains keys of others.

    A JSON null means that a setting is not given.
    """
    given: dict[str, Any] = {}
    faults: list[str] = []
    warnings: dict[str, str] = {}
    name_fault = ""
    for key, value in context.items():
        if value is None:
            continue
        if key in Settings.model_fields:
            given[key] = value
        elif key in LATER_SETTINGS:
            faults.append(f"{_shown(key, value)}: known, not yet supported; remove it")
        elif near := _nearest_setting(key):
            faults.append(f"{_shown(key, value, near)}: no such setting; did you mean {near}?")
            name_fault = faults[-1] if near == "name" else name_fault
        elif not _is_cdk_key(key):
            warnings[_id_of_ignored(key)] = f"{shown(key)}: not a setting of gpustation, ignored"
    valid, value_faults = _validate(given, warnings)
    faults += value_faults.values()
    name_fault = value_faults.get("name", name_fault)
    conflicts = _conflicts(Settings(**valid))
    # Report a conflict of two settings only if both are valid by themselves
    faults += [line for keys, line in conflicts.items() if not set(keys) & set(value_faults)]
    for key, _ in conflicts:
        valid.pop(key, None)
    settings = Settings(**valid)
    if settings.stop_at_patience and not settings.stop_at and "stop_at" not in value_faults:
        warnings["stopAtPatience"] = (
            f"stop_at_patience={settings.stop_at_patience}: nothing to delay without stop_at; set "
            "stop_at too, or remove it"
        )
    limited = settings.monthly_budget_usd or "monthly_budget_usd" in value_faults
    if settings.budget_email and not limited:
        warnings["budgetEmail"] = (
            f"{_shown('budget_email', settings.budget_email)}: nothing to tell without "
            "monthly_budget_usd; set monthly_budget_usd too, or remove it"
        )
    return SettingsReport(settings, frozenset(valid), tuple(faults), warnings, name_fault)


def _id_of_ignored(key: str) -> str:
    """Id of the warning about an ignored key: the key, or a hash if it has special characters."""
    plain = re.sub(r"[^A-Za-z0-9_.-]", "", key)[:40]
    if plain != key or looks_secret(key):
        plain = hashlib.sha256(key.encode(errors="replace")).hexdigest()[:8]
    return f"ignoredKey.{plain}"


def _is_cdk_key(key: str) -> bool:
    return key in _CDK_KEYS or any(mark in key for mark in ":/@")


def _nearest_setting(key: str) -> str | None:
    """The setting that a misspelt key probably means; ``None`` if there is none."""
    if _is_cdk_key(key):
        return None
    names = [*Settings.model_fields, *LATER_SETTINGS]
    folded = {name.replace("_", ""): name for name in names}
    plain = key.lower().replace("-", "").replace("_", "")
    close = difflib.get_close_matches(plain, folded, n=1, cutoff=0.8)
    # The first word of a name, such as disk, or a longer prefix, such as github_repo
    starts = (f"{key.lower()}_", key.lower() if "_" in key else f"{key.lower()}_")
    prefixed = [name for name in names if name.startswith(starts)]
    # difflib rates two transposed letters in a short word as too different
    transposed = [name for letters, name in folded.items() if sorted(letters) == sorted(plain)]
    near = [*(folded[match] for match in close), *transposed, *prefixed]
    return next(iter(near), None)


def _validate(
    given: dict[str, Any], warnings: dict[str, str]
) -> tuple[dict[str, Any], dict[str, str]]:
    """The values of the valid settings, and the error of each invalid one."""
    valid: dict[str, Any] = {}
    faults: dict[str, str] = {}
    for key, value in given.items():
        try:
            if key == "public_key" and values.text(value) not in values.UNSET:
                read = read_public_key(values.text(value))
                valid[key] = read.line
                if read.warning:
                    warnings["publicKeyComment"] = read.warning
            else:
                valid[key] = read_value(key, value)
        except ValueError as rule:
            faults[key] = f"{_shown(key, value)}: {rule}"
    return valid, faults


def _shown(key: str, value: object, meant: str = "") -> str:
    """``key=value`` on one line, without the value of a public key, unless it is a path."""
    given = values.text(value)
    if "public_key" in (key, meant):
        return f"{shown(key)}={shown(given, 255)}" if looks_like_a_path(given) else shown(key)
    return f"{shown(key)}={shown(given)}"


def _conflicts(settings: Settings) -> dict[tuple[str, str], str]:
    """Errors about a pair of settings; the default of the first resolves each."""
    conflicts: dict[tuple[str, str], str] = {}
    gpu_type = gpu_types()[settings.instance_type]
    for key in ("instance_type", "image_instance_type"):
        conflict = _framework_conflict(key, getattr(settings, key), settings.framework)
        if conflict:
            conflicts[key, "framework"] = conflict
    if settings.image == "dlami" and gpu_type.driver != "open":
        conflicts["image", "instance_type"] = (
            f"image=dlami: its open driver does not support the {gpu_type.gpu.upper()} of "
            f"instance_type={gpu_type.name}; use image=ubuntu-24.04"
        )
    if values.covers_the_world(settings.ssh_cidr) and not settings.allow_world_ssh:
        conflicts["ssh_cidr", "allow_world_ssh"] = (
            f"{_shown('ssh_cidr', ','.join(settings.ssh_cidr))}: opens port 22 to half of the "
            "internet or more; pass your own address with /32, or confirm with "
            "allow_world_ssh=true"
        )
    return conflicts


def _framework_conflict(key: str, instance_type: str, framework: str) -> str | None:
    gpu_type = gpu_types().get(instance_type)
    obstacle = gpu_type.obstacle(framework) if gpu_type else None
    if gpu_type is None or obstacle is None:
        return None
    remedy = values.types_remedy(framework)
    other = "pytorch" if framework == "mxnet" else "mxnet"
    if gpu_type.obstacle(other) is None:
        remedy += f", or framework={other}"
    return f"{key}={instance_type}: not with framework={framework}, {obstacle}; {remedy}"
