"""A run from its first look at the account to its evidence."""

from __future__ import annotations

import dataclasses
import re
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path

import boto3
from botocore.exceptions import BotoCoreError, ClientError

from acceptance import evidence as evidence_file
from acceptance import run_file
from acceptance.clean_up import clean_up
from acceptance.collect import collect
from acceptance.estimate import Estimate, Quota, chosen, estimate, larger_type, least_limit, net
from acceptance.evidence import Evidence, PartResult, ProbeAnswer, Usd
from acceptance.meter import Meter, Rates
from acceptance.outcome import LeftOutError, OverLimitError, PartFailedError
from acceptance.page import page
from acceptance.parts.table import Part
from acceptance.questions import QUESTIONS, Question
from acceptance.run import UNKNOWN, Run
from acceptance.run_file import RunFile
from acceptance.world import AWS, World
from gpustation.aws.session import explain
from gpustation.catalog.gpu_types import GpuType, require_fitting
from gpustation.console.errors import CommandError
from gpustation.console.interrupts import Interrupted, held
from gpustation.console.statuses import FINDING, NO_CAPACITY
from gpustation.offers.costs import read_costs
from gpustation.offers.quota import read_report

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


def parts_of(*, quick: bool, only: list[str], without: list[str]) -> tuple[Part, ...]:
    """The chosen parts, with an error of the command line as ``ValueError``."""
    return chosen(quick=quick, only=only, without=without)


def perform(options: Options, world: World, say: Say, ask: Ask) -> int:
    """Run the parts; returns the exit status.

    Args:
        options: What to do.
        world: Where.
        say: Prints a line.
        ask: Asks a question whose answer is yes or no.

    Raises:
        CommandError: It was not begun; the message says why.
        ClientError: AWS refused a call before anything was made.
        BotoCoreError: AWS was not reached.
    """
    session = world.session()
    account = session.client("sts").get_caller_identity()["Account"]
    _clean_up_earlier(account, world, say, ask)

    gpu_type = require_fitting(options.instance_type, options.framework)
    larger = larger_type(gpu_type, options.framework)
    rates = rates_of(session, world.region)
    quota = _quota(session, gpu_type)
    planned = estimate(options.parts, gpu_type, larger, rates, quota, records=options.records)
    settings, stops = net(planned, options.limit, world.clock)
    for line in _announcement(options, world, account, planned, gpu_type, larger, quota, stops):
        say(line)
    least = least_limit(planned, gpu_type, larger, rates)
    if options.limit < least:
        raise CommandError(
            f"--limit {options.limit:g} USD is too low: the parts are expected to cost "
            f"{planned.expected:.2f}, and with what the deletion needs {least:.2f}; raise it, or "
            "choose fewer parts (--quick, --only, --without)"
        )
    if planned.left_out.get("deploy", "").startswith("quota"):
        raise CommandError(
            f"{planned.left_out['deploy']}, so no part of a machine can be shown; "
            f"`gpustation quota request {gpu_type.name}` asks for more",
            NO_CAPACITY,
        )
    if not ask("Begin?"):
        raise CommandError("canceled, nothing was changed")

    file = RunFile(run_file.new_name(), account, world.region, world.clock())
    with run_file.held(file.name) as lock:
        assert lock is not None, "the name is new"
        file.write()
        logs = options.logs or run_file.folder() / file.name
        logs.mkdir(mode=0o700, parents=True, exist_ok=True)
        meter = Meter(rates, world.clock, options.limit)
        run = Run(
            world=world,
            file=file,
            gpu_type=gpu_type,
            larger=larger,
            framework=options.framework,
            meter=meter,
            settings={
                "instance_type": gpu_type.name,
                "framework": options.framework,
                **settings,
                **dict(options.settings),
            },
            logs=logs,
            lock=lock,
        )
        return Performance(options, run, planned, say, ask).perform()


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
            found = part.work(run)
        except LeftOutError as error:
            verdict, why = NOT_SHOWN, str(error)
        except (PartFailedError, OverLimitError, CommandError) as error:
            verdict, why = FAILED, str(error)
        except (ClientError, BotoCoreError) as error:
            verdict, why = FAILED, explain(error)
        run.observe()
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


def clean_up_only(world: World, say: Say, ask: Ask) -> int:
    """Delete what earlier runs left, kept ones too; returns the exit status."""
    account = world.session().client("sts").get_caller_identity()["Account"]
    left = _clean_up_earlier(account, world, say, ask, kept=True)
    return FINDING if left else 0


