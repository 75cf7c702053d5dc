"""Reads the settings out of CDK context.

Faults do not raise: they are returned as lines, all at once, so that the stack can carry them as
error annotations. Those stop ``cdk deploy`` and let ``cdk destroy`` work.
"""

from __future__ import annotations

import dataclasses
import difflib
import hashlib
import re
from collections.abc import Mapping
from typing import Any

import pydantic

from gpustation.catalog.gpu_types import gpu_types
from gpustation.console.shown_text import looks_like_a_path, looks_secret, shown
from gpustation.settings import values
from gpustation.settings.model import Settings

LATER_SETTINGS = (
    "spot",
    "max_price_usd",
    "idle_stop_minutes",
    "stop_at",
    "monthly_budget_usd",
    "workstations",
)
"""Settings with a place in the design and no code yet: answered, never silently ignored."""

_CDK_KEYS = ("cli-telemetry", "acknowledged-issue-numbers")


@dataclasses.dataclass(frozen=True)
class SettingsReport:
    """Settings as read, with what is wrong about them.

    Attributes:
        settings: The settings; a faulty one has its default here.
        faults: One line per fault; not empty means that nothing may be deployed.
        warnings: One line for each ignored key and shortened value, by the id that silences it.
        name_fault: The fault that leaves open whose stacks are meant: then not even a destroy may
            go on, as it would be another's. Empty where that is clear.
    """

    settings: Settings
    faults: tuple[str, ...]
    warnings: Mapping[str, str]
    name_fault: str = ""


def read_settings(context: Mapping[str, Any]) -> SettingsReport:
    """Reads the settings out of CDK's context, which also carries what is not ours.

    JSON's null means that a setting is not given.
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
        elif near := _nearly_ours(key):
            faults.append(f"{_shown(key, value, near)}: no such setting; did you mean {near}?")
            name_fault = faults[-1] if near == "name" else name_fault
        elif not _is_cdks(key):
            warnings[_id_of_ignored(key)] = f"{shown(key)}: not a setting of gpustation, ignored"
    settings, value_faults = _validate(given, warnings)
    faults += value_faults.values()
    name_fault = value_faults.get("name", name_fault)
    conflicts = _conflicts(settings)
    # a rule on two settings is told only where neither is faulty by itself
    faults += [line for keys, line in conflicts.items() if not set(keys) & set(value_faults)]
    # What was not given stays so: ``model_fields_set`` tells it from a default that was given
    deployable = Settings(
        **settings.model_dump(exclude_unset=True, exclude={key for key, _ in conflicts})
    )
    return SettingsReport(deployable, tuple(faults), warnings, name_fault)


def _id_of_ignored(key: str) -> str:
    """The same for a key wherever it stands; a key with other letters has a hash of its own."""
    plain = re.sub(r"[^A-Za-z0-9_.-]", "", key)[:40]
    if plain != key or looks_secret(key):
        plain = hashlib.sha256(key.encode(errors="replace")).hexdigest()[:8]
    return f"ignoredKey.{plain}"


def _is_cdks(key: str) -> bool:
    return key in _CDK_KEYS or any(mark in key for mark in ":/@")


def _nearly_ours(key: str) -> str | None:
    if _is_cdks(key):
        return None
    names = [*Settings.model_fields, *LATER_SETTINGS]
    folded = {name.replace("_", ""): name for name in names}
    plain = key.lower().replace("-", "").replace("_", "")
    close = difflib.get_close_matches(plain, folded, n=1, cutoff=0.8)
    # A first word, as in disk, or more of the name, as in github_repo
    starts = (f"{key.lower()}_", key.lower() if "_" in key else f"{key.lower()}_")
    prefixed = [name for name in names if name.startswith(starts)]
    # Of a short word difflib finds two exchanged letters too far away
    exchanged = [name for letters, name in folded.items() if sorted(letters) == sorted(plain)]
    near = [*(folded[one] for one in close), *exchanged, *prefixed]
    return next(iter(near), None)


def _validate(given: dict[str, Any], warnings: dict[str, str]) -> tuple[Settings, dict[str, str]]:
    """The settings with defaults in place of faulty values, and the fault of each such key."""
    try:
        return Settings.model_validate(given, context=warnings), {}
    except pydantic.ValidationError as error:
        faults = {str(e["loc"][0]): str(e["ctx"]["error"]) for e in error.errors()}
    sound = {key: value for key, value in given.items() if key not in faults}
    return Settings.model_validate(sound, context=warnings), {
        key: f"{_shown(key, given[key])}: {rule}" for key, rule in faults.items()
    }


def _shown(key: str, value: object, meant: str = "") -> str:
    """``key=value`` on one line. Of a public key only a path is shown: the rest may be private."""
    given = values.text(value)
    if "public_key" in (key, meant):
        return f"{shown(key)}={shown(given, 255)}" if looks_like_a_path(given) else shown(key)
    return f"{shown(key)}={shown(given)}"


def _conflicts(settings: Settings) -> dict[tuple[str, str], str]:
    """Faults of two settings together; the default of the first resolves each."""
    found: dict[tuple[str, str], str] = {}
    gpu_type = gpu_types()[settings.instance_type]
    for key in ("instance_type", "image_instance_type"):
        conflict = _framework_conflict(key, getattr(settings, key), settings.framework)
        if conflict:
            found[key, "framework"] = conflict
    if settings.image == "dlami" and gpu_type.driver != "open":
        found["image", "instance_type"] = (
            f"image=dlami: its open driver does not drive the {gpu_type.gpu.upper()} of "
            f"instance_type={gpu_type.name}; take image=ubuntu-24.04"
        )
    if values.covers_the_world(settings.ssh_cidr) and not settings.allow_world_ssh:
        found["ssh_cidr", "allow_world_ssh"] = (
            f"{_shown('ssh_cidr', ','.join(settings.ssh_cidr))}: opens port 22 to half of the "
            "internet or more; pass your own address with /32, or allow_world_ssh=true if you "
            "mean it"
        )
    return found


def _framework_conflict(key: str, instance_type: str, framework: str) -> str | None:
    gpu_type = gpu_types().get(instance_type)
    obstacle = gpu_type.obstacle(framework) if gpu_type else None
    if gpu_type is None or obstacle is None:
        return None
    remedy = values.take_one_of(framework)
    other = "pytorch" if framework == "mxnet" else "mxnet"
    if gpu_type.obstacle(other) is None:
        remedy += f", or framework={other}"
    return f"{key}={instance_type}: not with framework={framework}, {obstacle}; {remedy}"
