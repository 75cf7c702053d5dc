"""Writes the pages of what has been proven: `python -m acceptance.proven`.

``docs/proven.md`` is made of the promises in ``tests/claims.md`` and of the evidence files in
``docs/proven/``, each of which gets a page beside it; the paragraph about it in ``README.md`` is
written too. ``--check`` writes nothing, and fails if anything would be written.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from acceptance.evidence import AWS, FAILED, NOT_SHOWN, SHOWN, UNKNOWN, Evidence, read
from acceptance.page import duration, page, table, usd, wrapped
from acceptance.questions import PARTS, QUESTIONS
from gpustation.catalog.frameworks import Framework
from gpustation.catalog.gpu_types import gpu_types
from gpustation.console.errors import CommandError
from gpustation.console.statuses import FINDING

ROOT = Path(__file__).resolve().parents[1]
CLAIMS, PROVEN, FOLDER, README = "tests/claims.md", "docs/proven.md", "docs/proven", "README.md"
NOBODY = "nobody has yet"
_COLUMN = "on AWS"
_CELLS = re.compile(r"(?<!\\)\|")
_NOTE = re.compile(r"<!--.*?-->", re.DOTALL)
_PARAGRAPH = re.compile(r"^\*\*What has been proven:\*\* .*?(?=\n\n)", re.DOTALL | re.MULTILINE)
_FIRST_OF_ITS_DAY = 1


@dataclass(frozen=True)
class Run:
    """An acceptance run whose evidence is in ``docs/proven``.

    Attributes:
        evidence: The evidence.
        path: Its file.
    """

    evidence: Evidence
    path: Path

    @property
    def link(self) -> str:
        """A link to its page, as seen from ``docs/``."""
        return f"[{self.evidence.place}]({Path(FOLDER).name}/{self.path.stem}.md)"

    @property
    def order(self) -> tuple[str, int, str]:
        """Sorts runs by their day, and those of one kind by their number."""
        number = self.path.stem.removeprefix(self.evidence.stem).removeprefix("-")
        return self.evidence.date, int(number or _FIRST_OF_ITS_DAY), self.path.stem

    def verdict(self, part: str) -> str:
        """Verdict of a part; ``not shown`` if the run did not have it."""
        return next((p.verdict for p in self.evidence.parts if p.part == part), NOT_SHOWN)

    def answer(self, probe: str) -> str:
        """Answer of a probe; ``unknown`` if the run did not have it."""
        return next((p.answer for p in self.evidence.probes if p.probe == probe), UNKNOWN)

    def parts_that(self, verdict: str) -> list[str]:
        """The parts with a verdict, as code."""
        return [f"`{part}`" for part in PARTS if self.verdict(part) == verdict]


@dataclass(frozen=True)
class Witness:
    """A part or probe that shows a promise.

    Attributes:
        name: Name of the part or probe.
        gpus: Number of GPUs that the machine must have.
        framework: Framework that must have been installed; empty for any.
    """

    name: str
    gpus: int = 0
    framework: str = ""

    def __str__(self) -> str:
        """The name as code, with the limits."""
        limits = [f"{self.gpus} GPUs"] if self.gpus else []
        limits += [self.framework] if self.framework else []
        return f"`{self.name}`" + (f" ({', '.join(limits)})" if limits else "")

    def counts(self, run: Run) -> bool:
        """Whether it shows the promise, if it succeeds in that run."""
        gpu_type = gpu_types().get(run.evidence.instance_type)
        if self.gpus > (gpu_type.gpus if gpu_type else 0):
            return False
        # The part `framework` installs the other one
        same = run.evidence.framework == self.framework
        return not self.framework or same != (self.name == "framework")


def main(arguments: Sequence[str] | None = None) -> int:
    """Write the pages, or check them."""
    parser = argparse.ArgumentParser(prog="python -m acceptance.proven", description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; fail if not current")
    options = parser.parse_args(arguments)
    try:
        wanted = pages(ROOT)
        stale = [path for path, text in wanted.items() if _current(path) != text]
        if not options.check:
            for path in stale:
                _put(path, wanted[path])
    except CommandError as error:
        print(error, file=sys.stderr)
        return error.status
    for path in stale:
        name = path.relative_to(ROOT)
        if options.check:
            print(
                f"{name} is not what {CLAIMS} and {FOLDER}/*.json say; change those, then run "
                "`python -m acceptance.proven`",
                file=sys.stderr,
            )
        else:
            print(f"wrote {name}" if path.exists() else f"deleted {name}")
    return FINDING if options.check and stale else 0


def pages(root: Path) -> dict[Path, str]:
    """The text that each page should have; empty for one that should not be there.

    Raises:
        CommandError: An evidence file or the list of promises is not valid.
    """
    runs = read_runs(root)
    wanted = {path: "" for path in (root / FOLDER).glob("[0-9]*.md")}
    for run in runs:
        wanted[run.path.with_name(f"{run.path.stem}.md")] = page(run.evidence, run.path.name)
    wanted[root / PROVEN] = proven(_read(root / CLAIMS), runs)
    wanted[root / README] = readme(_read(root / README), runs)
    return wanted


def read_runs(root: Path) -> list[Run]:
    """The runs whose evidence is in ``docs/proven``, the newest first.

    Raises:
        CommandError: One of the files is not valid.
    """
    runs = [Run(read(path), path) for path in (root / FOLDER).glob("*.json")]
    for run in runs:
        if run.evidence.where != AWS:
            raise CommandError(f"{run.path}: only runs on AWS may be here; move it elsewhere")
    return sorted(runs, key=lambda run: run.order, reverse=True)


def proven(claims: str, runs: Sequence[Run]) -> str:
    """The text of ``docs/proven.md``.

    Args:
        claims: The text of ``tests/claims.md``.
        runs: The runs on AWS, the newest first.

    Raises:
        CommandError: A table of the promises is not valid.
    """
    note = (
        "<!-- Written by `python -m acceptance.proven` from tests/claims.md and docs/proven/. -->"
    )
    texts = {"{{statement}}": _statement(runs), "{{aws}}": _on_aws(runs)}
    lines = _lines(_NOTE.sub(note, claims, count=1), runs)
    return "".join(f"{texts.get(line, line)}\n" for line in lines)


def readme(text: str, runs: Sequence[Run]) -> str:
    """The text of ``README.md`` with today's paragraph about what has been proven.

    Raises:
        CommandError: It has no such paragraph.
    """
    if not _PARAGRAPH.search(text):
        raise CommandError(f'{README} has no paragraph "**What has been proven:** ..."; add one')
    deployed = _newest(runs, "deploy")
    first = "everything except AWS itself and a GPU. The"
    on_aws = "Nobody has deployed it to an AWS account yet."
    if deployed:
        run = deployed.evidence
        first = "the"
        on_aws = f"It was last deployed to AWS on {run.date}, as a {run.instance_type}."
    paragraph = wrapped(
        f"**What has been proven:** {first} real CDK CLI deploys to an embedded AWS, and test "
        f"machines boot the real user data with real systemd and cloud-init. {on_aws} "
        f"[{PROVEN}]({PROVEN}) lists what is shown, what is not, and why."
    )
    return _PARAGRAPH.sub(lambda _: paragraph, text, count=1)


def _statement(runs: Sequence[Run]) -> str:
    """The first paragraph: what the page is, and whether it has run on AWS."""
    what = (
        "What has been shown, on what, by which tests, and what only a real AWS account or a GPU "
        "can show."
    )
    deployed, computed = _newest(runs, "deploy"), _newest(runs, "compute")
    if not deployed and not computed:
        tried = f" The newest attempt is {runs[0].link}." if runs else ""
        nobody = "Nobody has deployed this project to an AWS account or run it on a GPU yet."
        return wrapped(f"{what} **{nobody}**{tried}")
    done = " ".join(
        f"**{fact}:** {run.link}." if run else f"**{fact}:** {NOBODY}."
        for fact, run in (("Deployed to AWS", deployed), ("Computed on a GPU", computed))
    )
    failed = runs[0].parts_that(FAILED)
    lacking = f" In the newest run failed: {', '.join(failed)}." if failed else ""
    return wrapped(f"{what} {done}{lacking}")


def _on_aws(runs: Sequence[Run]) -> str:
    """The section about acceptance runs."""
    parts = [(f"`{part}`", what, _answer(Witness(part), runs)) for part, what in PARTS.items()]
    questions = [
        (row.probe, row.text, row.how, row.yes, row.no, _answer(Witness(row.probe), runs))
        for row in QUESTIONS.values()
    ]
    paragraphs = [
        wrapped(
            "An acceptance run does the whole job on an AWS account and writes what it saw to a "
            "file, which names no account, address or key. The last column of the other tables "
            "names its parts, too: each shows some of the promise, not all that the tests show."
        ),
        _runs(runs) if runs else "Nobody has run it on AWS yet.",
        table(("part", "what it shows", _COLUMN), parts),
        wrapped("Questions about AWS that nothing else answers, and what each answer would mean:"),
        table(("probe", "question", "how it is read", "yes", "no", _COLUMN), questions),
    ]
    return "\n\n".join(paragraphs)


def _runs(runs: Sequence[Run]) -> str:
    rows = []
    for run in runs:
        evidence = run.evidence
        rows.append(
            (
                run.link,
                f"{evidence.version} {evidence.commit}".strip(),
                evidence.framework,
                f"{len(run.parts_that(SHOWN))} of {len(PARTS)}",
                ", ".join(run.parts_that(FAILED)) or "-",
                ", ".join(run.parts_that(NOT_SHOWN)) or "-",
                duration(evidence.seconds),
                usd(sum(billed for _, billed in evidence.bill) or evidence.usd.spent),
            )
        )
    head = ("run", "gpustation", "framework", "shown", "failed", "not shown", "duration", "USD")
    return table(head, rows)


def _lines(claims: str, runs: Sequence[Run]) -> Iterator[str]:
    """The lines of the promises, with the last column of the tables about AWS filled in."""
    columns = 0
    for number, line in enumerate(claims.splitlines(), start=1):
        if not line.startswith("|"):
            columns = 0
        elif columns == 0:
            columns = len(cells(line)) if cells(line)[-1] == _COLUMN else -1
        elif columns > 0 and not line.startswith("|---"):
            row = cells(line)
            if len(row) != columns:
                raise CommandError(
                    f"{CLAIMS}: line {number} has {len(row)} cells, and its table {columns}; "
                    "write a | inside of a cell as \\|"
                )
            row[-1] = _named(witnesses(row[-1], f"line {number}"), runs) or "-"
            line = f"| {' | '.join(row)} |"
        yield line


def cells(line: str) -> list[str]:
    """The cells of a table's line."""
    return [cell.strip() for cell in _CELLS.split(line)[1:-1]]