def _clean_up_earlier(
    account: str, world: World, say: Say, ask: Ask, *, kept: bool = False
) -> list[str]:
    """Delete what earlier runs in the account left; returns what could not be deleted.

    Raises:
        CommandError: Another run is at work, or the answer is no.
    """
    problems: list[str] = []
    for file in run_file.read_all():
        if file.over or file.account != account:
            continue
        if file.kept and not kept:
            say(f"{file.name} was kept on purpose, and is billed; --clean-up deletes it")
            continue
        with run_file.held(file.name) as lock:
            if lock is None:
                raise CommandError(
                    f"{file.name} is at work, or a command of it still is: wait for its end"
                )
            stacks = ", ".join(file.stacks) or "no stack"
            say(f"{file.name} did not end: {stacks} in {file.region}")
            if not ask(f"Delete what {file.name} left?"):
                raise CommandError("canceled: what the last run left comes first")
            there = dataclasses.replace(world, region=file.region)
            with held("deleting what the last run left; the next run goes on with it"):
                found = clean_up(file, there, say)
        problems += found
        for problem in found:
            say(f"NOT DELETED  {problem}")
    if problems and not kept:
        raise CommandError("what the last run left could not be deleted; see above")
    return problems


def rates_of(session: boto3.Session, region: str) -> Rates:
    """Prices of the region, each asked once.

    Raises:
        LookupError: There is none for disks.
    """
    known: dict[str, float] = {}
    disk_month = 0.0

    def ask(instance_type: str) -> None:
        nonlocal disk_month
        costs = read_costs(session, region, instance_type, 1, 24)
        if costs.machine.usd_per_hour is None or costs.disk.usd_per_hour is None:
            raise CommandError(
                f"there is no public price of a {instance_type} in {region}, so the cost of a run "
                "cannot be limited; choose another type"
            )
        known[instance_type] = costs.machine.usd_per_hour
        disk_month = costs.disk.usd_per_hour

    def machine(instance_type: str) -> float:
        if instance_type not in known:
            ask(instance_type)
        return known[instance_type]

    machine("g4dn.xlarge")
    return Rates(machine, disk_month)


def _quota(session: boto3.Session, gpu_type: GpuType) -> Quota:
    free = read_report(session, gpu_type).verdict.free
    spot = None
    if gpu_type.spot_quota_code:
        spot = read_report(session, gpu_type, spot=True).verdict.free
    return Quota(free, spot)


def _announcement(
    options: Options,
    world: World,
    account: str,
    planned: Estimate,
    gpu_type: GpuType,
    larger: GpuType | None,
    quota: Quota,
    stops: datetime,
) -> list[str]:
    """What the run will do, where, for how long, and at what cost."""
    place = "AWS" if world.where == AWS else "EMBEDDED AWS, nothing is billed"
    lines = [
        f"A run on {place}: account {account}, {world.region}, {gpu_type.name}, "
        f"{options.framework}; about {planned.minutes:.0f} minutes",
        f"  cost     {planned.expected:.2f} USD expected, {options.limit:.2f} at most (--limit); "
        "list prices, without tax",
        f"  quota    {_free(quota.free)} of {gpu_type.quota_code}; needs {gpu_type.vcpus}"
        + (f", and {larger.vcpus} for the change to {larger.name}" if larger else "")
        + (
            f"; {_free(quota.spot_free)} of {gpu_type.spot_quota_code} for spot"
            if gpu_type.spot_quota_code
            else ""
        ),
        f"  net      without this program the machine stops after {net_words(stops)}",
        "  touches  only stacks that it makes itself, named acceptance-...; all are deleted",
    ]
    for part in options.parts:
        if part.name in planned.left_out:
            lines.append(f"  -        {part.name:<13}  not shown: {planned.left_out[part.name]}")
        else:
            cost = f"{planned.usd[part.name]:.2f} USD"
            lines.append(f"  {part.minutes:4.1f} min {part.name:<13}  {cost}  {part.what}")
    return lines


def net_words(stops: datetime) -> str:
    """The net as a clause."""
    return f"30 idle minutes, at {stops:%H:%M} UTC, or when its own spend limit is reached"


def _free(vcpus: int | None) -> str:
    return "an unknown number of vCPUs free" if vcpus is None else f"{vcpus} vCPUs free"


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
