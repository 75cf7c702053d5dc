"""Metadata of a setting: description, time of effect, example value.

The plan, the locked settings, the table in docs/settings.md, the template's Metadata and the
values for tests are all derived from these rows (docs/decisions/0013).
"""

from __future__ import annotations

import enum
import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

METADATA = "gpustation"
"""Key of the settings in the Metadata of the workstation's template."""


class When(enum.Enum):
    """When a change of a setting takes effect: text for the docs, and text for a plan."""

    IN_PLACE = "in place", "in place"
    NEXT_BOOT = "next boot", "from the machine's next boot on"
    STOP_AND_START = "stop and start, disk kept", "the machine stops and starts"
    NEW_GENERATION = "new generation", "needs a new machine"
    NEW_MACHINE = "\N{EN DASH}", "a new machine"
    OTHER_STACKS = (
        "a new value creates other stacks; the old ones remain until `cdk destroy`",
        "other stacks",
    )
    NEXT_IMAGE = "next deploy of the image", "at the next deploy of the image"

    def __init__(self, docs: str, plan: str) -> None:
        self.docs = docs
        self.plan = plan


class Of(enum.Enum):
    """The stack whose template depends on a setting."""

    WORKSTATION = enum.auto()
    OTHERS = enum.auto()
    NONE = enum.auto()
    """Validation at synth only. Its value in a deployed stack is unknown, as CloudFormation does
    not deploy a change of a template's Metadata alone."""


def written(value: object) -> str:
    """A value in the form of the command line: ``true``, ``64``, ``a,b``, ``none``."""
    if isinstance(value, (tuple, list)):
        value = ",".join(value)
    return (str(value) or "none") if isinstance(value, str) else json.dumps(value)


@dataclass(frozen=True)
class Row:
    """One setting.

    Attributes:
        means: Description with unit and rule, as a cell of a Markdown table.
        when: When a change takes effect.
        another: A valid value other than the default, as in context; for tests.
        of: Stack whose template depends on it. Default: the workstation.
        default: Default as shown in the table. Default: the default value itself.
        kept_if_unset: True if a machine keeps its value when the setting is not given, so that a
            new default does not change existing machines. Default: false.
        written: Formats a value for a plan and for the template's Metadata. Default: the form of
            the command line.
    """

    means: str
    when: When
    another: Any
    of: Of = Of.WORKSTATION
    default: str = ""
    kept_if_unset: bool = False
    written: Callable[[Any], str] = written
