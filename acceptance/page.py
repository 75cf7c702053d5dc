"""The page of an evidence file: what a person reads of an acceptance run."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterable

from acceptance.evidence import NO, NOT_SHOWN, SHOWN, YES, Evidence
from acceptance.questions import PARTS, QUESTIONS
from gpustation.catalog.gpu_types import gpu_types
from gpustation.console.shown_text import one_line

WIDTH = 120
_MINUTE, _HOUR = 60, 3600
_SPECIAL = re.compile(r"([\\`*_\[\]|~#<>&!])")


def page(evidence: Evidence, name: str) -> str:
    """The page in Markdown. The same evidence gives the same text.

    Args:
        evidence: The run.
        name: Name of its file.
    """
    shown = [part.part for part in evidence.parts if part.verdict == SHOWN]
    sections = [
        f"# An acceptance run: {evidence.place}",
        wrapped(
            f"Written by `python -m acceptance.proven` from [{name}]({name}). "
            "[What has been proven](../proven.md) lists all runs."
        ),
        table(("", ""), _head(evidence)),
        "## Parts",
        wrapped(f"{len(shown)} of {len(PARTS)} parts were shown."),
        table(
            ("part", "what was tried", "verdict", "seconds", "USD"),
            (
                (
                    code(part.part),
                    plain(part.what),
                    part.verdict,
                    _seconds(part.seconds),
                    usd(part.usd),
                )
                for part in evidence.parts
            ),
        ),
        "## What was seen",
        _seen(evidence),
        "## What was not shown",
        _not_shown(evidence),
        "## Questions about AWS",
        _answers(evidence),
        "## What was left at the end",
        table(("left",), ((code(line),) for line in evidence.leftovers))
        if evidence.leftovers
        else "Nothing.",
        "## The bill",
        _bill(evidence),
    ]
    return "\n\n".join(sections) + "\n"


def _head(evidence: Evidence) -> Iterable[tuple[str, str]]:
    gpu_type = gpu_types().get(evidence.instance_type)
    gpus = f" ({gpu_type.gpus} x {gpu_type.gpu.upper()})" if gpu_type and gpu_type.gpus else ""
    commit = f", commit {code(evidence.commit)}" if evidence.commit else ""
    where = "AWS" if evidence.where == "aws" else "the embedded AWS: this shows nothing about AWS"
    cost = evidence.usd
    return (
        ("where", f"{where}, {evidence.region}"),
        ("day", evidence.date),
        ("machine", f"{evidence.instance_type}{gpus}, {evidence.machine}"),
        ("framework", evidence.framework),
        ("gpustation", f"{evidence.version}{commit}"),
        ("duration", duration(evidence.seconds)),
        (
            "USD, estimated",
            f"{usd(cost.spent)} spent; {usd(cost.expected)} expected, {usd(cost.maximum)} at most",
        ),
    )


def _seen(evidence: Evidence) -> str:
    rows = [
        (code(part.part), plain(fact), code(str(value)))
        for part in evidence.parts
        for fact, value in part.evidence.items()
    ]
    return table(("part", "fact", "value"), rows) if rows else "Nothing was recorded."


def _not_shown(evidence: Evidence) -> str:
    rows = [
        (code(part.part), part.verdict, plain(part.why))
        for part in evidence.parts
        if part.verdict != SHOWN
    ]
    tried = {part.part for part in evidence.parts}
    rows += [
        (code(part), NOT_SHOWN, "not a part of this run") for part in PARTS if part not in tried
    ]
    return table(("part", "verdict", "why"), rows) if rows else "Every part was shown."


def _answers(evidence: Evidence) -> str:
    rows = []
    for probe in evidence.probes:
        question = QUESTIONS[probe.probe]
        means = {YES: question.yes, NO: question.no}.get(probe.answer, "")
        rows.append(
            (probe.probe, plain(probe.question), probe.answer, plain(probe.found), means or "-")
        )
    if not rows:
        return "No question was asked."
    return table(("probe", "question", "answer", "found", "what that means"), rows)


def _bill(evidence: Evidence) -> str:
    if not evidence.bill:
        return "Nobody has added it yet: AWS bills the day of a run about a day later."
    total = sum(billed for _, billed in evidence.bill)
    rows = [(plain(service), usd(billed)) for service, billed in evidence.bill]
    return table(("service", "USD"), [*rows, ("all", usd(total))])


def table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    """A table in Markdown; its cells are Markdown too."""
    cells = [*head]
    lines = [_row(cells), "|---" * len(cells) + "|", *(_row(row) for row in rows)]
    return "\n".join(lines)


def _row(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"


def wrapped(text: str) -> str:
    """A paragraph in lines of at most `WIDTH` characters, unless a word is longer."""
    return textwrap.fill(text, WIDTH, break_long_words=False, break_on_hyphens=False)


def plain(text: str) -> str:
    """Text of others in one line, without a meaning in Markdown or HTML; ``-`` if it is empty."""
    return _SPECIAL.sub(r"\\\1", one_line(text)) or "-"


def code(text: str) -> str:
    """Text of others in one line as code; ``-`` if it is empty."""
    shown = one_line(text).replace("`", "'").replace("|", "\\|")
    return f"`{shown}`" if shown else "-"


def duration(seconds: float) -> str:
    """A duration in words."""
    minutes = round(seconds / _MINUTE)
    if minutes < 1:
        return f"{seconds:.0f} s"
    hours, rest = divmod(minutes, _HOUR // _MINUTE)
    return f"{hours} h {rest} min" if hours else f"{minutes} min"


def usd(amount: float) -> str:
    """An amount in USD."""
    return f"{amount:.2f}"


def _seconds(seconds: float) -> str:
    return f"{seconds:.0f}"
