"""The machine's report: a parameter of its generation that only the machine writes.

Root on the machine can write anything into it, so it is text of others: its form is checked, and
nothing in it is a command.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any, TypeVar

from gpustation.access.host_keys import HostKey, parse_key
from gpustation.catalog.names import REPORTS

if TYPE_CHECKING:
    from mypy_boto3_ssm import SSMClient

    from gpustation.workstation.machine import Machine

_T = TypeVar("_T")
SCHEMA = 1
MAX_CHARACTERS = 4096
"""Size of a standard parameter (Systems Manager, quotas)."""
MAX_KEYS = 8
MAX_PHASES = 40
MAX_SCRATCH_GIB = 1_000_000
"""Far above the largest instance store, 28,312 GiB."""
STATES = ("running", "complete", "failed")
VERDICTS = ("awake", "warned", "stop", "failing")
"""What the idle stop of a machine can say: nothing stops it now, it stops soon, it stops, or
nothing decides."""
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
class Verdict:
    """What the idle stop of a machine decided when it last changed its mind.

    Attributes:
        state: One of ``VERDICTS``.
        reason: Why, in words.
        decided: When.
        stops: When the machine stops if nothing moves on it.
    """

    state: str
    reason: str
    decided: datetime
    stops: datetime


@dataclass(frozen=True)
class OwnStop:
    """A stop of a machine by itself: when, and why."""

    at: datetime
    reason: str


@dataclass(frozen=True)
class Report:
    """What a machine says about itself.

    Attributes:
        instance_id: The machine.
        host_keys: Its public SSH host keys, sorted.
        set_up: Its set-up; ``None`` if it does not say.
        verdict: Of its idle stop; ``None`` if that is off or has not decided.
        last_stop: Its last stop; ``None`` if it did not stop by itself.
        keep_awake_until: Until when somebody asked not to stop it; ``None`` if nobody did.
        scratch_gib: Size of its instance store at ``/scratch`` in GiB; ``None`` without.
    """

    instance_id: str
    host_keys: tuple[HostKey, ...]
    set_up: SetUp | None = None
    verdict: Verdict | None = None
    last_stop: OwnStop | None = None
    keep_awake_until: datetime | None = None
    scratch_gib: int | None = None


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
    members = {
        name: read(report[name]) for name, read in _MEMBERS.items() if report.get(name) is not None
    }
    return Report(machine, tuple(sorted({key for key in keys if key is not None})), **members)


def _checked(name: str, read: Callable[[Any], _T]) -> Callable[[Any], _T]:
    """Make a reader of a part of a report raise ``ReportError`` for data in another form."""

    def checked(data: Any) -> _T:
        try:
            return read(data)
        except (TypeError, KeyError, AttributeError, ValueError, OverflowError, OSError):
            raise ReportError(f"its {name} is not in the form that machines write") from None

    return checked


def _moment(data: Any) -> datetime:
    if type(data) is not int or data < 0:
        raise ValueError
    return datetime.fromtimestamp(data, timezone.utc)


def _size(data: Any) -> int:
    if type(data) is not int or not 0 <= data <= MAX_SCRATCH_GIB:
        raise ValueError
    return data


def _text(data: Any) -> str:
    if not isinstance(data, str):
        raise TypeError
    return data


def _set_up(data: Any) -> SetUp:
    seconds, warnings = data["seconds"], data["warnings"]
    phases = [data["phase"], *seconds, *warnings]
    fits = (
        data["state"] in STATES
        and len(phases) <= MAX_PHASES
        and all(_PHASE.fullmatch(name) for name in phases)
        and all(type(count) is int and count >= 0 for count in seconds.values())
        and all(isinstance(text, str) for text in warnings.values())
    )
    if not fits:
        raise ValueError
    return SetUp(data["state"], data["phase"], _moment(data["since"]), seconds, warnings)


def _verdict(data: Any) -> Verdict:
    if data["state"] not in VERDICTS:
        raise ValueError
    decided, stops = _moment(data["decided_at"]), _moment(data["stops_at"])
    return Verdict(data["state"], _text(data["reason"]), decided, stops)


def _own_stop(data: Any) -> OwnStop:
    return OwnStop(_moment(data["at"]), _text(data["reason"]))


_MEMBERS: Mapping[str, Callable[[Any], Any]] = {
    name: _checked(name, read)
    for name, read in {
        "set_up": _set_up,
        "verdict": _verdict,
        "last_stop": _own_stop,
        "keep_awake_until": _moment,
        "scratch_gib": _size,
    }.items()
}
"""Parts that a machine need not have, e.g. because it is of an earlier release."""


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
