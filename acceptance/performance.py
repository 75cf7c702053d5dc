"""The parts of a run, one after another, and its end: well, or with everything deleted."""

from __future__ import annotations

import re
import subprocess
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path

from botocore.exceptions import BotoCoreError, ClientError

from acceptance import evidence as evidence_file
from acceptance.clean_up import clean_up
from acceptance.collect import collect
from acceptance.estimate import Estimate
from acceptance.evidence import Evidence, PartResult, ProbeAnswer, Usd
from acceptance.outcome import LeftOutError, OverLimitError, PartFailedError, fault_of_the_program
from acceptance.page import page
from acceptance.parts.table import Part
from acceptance.questions import QUESTIONS, Question
from acceptance.run import UNKNOWN, Run
from acceptance.world import AWS
from gpustation.aws.session import explain
from gpustation.console.errors import CommandError
from gpustation.console.interrupts import Interrupted, held
from gpustation.console.statuses import FINDING

ROOT = Path(__file__).resolve().parent.parent
PROVEN = ROOT / "docs" / "proven"
SHOWN, FAILED, NOT_SHOWN = "shown", "failed", "not shown"
Say = Callable[[str], None]
Ask = Callable[[str], bool]


@dataclass(frozen=True)
class Options:
    """What a person asks for.

    Attributes:
        instance_type: Type of the machine.
        framework: The first framework.
        limit: The most that the run may cost in USD.
        parts: The chosen parts.
        evidence: Folder of the evidence file. Default: docs/proven of this project on AWS, else
            the folder of the run's logs.
        logs: Folder of the logs. Default: one in the person's folder for state.
        settings: Further settings of the workstation.
        keep: Delete nothing after a failure.
        records: Whether machines are known to be records.
    """

    instance_type: str
    framework: str
    limit: float
    parts: tuple[Part, ...]
    evidence: Path | None = None
    logs: Path | None = None
    settings: tuple[tuple[str, str], ...] = ()
    keep: bool = False
    records: bool = False