def witnesses(cell: str, place: str) -> list[Witness]:
    """The parts and probes that a cell names.

    Args:
        cell: The cell, e.g. ``deploy, compute gpus=4``.
        place: Where it is, for messages.

    Raises:
        CommandError: It names something else.
    """
    found = []
    for item in filter(None, (item.strip() for item in cell.split(","))):
        name, *limits = item.split()
        values = dict(limit.partition("=")[::2] for limit in limits)
        gpus, framework = values.pop("gpus", "0"), values.pop("framework", "")
        known = name in PARTS or name in QUESTIONS
        if not known or values or not gpus.isdigit() or framework not in ("", *Framework):
            raise CommandError(
                f"{CLAIMS}: {place}: {item!r} is no part or probe of an acceptance run with "
                "gpus=NUMBER or framework=NAME; acceptance/questions.py lists them"
            )
        found.append(Witness(name, int(gpus), framework))
    return found


def _newest(runs: Sequence[Run], part: str) -> Run | None:
    """The newest run that showed a part."""
    return next((run for run in runs if run.verdict(part) == SHOWN), None)


def _named(wanted: Sequence[Witness], runs: Sequence[Run]) -> str:
    """What the parts and probes showed, with their names; those that showed the same together."""
    said: dict[str, list[str]] = {}
    for witness in wanted:
        said.setdefault(_answer(witness, runs), []).append(str(witness))
    return "; ".join(f"{', '.join(names)}: {answer}" for answer, names in said.items())


