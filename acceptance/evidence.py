"""The evidence file of an acceptance run: its contents, and reading and writing it.

Files of runs on AWS are in ``docs/proven/``, are public, and are read by everybody: what may not be
in one is in `acceptance.redaction`. The evidence of a run on the embedded AWS is of the same form,
says so, and is neither written to nor read from there.
"""

from __future__ import annotations

import dataclasses
import datetime
import itertools
import json
import math
import re
import tempfile
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from acceptance.questions import PARTS, QUESTIONS
from acceptance.redaction import redact, refusals
from gpustation.catalog.frameworks import Framework
from gpustation.console.errors import CommandError
from gpustation.console.statuses import USAGE

SCHEMA = 1
AWS, EMBEDDED = "aws", "embedded"
SHOWN, FAILED, NOT_SHOWN = "shown", "failed", "not shown"
YES, NO, UNKNOWN = "yes", "no", "unknown"
MACHINES = {AWS: ("ec2",), EMBEDDED: ("booted", "record")}
"""What the machine of a run is, by where it runs."""
MAX_BYTES = 1_000_000
"""A file has some dozen kilobytes."""
_PUBLISHED = ("docs", "proven")
_REGION = re.compile(r"[a-z]{2}(-[a-z]+)+-[0-9]")
_TYPE = re.compile(r"[a-z][a-z0-9-]*\.[a-z0-9-]+")
_VERSION = re.compile(r"[0-9]+\.[0-9]+\.[0-9]+[a-z0-9.+-]*")
_COMMIT = re.compile(r"([0-9a-f]{12}|[0-9a-f]{40})?")
_HEX = 12
_T = TypeVar("_T")


@dataclass(frozen=True)
class Usd:
    """What a run costs, in USD.

    Attributes:
        expected: Estimate before the run.
        maximum: What it may cost if everything takes as long as it may.
        spent: Estimate after the run, by the seconds of its machines and disks.
    """

    expected: float
    maximum: float
    spent: float


@dataclass(frozen=True)
class PartResult:
    """What a part of a run showed.

    Attributes:
        part: Name of the part, of `acceptance.questions.PARTS`.
        what: What was tried, in words.
        verdict: ``shown``, ``failed`` or ``not shown``.
        why: Reason of a verdict other than ``shown``; empty otherwise.
        seconds: Duration.
        usd: What it cost.
        evidence: Facts that were seen: versions, GPU names, first lines, seconds of a phase.
    """

    part: str
    what: str
    verdict: str
    why: str
    seconds: float
    usd: float
    evidence: Mapping[str, str | float | int]


@dataclass(frozen=True)
class ProbeAnswer:
    """Answer to a question about AWS.

    Attributes:
        probe: Name of the probe, of `acceptance.questions.QUESTIONS`.
        question: The question as it was asked.
        answer: ``yes``, ``no`` or ``unknown``.
        found: What was found, or why it is unknown.
    """

    probe: str
    question: str
    answer: str
    found: str


@dataclass(frozen=True)
class Evidence:
    """An acceptance run.

    Attributes:
        where: ``aws`` or ``embedded``.
        date: Day on which it began, in UTC.
        region: Region.
        instance_type: Type of the machine.
        framework: Framework of the machine.
        version: Version of gpustation.
        commit: First 12 digits of the commit (`short_commit`); empty if it is unknown.
        machine: ``ec2``; of an embedded run ``booted`` or ``record``.
        seconds: Duration.
        usd: What it cost.
        parts: Results of the parts, in their order.
        probes: Answers to the questions.
        leftovers: What was left at the end, one line each.
        bill: What AWS billed, by service, in USD; empty as long as it is unknown.
        schema: Version of this form.
    """

    where: str
    date: str
    region: str
    instance_type: str
    framework: str
    version: str
    commit: str
    machine: str
    seconds: float
    usd: Usd
    parts: tuple[PartResult, ...]
    probes: tuple[ProbeAnswer, ...] = ()
    leftovers: tuple[str, ...] = ()
    bill: tuple[tuple[str, float], ...] = ()
    schema: int = SCHEMA

    @property
    def stem(self) -> str:
        """Name of the first file of such a run, without ``.json``."""
        return f"{self.date}-{self.region}-{self.instance_type}"

    @property
    def place(self) -> str:
        """When, where and on what it ran, for pages: the stem in words."""
        return f"{self.date} {self.region} {self.instance_type}"


def short_commit(commit: str) -> str:
    """A commit for evidence: 12 hex digits, or all 40 if those 12 could be an account id."""
    return commit if commit[:_HEX].isdigit() else commit[:_HEX]