class Performance:
    """The parts of a run, one after another, and its end."""

    def __init__(self, options: Options, run: Run, planned: Estimate, say: Say, ask: Ask) -> None:
        self._options, self._run, self._planned = options, run, planned
        self._say, self._ask = say, ask
        self._results: list[PartResult] = []
        self._began = run.world.clock()
        self._fault = ""
        self._interrupted: Interrupted | None = None

    def perform(self) -> int:
        """Run the parts, end the run, write its evidence; returns the exit status."""
        run, say = self._run, self._say
        say(f"{run.file.name}: logs are in {run.logs}")
        for part in self._planned.parts:
            try:
                self._perform(part)
            except KeyboardInterrupt as interrupt:
                self._interrupted = (
                    interrupt if isinstance(interrupt, Interrupted) else Interrupted(2)
                )
                self._fault = f"{part.name}: interrupted"
                self._note(part, FAILED, "interrupted", 0, 0)
            if self._fault:
                break
        if self._fault:
            self._end_badly()
        else:
            with held("what remains is deleted first; it is nearly done"):
                for problem in clean_up(run.file, run.world, say):
                    self._fault = self._fault or problem
                    say(f"NOT DELETED  {problem}")
        self._write_evidence()
        if self._interrupted:
            return self._interrupted.status
        return FINDING if self._fault else 0

    def _perform(self, part: Part) -> None:
        """Run one part and record its result; a failure sets the fault."""
        run = self._run
        run.commands.part = part.name
        self._say(f"{part.name}: {part.what}")
        begun, spent = run.world.clock(), run.meter.spent
        verdict, why, found = SHOWN, "", {}
        try:
            self._afford(part)
            try:
                found = part.work(run)
            except Exception:
                run.observe()
                raise
            run.observe()
        except LeftOutError as error:
            verdict, why = NOT_SHOWN, str(error)
        except (PartFailedError, OverLimitError, CommandError) as error:
            verdict, why = FAILED, str(error)
        except (ClientError, BotoCoreError) as error:
            verdict, why = FAILED, explain(error)
        except Exception as error:  # any: e.g. an answer of AWS that nobody has seen yet
            verdict, why = FAILED, fault_of_the_program(error)
            trace = run.logs / f"traceback-{part.name}.txt"
            trace.write_text(traceback.format_exc(), encoding="utf-8")
        seconds = run.world.clock() - begun
        usd = run.meter.spent - spent
        self._note(part, verdict, why, seconds, usd, found)
        because = f": {why}" if why else ""
        self._say(f"  {verdict} after {seconds:.0f} s, {usd:.3f} USD{because}")
        for name, value in found.items():
            self._say(f"    {name}: {value}")
        if verdict == FAILED:
            self._fault = f"{part.name}: {why}"

    def _afford(self, part: Part) -> None:
        """Check before a part that its expected cost and the deletion are within the limit."""
        meter = self._run.meter
        expected = self._planned.usd.get(part.name, 0.0)
        if part.name != "destroy" and meter.spent + expected + meter.reserve > meter.maximum:
            raise OverLimitError(
                f"{meter.spent:.2f} of {meter.maximum:.2f} USD are spent; the part would cost "
                f"{expected:.2f} more, and what remains is needed to delete what runs"
            )

    def _note(
        self,
        part: Part,
        verdict: str,
        why: str,
        seconds: float,
        usd: float,
        found: dict[str, str | float | int] | None = None,
    ) -> None:
        self._results.append(
            PartResult(
                part=part.name,
                what=part.what,
                verdict=verdict,
                why=why,
                seconds=round(seconds, 1),
                usd=round(usd, 4),
                evidence=found or {},
            )
        )

    def _end_badly(self) -> None:
        """Collect the logs, delete everything, and say what comes next."""
        run, say = self._run, self._say
        say(f"FAILED  {self._fault}")
        stay = "until then everything stays as it is, and is billed"
        with held(f"collecting the logs; {stay}"):
            for missing in collect(run):
                say(f"  not collected: {missing}")
        say(f"Logs of the commands, stacks, functions and the machine: {run.logs}")
        say("  They hold ids and addresses of the account: look at them before you share them")
        keep = self._options.keep
        if not keep and not self._interrupted:
            keep = not self._ask("Delete everything that the run made now?")
        if keep:
            run.file.kept = True
            run.file.write()
            say(
                f"Kept: {', '.join(run.file.stacks) or 'nothing was made'}. It is billed. "
                "`make acceptance ARGS=--clean-up` deletes it"
            )
            return
        with held("deleting what the run made; if it is killed, the next run goes on with it"):
            problems = clean_up(run.file, run.world, say)
        for problem in problems:
            say(f"NOT DELETED  {problem}")
        if problems:
            say(
                "The machine's own idle stop, stop_at and spend limit stop it, but its disk is "
                "billed: when the cause is mended, `make acceptance ARGS=--clean-up` deletes it"
            )
        else:
            say("Everything that the run made is deleted")
        say(f"Next: mend the cause, then `make acceptance ARGS='--only {self._results[-1].part}'`")

    def _write_evidence(self) -> None:
        run, say = self._run, self._say
        done = {result.part for result in self._results}
        for part in self._options.parts:
            if part.name not in done:
                why = self._planned.left_out.get(part.name, "an earlier part failed")
                self._note(part, NOT_SHOWN, why, 0, 0)
        order = [part.name for part in self._options.parts]
        self._results.sort(key=lambda result: order.index(result.part))
        began = datetime.fromtimestamp(self._began, timezone.utc)
        written = Evidence(
            where=run.world.where,
            date=f"{began:%Y-%m-%d}",
            region=run.world.region,
            instance_type=run.gpu_type.name,
            framework=run.framework,
            version=_version(),
            commit=_commit(),
            machine=self._machine(),
            seconds=round(run.world.clock() - self._began, 1),
            usd=Usd(
                expected=round(self._planned.expected, 4),
                maximum=run.meter.maximum,
                spent=round(run.meter.spent, 4),
            ),
            parts=tuple(self._results),
            probes=tuple(_answer(run, question) for question in QUESTIONS.values()),
            leftovers=tuple(run.notes.get("left", ())),
        )
        fit = run.world.where == AWS and not self._fault
        folder = (self._options.evidence or PROVEN) if fit else run.logs
        if not fit and self._options.evidence and run.world.where != AWS:
            folder = self._options.evidence
        path = evidence_file.write(written, folder)
        page_path = path.with_suffix(".md")
        page_path.write_text(page(evidence_file.read(path), path.name), encoding="utf-8")
        say(f"Evidence: {path}, and as a page: {page_path}")
        if fit and folder == PROVEN:
            say("`python -m acceptance.proven` writes docs/proven.md with it")
        counts = [result.verdict for result in self._results]
        say(
            f"{counts.count(SHOWN)} shown, {counts.count(FAILED)} failed, "
            f"{counts.count(NOT_SHOWN)} not shown; {written.seconds / 60:.0f} minutes, "
            f"{written.usd.spent:.2f} USD by list price (expected {written.usd.expected:.2f})"
        )
        if run.file.bootstrapped:
            say(
                "CDKToolkit, which the run made, stays for later deploys; its bucket costs cents a "
                "month. To remove it, empty its bucket and run "
                f"`aws cloudformation delete-stack --stack-name CDKToolkit --region "
                f"{run.world.region}`"
            )

    def _machine(self) -> str:
        if self._run.world.where == AWS:
            return "ec2"
        return "record" if self._run.notes.get("record", True) else "booted"


def _answer(run: Run, question: Question) -> ProbeAnswer:
    answer, found = run.probes.get(question.probe, (UNKNOWN, "not asked in this run"))
    return ProbeAnswer(question.probe, question.text, answer, found)


def _version() -> str:
    """The version in pyproject.toml."""
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    match = re.search(r'^version = "(.+)"$', text, re.MULTILINE)
    assert match is not None, "the package has a version"
    return match[1]


def _commit() -> str:
    """First 12 digits of the commit; empty if the project is no clone, or has changes."""

    def git(*words: str) -> str:
        done = subprocess.run(
            ["git", *words], cwd=ROOT, capture_output=True, text=True, check=False
        )
        return done.stdout.strip() if done.returncode == 0 else "?"

    try:
        commit, changed = git("rev-parse", "HEAD"), git("status", "--porcelain")
    except OSError:
        return ""
    return "" if changed or commit == "?" else evidence_file.short_commit(commit)