def _answer(witness: Witness, runs: Sequence[Run]) -> str:
    counted = [run for run in runs if witness.counts(run)]
    answer = _of_part if witness.name in PARTS else _of_probe
    return answer(witness.name, counted)


def _of_part(part: str, runs: Sequence[Run]) -> str:
    """Where a part was shown last, and where it failed since."""
    shown = _newest(runs, part)
    since = runs[: runs.index(shown)] if shown else runs
    failed = next((run for run in since if run.verdict(part) == FAILED), None)
    if failed is None:
        return shown.link if shown else NOBODY
    return f"{shown.link}, but failed {failed.link}" if shown else f"failed {failed.link}"


def _of_probe(probe: str, runs: Sequence[Run]) -> str:
    """The newest answer to a question, and a different one before it."""
    answered = [run for run in runs if run.answer(probe) != UNKNOWN]
    if not answered:
        return NOBODY
    newest = answered[0]
    answer = newest.answer(probe)
    other = next((run for run in answered if run.answer(probe) != answer), None)
    before = f"; {other.answer(probe)} {other.link}" if other else ""
    return f"{answer} {newest.link}{before}"


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise CommandError(f"{path}: {error.strerror}") from error


def _current(path: Path) -> str:
    return path.read_text(encoding="utf-8") if path.exists() else ""


def _put(path: Path, text: str) -> None:
    if text:
        path.write_text(text, encoding="utf-8")
    else:
        path.unlink()


if __name__ == "__main__":
    sys.exit(main())