def read(path: Path) -> Evidence:
    """The evidence in a file.

    Raises:
        CommandError: It cannot be read, has something that may not be in it, is no evidence of this
            form, or has another name than it should; or it is of an embedded run and lies in
            ``docs/proven``.
    """
    try:
        text = path.read_bytes()[: MAX_BYTES + 1].decode()
    except OSError as error:
        raise CommandError(f"{path}: {error.strerror}", USAGE) from error
    except UnicodeDecodeError as error:
        raise CommandError(
            f"{path} is not text: no evidence of an acceptance run", USAGE
        ) from error
    _require_publishable(text, str(path))
    evidence = _parsed(text, path)
    if not re.fullmatch(rf"{re.escape(evidence.stem)}(-([2-9]|[1-9][0-9]+))?\.json", path.name):
        raise CommandError(
            f"{path} is the evidence of {evidence.place}: its name must be {evidence.stem}.json, "
            "with -2 before .json if there was another such run on that day; rename it",
            USAGE,
        )
    _require_place(evidence, path.parent)
    return evidence


def write(evidence: Evidence, folder: Path) -> Path:
    """Write the evidence of a run into a new file, with placeholders for what may not be in it.

    Returns:
        The file: ``<date>-<region>-<type>.json``, with ``-2`` if there is one of that name.

    Raises:
        CommandError: It is not valid, or it is of an embedded run and the folder is
            ``docs/proven``.
    """
    text = _text(evidence, folder)
    folder.mkdir(parents=True, exist_ok=True)
    number = 1
    while True:
        path = folder / (evidence.stem + (f"-{number}" if number > 1 else "") + ".json")
        try:
            with path.open("x", encoding="ascii") as file:
                file.write(text)
        except FileExistsError:
            number += 1
        else:
            return path


def rewrite(evidence: Evidence, path: Path) -> None:
    """Replace a file, e.g. when the bill is known. It is either the old one or the new one.

    Raises:
        CommandError: As for `write`.
    """
    text = _text(evidence, path.parent)
    with tempfile.NamedTemporaryFile(
        "w", encoding="ascii", dir=path.parent, prefix=".", delete=False
    ) as file:
        file.write(text)
    new = Path(file.name)
    new.chmod(0o644)
    new.replace(path)


def redacted(evidence: Evidence) -> Evidence:
    """The evidence with placeholders for what may not be in the lines that come from elsewhere."""
    return dataclasses.replace(
        evidence,
        parts=tuple(
            dataclasses.replace(
                part,
                what=redact(part.what),
                why=redact(part.why),
                evidence={
                    redact(key): redact(value) if isinstance(value, str) else value
                    for key, value in part.evidence.items()
                },
            )
            for part in evidence.parts
        ),
        probes=tuple(
            dataclasses.replace(probe, found=redact(probe.found)) for probe in evidence.probes
        ),
        leftovers=tuple(redact(line) for line in evidence.leftovers),
        bill=tuple((redact(service), usd) for service, usd in evidence.bill),
    )


def _text(evidence: Evidence, folder: Path) -> str:
    """The text of the file, which `read` accepts in that folder."""
    _require_place(evidence, folder)
    document = dataclasses.asdict(redacted(evidence))
    text = json.dumps({"schema": document.pop("schema"), **document}, indent=1) + "\n"
    path = folder / f"{evidence.stem}.json"
    _require_publishable(text, str(path))
    _parsed(text, path)
    return text


def _require_place(evidence: Evidence, folder: Path) -> None:
    names = [part.casefold() for part in folder.resolve().parts]
    if evidence.where != AWS and _PUBLISHED in itertools.pairwise(names):
        raise CommandError(
            f"{folder}: the evidence of a run on the embedded AWS shows nothing about AWS, so it "
            "may not be in docs/proven; take another folder",
            USAGE,
        )


def _require_publishable(text: str, name: str) -> None:
    found = refusals(text)
    if found:
        more = f" (and {len(found) - 1} more)" if len(found) > 1 else ""
        raise CommandError(f"{name}: {found[0]}{more}", USAGE)


def _parsed(text: str, path: Path) -> Evidence:
    try:
        if len(text) > MAX_BYTES:
            raise ValueError(f"it is larger than {MAX_BYTES} bytes")
        document = json.loads(text, object_pairs_hook=_object, parse_constant=_no_constant)
        return _evidence(_Fields(document, "", Evidence))
    except (ValueError, RecursionError) as error:
        raise CommandError(
            f"{path} is no evidence of an acceptance run of schema {SCHEMA}: {error}", USAGE
        ) from error


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    document = dict(pairs)
    if len(document) < len(pairs):
        raise ValueError("a key is there twice")
    return document


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is no number of JSON")


