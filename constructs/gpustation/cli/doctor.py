"""``gpustation doctor``: checks what a deploy and the other verbs need."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from gpustation.cli.ending import run, say_json
from gpustation.cli.options import AsJson, Region, example, exit_statuses
from gpustation.console.statuses import FINDING

if TYPE_CHECKING:
    from gpustation.doctor.finding import Finding

_STATUSES = {
    0: "no check failed, and all were made",
    FINDING: "a check failed, or could not be made",
    2: "usage error",
}
EPILOG = f"{example('gpustation doctor')}\n\n{exit_statuses(_STATUSES)}"


def doctor(region: Region = "", as_json: AsJson = False) -> None:
    """Check credentials, region, clock, bootstrap, programs, quota and permissions.

    One line each, with what to do. Changes nothing.
    """

    def work() -> int:
        from gpustation.aws.session import make_session
        from gpustation.doctor.examine import examine, is_good
        from gpustation.doctor.finding import Subject
        from gpustation.doctor.project import read_project

        session = make_session(region)
        context, settings = read_project(Path.cwd())
        subject = Subject(session, session.region_name or "", context)
        findings = [settings, *examine(subject)]
        good = is_good(findings)
        if as_json:
            say_json(document(subject.region, findings, good))
        else:
            _show(findings)
        return 0 if good else FINDING

    run("doctor", work)


def document(region: str, findings: list[Finding], good: bool) -> dict[str, Any]:
    """The findings as JSON data."""
    return {
        "region": region or None,
        "good": good,
        "totals": totals(findings),
        "findings": [
            {
                "name": finding.name,
                "mark": finding.mark.value,
                "detail": finding.detail,
                "cure": finding.cure or None,
            }
            for finding in findings
        ],
    }


def totals(findings: list[Finding]) -> dict[str, int]:
    """How many findings have each mark."""
    from gpustation.doctor.finding import Mark

    return {mark.value: sum(one.mark is mark for one in findings) for mark in Mark}


def _show(findings: list[Finding]) -> None:
    import sys

    from gpustation.console.interrupts import say
    from gpustation.console.shown_text import visible
    from gpustation.console.tables import say_note

    if sys.stdout.isatty():
        width = max(len(finding.name) for finding in findings)
        for finding in findings:
            say(f"{finding.mark!s:<8} {finding.name:<{width}}  {visible(finding.detail)}")
            if finding.cure:
                say(f"{'':9}-> {visible(finding.cure)}")
    else:
        for one in findings:
            cells = (str(one.mark), one.name, one.detail, one.cure or "-")
            say("\t".join(map(visible, cells)))
    counts = totals(findings)
    say_note(", ".join(f"{count} {mark}" for mark, count in counts.items()))
