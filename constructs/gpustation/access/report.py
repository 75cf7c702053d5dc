"""The machine's report: a parameter of its generation that only the machine writes.

Root on the machine can write anything into it, so it is text of others: its form is checked, and
nothing in it is a command.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

from gpustation.access.host_keys import HostKey, parse_key
from gpustation.catalog.names import REPORTS

if TYPE_CHECKING:
    from mypy_boto3_ssm import SSMClient

    from gpustation.workstation.machine import Machine

SCHEMA = 1
MAX_CHARACTERS = 4096
"""Size of a standard parameter (Systems Manager, quotas)."""
MAX_KEYS = 8
MAX_PHASES = 40
STATES = ("running", "complete", "failed")
_PHASE = re.compile(r"[a-z][a-z-]{0,29}")
_INSTANCE_ID = re.compile(r"i-[0-9a-f]{8,17}")


class ReportError(ValueError):
    """The report is not in the form that machines write; the message says why."""


@dataclass(frozen=True)
class SetUp:
    """Where a machine's set-up is.

    Attributes:
        state: One of ``STATES``.
        phase: The phase that runs or failed, or the last one.
        since: Since when the state is this one.
        seconds: Seconds that the phases took, by phase.
        warnings: What went wrong without ending the set-up, by phase.
    """

    state: str
    phase: str
    since: datetime
    seconds: Mapping[str, int] = field(default_factory=dict)
    warnings: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Report:
    """What a machine says about itself.

    Attributes:
        instance_id: The machine.
        host_keys: Its public SSH host keys, sorted.
        set_up: Its set-up; ``None`` if it does not say.
    """

    instance_id: str
    host_keys: tuple[HostKey, ...]
    set_up: SetUp | None = None


def parse_report(text: str) -> Report | None:
    """The report in a parameter's value; ``None`` if the machine has not written one.

    Raises:
        ReportError: The text is not a report.
    """
    if len(text) > MAX_CHARACTERS:
        raise ReportError(f"it is longer than {MAX_CHARACTERS} characters")
    try:
        report: Any = json.loads(text)
    except (ValueError, RecursionError):
        raise ReportError("it is not JSON") from None
    if not isinstance(report, dict):
        raise ReportError("it is not a JSON object")
    if not report:
        return None
    schema, machine, lines = (report.get(n) for n in ("schema", "instance_id", "host_keys"))
    if schema != SCHEMA:
        raise ReportError(f"its schema is not {SCHEMA}; this command may be too old for it")
    if not isinstance(machine, str) or not _INSTANCE_ID.fullmatch(machine):
        raise ReportError("its instance_id is not the id of an instance")
    if not isinstance(lines, list) or not 1 <= len(lines) <= MAX_KEYS:
        raise ReportError(f"its host_keys are not a list of 1 to {MAX_KEYS} keys")
    keys = [parse_key(line) if isinstance(line, str) else None for line in lines]
    if None in keys:
        raise ReportError("one of its host_keys is not the public key of an SSH host")
    set_up = report.get("set_up")
    return Report(
        machine,
        tuple(sorted({key for key in keys if key is not None})),
        None if set_up is None else _set_up(set_up),
    )


def _set_up(data: Any) -> SetUp:
    """The set-up in a report.

    Raises:
        ReportError: It is not in the form that machines write.
    """
    try:
        state, phase, since = data["state"], data["phase"], data["since"]
        seconds, warnings = data["seconds"], data["warnings"]
        phases = [phase, *seconds, *warnings]
        counts, texts = [since, *seconds.values()], [*warnings.values()]
        fits = (
            state in STATES
            and len(phases) <= MAX_PHASES
            and all(_PHASE.fullmatch(name) for name in phases)
            and all(type(count) is int and count >= 0 for count in counts)
            and all(isinstance(text, str) for text in texts)
        )
        begun = datetime.fromtimestamp(since, timezone.utc)
    except (TypeError, KeyError, AttributeError, ValueError, OverflowError, OSError):
        fits = False
    if not fits:
        raise ReportError("its set_up is not in the form that machines write")
    return SetUp(state, phase, begun, seconds, warnings)


def read_reports(ssm: SSMClient, stack: str = "") -> dict[str, str]:
    """The texts of all reports by the name of their parameter, with one call per ten.

    Args:
        ssm: The client.
        stack: Name of the only stack to read. Default: all of the region.

    Raises:
        ClientError: AWS refused a call.
    """
    pages = ssm.get_paginator("get_parameters_by_path").paginate(
        Path=f"{REPORTS}/{stack}".rstrip("/"), Recursive=True
    )
    return {row["Name"]: row["Value"] for page in pages for row in page["Parameters"]}


def report_of(machine: Machine, texts: Mapping[str, str]) -> Report | None:
    """The report of a machine; ``None`` if it has none, or one of another machine.

    A machine can write only the parameter of its own stack and generation, so only there is it
    believed.

    Raises:
        ReportError: The parameter's value is not a report.
    """
    # While a new generation is made, the stack has two
    begin, generation = f"{REPORTS}/{machine.stack}/", f"Generation{machine.generation}Machine"
    for name, text in texts.items():
        if name.startswith(begin) and generation in name[len(begin) :]:
            report = parse_report(text)
            if report is not None and report.instance_id == machine.instance_id:
                return report
    return None