class _Fields:
    """The fields of a JSON object, each of which is asked for once."""

    def __init__(self, document: Any, place: str, form: type) -> None:
        if not isinstance(document, dict):
            raise ValueError(f"{place or 'the file'} must be an object")
        self._place, self._document = place, document
        wanted = {field.name for field in dataclasses.fields(form)}
        for name in sorted(wanted ^ document.keys()):
            missing = "is missing" if name in wanted else "is no field of it"
            raise ValueError(f"{self._at(name)} {missing}")

    def _at(self, name: str) -> str:
        return f"{self._place}.{name}".lstrip(".")

    def text(self, name: str, rule: re.Pattern[str] | None = None, said: str = "") -> str:
        value = self._document[name]
        if not isinstance(value, str):
            raise ValueError(f"{self._at(name)} must be text")
        if rule is not None and not rule.fullmatch(value):
            raise ValueError(f"{self._at(name)}={value!r} must be {said}")
        return value

    def one_of(self, name: str, values: Collection[str]) -> str:
        value = self.text(name)
        if value not in values:
            raise ValueError(f"{self._at(name)}={value!r} must be one of {', '.join(values)}")
        return value

    def amount(self, name: str) -> float:
        return _amount(self._document[name], self._at(name))

    def rows(self, name: str, row: Callable[[Any, str], _T]) -> tuple[_T, ...]:
        value = self._document[name]
        if not isinstance(value, list):
            raise ValueError(f"{self._at(name)} must be a list")
        return tuple(row(each, f"{self._at(name)}[{i}]") for i, each in enumerate(value))

    def below(self, name: str, form: type) -> _Fields:
        return _Fields(self._document[name], self._at(name), form)

    def value(self, name: str) -> Any:
        return self._document[name]


def _evidence(fields: _Fields) -> Evidence:
    if fields.value("schema") != SCHEMA:
        raise ValueError(f"schema={fields.value('schema')!r} must be {SCHEMA}")
    usd = fields.below("usd", Usd)
    where = fields.one_of("where", MACHINES)
    parts = fields.rows("parts", _part)
    probes = fields.rows("probes", _probe)
    _require_once("parts", [part.part for part in parts])
    _require_once("probes", [probe.probe for probe in probes])
    return Evidence(
        where=where,
        date=_day(fields.text("date")),
        region=fields.text("region", _REGION, "a region, e.g. eu-central-1"),
        instance_type=fields.text("instance_type", _TYPE, "an instance type, e.g. g4dn.xlarge"),
        framework=fields.one_of("framework", [*Framework]),
        version=fields.text("version", _VERSION, "a version, e.g. 0.1.0"),
        commit=fields.text("commit", _COMMIT, "12 or 40 hex digits, or empty"),
        machine=fields.one_of("machine", MACHINES[where]),
        seconds=fields.amount("seconds"),
        usd=Usd(usd.amount("expected"), usd.amount("maximum"), usd.amount("spent")),
        parts=parts,
        probes=probes,
        leftovers=fields.rows("leftovers", _line),
        bill=fields.rows("bill", _billed),
    )


def _part(document: Any, place: str) -> PartResult:
    fields = _Fields(document, place, PartResult)
    verdict = fields.one_of("verdict", (SHOWN, FAILED, NOT_SHOWN))
    why = fields.text("why")
    if (verdict == SHOWN) == bool(why):
        rule = "must be empty" if verdict == SHOWN else "must say the reason"
        raise ValueError(f"{place}.why of a part that is {verdict} {rule}")
    evidence = fields.value("evidence")
    if not isinstance(evidence, dict):
        raise ValueError(f"{place}.evidence must be an object")
    for name, value in evidence.items():
        if isinstance(value, bool) or not isinstance(value, (str, int, float)):
            raise ValueError(f"{place}.evidence.{name} must be text or a number")
        if not isinstance(value, str) and not math.isfinite(value):
            raise ValueError(f"{place}.evidence.{name} must be finite")
    return PartResult(
        part=fields.one_of("part", PARTS),
        what=fields.text("what"),
        verdict=verdict,
        why=why,
        seconds=fields.amount("seconds"),
        usd=fields.amount("usd"),
        evidence=evidence,
    )


def _probe(document: Any, place: str) -> ProbeAnswer:
    fields = _Fields(document, place, ProbeAnswer)
    return ProbeAnswer(
        probe=fields.one_of("probe", QUESTIONS),
        question=fields.text("question"),
        answer=fields.one_of("answer", (YES, NO, UNKNOWN)),
        found=fields.text("found"),
    )


def _line(value: Any, place: str) -> str:
    if not isinstance(value, str):
        raise ValueError(f"{place} must be text")
    return value


def _billed(value: Any, place: str) -> tuple[str, float]:
    if not isinstance(value, list) or len(value) != 2:
        raise ValueError(f"{place} must be a service and its USD")
    return _line(value[0], place), _amount(value[1], place)


def _amount(value: Any, place: str) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise ValueError(f"{place} must be a number")
    if not 0 <= value < math.inf:
        raise ValueError(f"{place}={value!r} must be 0 or more")
    return float(value)


def _day(text: str) -> str:
    # fromisoformat of Python 3.11 takes other forms too
    if re.fullmatch(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", text):
        return datetime.date.fromisoformat(text).isoformat()
    raise ValueError(f"date={text!r} must be a day, e.g. 2026-12-01")


def _require_once(place: str, names: list[str]) -> None:
    for name in names:
        if names.count(name) > 1:
            raise ValueError(f"{place}: {name} is there twice")
