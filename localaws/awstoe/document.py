"""A component document: phases of steps, each step one action with its inputs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import yaml

PHASES = ("build", "validate", "test")
"""The phases that Image Builder runs; any other would never run, so it is refused here."""
DEFAULT_SECONDS = 7200.0
"""What a step may take where it says nothing."""
ACTIONS = {
    "AppendFile": list,
    "CreateFile": list,
    "CreateFolder": list,
    "DeleteFile": list,
    "DeleteFolder": list,
    "ExecuteBash": dict,
    "ExecuteBinary": dict,
    "Reboot": dict,
    "S3Download": list,
}
"""The actions that are known here, with the form of their inputs."""
_TOP = {"name", "description", "schemaVersion", "parameters", "constants", "phases"}
_STEP = {"name", "action", "timeoutSeconds", "onFailure", "maxAttempts", "inputs"}
_FAILURES = ("Abort", "Continue", "Ignore")


class DocumentError(ValueError):
    """A document that Image Builder, or this interpreter of it, cannot run."""


@dataclass(frozen=True)
class Step:
    """One action."""

    name: str
    action: str
    inputs: Any
    seconds: float | None
    """How long it may take; None: as long as it likes."""
    on_failure: str
    attempts: int


@dataclass(frozen=True)
class Document:
    """What a component does, by phase."""

    values: Mapping[str, str | None]
    """Parameters and constants; None: a parameter that the recipe must give."""
    parameters: frozenset[str]
    phases: Mapping[str, tuple[Step, ...]]

    @property
    def kind(self) -> str:
        """Whether the component is for building, or for tests alone."""
        return "TEST" if set(self.phases) == {"test"} else "BUILD"


def parse(text: str) -> Document:
    """The document of a text.

    Raises:
        DocumentError: It is not YAML, or names what does not exist.
    """
    try:
        whole = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise DocumentError(f"the document is not YAML: {error}") from error
    _require_keys(whole, _TOP, {"schemaVersion", "phases"}, "the document")
    if str(whole["schemaVersion"]) != "1.0":
        raise DocumentError(f"schemaVersion must be 1.0, got {whole['schemaVersion']}")
    parameters = _values(whole.get("parameters"), "default")
    constants = _values(whole.get("constants"), "value")
    phases: dict[str, tuple[Step, ...]] = {}
    for phase in whole["phases"] or []:
        _require_keys(phase, {"name", "steps"}, {"name", "steps"}, "a phase")
        name = str(phase["name"])
        if name not in PHASES or name in phases:
            raise DocumentError(f"phase {name}: must be one of {', '.join(PHASES)}, each once")
        phases[name] = _steps(name, phase["steps"])
    if not phases:
        raise DocumentError("the document has no phases")
    return Document({**parameters, **constants}, frozenset(parameters), phases)


def _steps(phase: str, rows: Any) -> tuple[Step, ...]:
    steps = tuple(_step(phase, row) for row in rows or [])
    names = [step.name for step in steps]
    if not names or len({*names}) != len(names):
        raise DocumentError(f"phase {phase}: needs steps, each with a name of its own")
    return steps


def _step(phase: str, row: Any) -> Step:
    _require_keys(row, _STEP, {"name", "action"}, f"a step of phase {phase}")
    about = f"step {row['name']} of phase {phase}"
    action = row["action"]
    if action not in ACTIONS:
        raise DocumentError(f"{about}: there is no action {action} here; see localaws/awstoe")
    form = ACTIONS[action]
    inputs = row.get("inputs", form())
    if not isinstance(inputs, form):
        shape = "a list" if form is list else "a mapping"
        raise DocumentError(f"{about}: the inputs of {action} are {shape}")
    seconds = float(row.get("timeoutSeconds", DEFAULT_SECONDS))
    on_failure = row.get("onFailure", "Abort")
    if on_failure not in _FAILURES:
        raise DocumentError(f"{about}: onFailure is one of {', '.join(_FAILURES)}")
    attempts = int(row.get("maxAttempts", 1))
    return Step(
        str(row["name"]), action, inputs, None if seconds < 0 else seconds, on_failure, attempts
    )


def _values(rows: Any, key: str) -> dict[str, str | None]:
    """Parameters or constants: a list of mappings with one name each."""
    found: dict[str, str | None] = {}
    for row in rows or []:
        if not isinstance(row, dict):
            raise DocumentError("parameters and constants are lists of names")
        for name, about in row.items():
            given = (about or {}).get(key)
            found[str(name)] = None if given is None else str(given)
    return found


def _require_keys(row: Any, known: set[str], needed: set[str], what: str) -> None:
    if not isinstance(row, dict):
        raise DocumentError(f"{what} must be a mapping")
    unknown, missing = sorted(row.keys() - known), sorted(needed - row.keys())
    if unknown or missing:
        named = row.get("name", "")
        raise DocumentError(f"{what} {named}: unknown {unknown}, missing {missing}")
