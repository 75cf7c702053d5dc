"""A run from its first look at the account to its parts: earlier runs, the plan, the question."""

from __future__ import annotations

import boto3

from acceptance import run_file
from acceptance.announcement import announcement
from acceptance.earlier import clean_up_earlier
from acceptance.estimate import Quota, chosen, estimate, larger_type, least_limit, net
from acceptance.meter import Meter, Rates
from acceptance.parts.table import Part
from acceptance.performance import Ask, Options, Performance, Say
from acceptance.run import Run
from acceptance.run_file import RunFile
from acceptance.world import World
from gpustation.catalog.gpu_types import GpuType, require_fitting
from gpustation.console.errors import CommandError
from gpustation.console.statuses import NO_CAPACITY
from gpustation.offers.costs import read_costs
from gpustation.offers.quota import read_report


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
    clean_up_earlier(account, world, say, ask)

    gpu_type = require_fitting(options.instance_type, options.framework)
    larger = larger_type(gpu_type, options.framework)
    rates = rates_of(session, world.region)
    quota = _quota(session, gpu_type)
    planned = estimate(options.parts, gpu_type, larger, rates, quota, records=options.records)
    settings, stops = net(planned, options.limit, world.clock)
    for line in announcement(options, world, account, planned, gpu_type, larger, quota, stops):
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
