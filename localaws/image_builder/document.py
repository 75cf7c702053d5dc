"""Component documents of Image Builder, as far as this project's own component uses them.

Everything else is refused, so that no document passes here that would do something else on AWS.
tests/infra/test_component_document.py checks our document against a model of the whole format.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

PHASES = ("build", "validate", "test")
INPUTS = {"ExecuteBash": dict, "S3Download": list}
"""Type of the inputs of each action."""
_STEP = {"name", "action", "timeoutSeconds", "onFailure", "maxAttempts", "inputs"}
DEFAULT_SECONDS = 7200.0
"""AWSTOE's own time-out of a step."""


class DocumentError(ValueError):
    """A document that this interpreter does not know how to run."""


@dataclass(frozen=True)
class Step:
    """One action.

    Attributes:
        seconds: How long an attempt may take.
        attempts: How often the action is tried.
    """

    name: str
    action: str
    inputs: Any
    seconds: float
    attempts: int


Phases = Mapping[str, tuple[Step, ...]]
"""The steps of each phase."""


def parse(text: str) -> Phases:
    """Read a document.

    Raises:
        DocumentError: It is not JSON, or uses something that is not known here.
    """
    try:
        document = json.loads(text)
        phases = {
            phase["name"]: tuple(_step(phase["name"], step) for step in phase["steps"])
            for phase in document["phases"]
        }
    except (ValueError, KeyError, TypeError) as error:
        if isinstance(error, DocumentError):
            raise
        raise DocumentError(f"not a document in JSON: {error!r}") from error
    if str(document.get("schemaVersion")) != "1.0":
        raise DocumentError(f"schemaVersion must be 1.0, got {document.get('schemaVersion')}")
    unknown = [name for name in phases if name not in PHASES]
    if unknown or not phases:
        raise DocumentError(f"phases must be some of {', '.join(PHASES)}, got {[*phases]}")
    return phases


def _step(phase: str, step: Mapping[str, Any]) -> Step:
    where = f"step {step['name']} of phase {phase}"
    action = step["action"]
    if action not in INPUTS:
        raise DocumentError(f"{where}: the embedded AWS does not know the action {action}")
    if not isinstance(step["inputs"], INPUTS[action]):
        raise DocumentError(f"{where}: inputs of {action} must be a {INPUTS[action].__name__}")
    if unknown := sorted(step.keys() - _STEP):
        raise DocumentError(f"{where}: the embedded AWS does not know {unknown}")
    if step.get("onFailure", "Abort") != "Abort":
        raise DocumentError(f"{where}: the embedded AWS knows onFailure=Abort only")
    return Step(
        name=step["name"],
        action=action,
        inputs=step["inputs"],
        seconds=float(step.get("timeoutSeconds", DEFAULT_SECONDS)),
        attempts=int(step.get("maxAttempts", 1)),
    )
