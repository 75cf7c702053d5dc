"""What is known of each setting beside its value: one row, from which all else follows.

The plan's words, the list of what is locked to a machine, the table in docs/settings.md, what a
template tells of its settings, and another value of each for the tests: none of them is kept by
hand (docs/decisions/0013).
"""

from __future__ import annotations

import enum
import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

METADATA = "gpustation"
"""Under which key of its Metadata a template of the workstation tells its settings."""


class When(enum.Enum):
    """When a change of a setting takes effect: in the docs, and in a plan."""

    IN_PLACE = "in place", "in place"
    NEXT_BOOT = "next boot", "from the machine's next boot on"
    STOP_AND_START = "stop and start, disk kept", "the machine stops and starts"
    NEW_GENERATION = "new generation", "needs a new machine"
    NEW_MACHINE = "\N{EN DASH}", "a new machine"
    OTHER_STACKS = (
        "another value means other stacks; the old ones stay until `cdk destroy`",
        "other stacks",
    )
    NEXT_IMAGE = "next deploy of the image", "at the next deploy of the image"

    def __init__(self, docs: str, plan: str) -> None:
        self.docs = docs
        self.plan = plan


class Of(enum.Enum):
    """Which stack's template a setting changes."""

    WORKSTATION = enum.auto()
    OTHERS = enum.auto()
    NONE = enum.auto()
    """Synth only: it decides whether there is a template. What a deployed stack was given, nobody
    can tell: CloudFormation does not take a change of a template's Metadata alone."""


def written(value: object) -> str:
    """A value as a person writes it on a command line: ``true``, ``64``, ``a,b``, ``none``."""
    if isinstance(value, (tuple, list)):
        value = ",".join(value)
    return (str(value) or "none") if isinstance(value, str) else json.dumps(value)


@dataclass(frozen=True)
class Row:
    """One setting.

    Attributes:
        means: What it does, with its unit and rule, as a cell of a Markdown table.
        when: When a change takes effect.
        another: Another valid value, as context holds it.
        of: Whose template it changes. Default: the workstation's.
        default: What the table shows as the default. Default: the value itself.
        kept_if_unset: Where it is not given a machine keeps what it has, so that another default
            in a later version changes no machine. Default: false.
        written: How a plan and the template's Metadata show a value. Default: as a person writes
            it.
    """

    means: str
    when: When
    another: Any
    of: Of = Of.WORKSTATION
    default: str = ""
    kept_if_unset: bool = False
    written: Callable[[Any], str] = written
