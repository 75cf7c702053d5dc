"""Parts about the account: doctor, bootstrap, a refused quota."""

from __future__ import annotations

from acceptance.outcome import LeftOutError, PartFailedError
from acceptance.run import Evidence, Run
from gpustation.catalog.gpu_types import GpuType, gpu_types
from gpustation.catalog.quotas import Verdict
from gpustation.console.statuses import FINDING, NO_CAPACITY
from gpustation.offers.quota import read_report

BOOTSTRAP_STACK = "CDKToolkit"


def doctor(run: Run) -> Evidence:
    """What ``gpustation doctor`` finds; bootstrap and quota have parts of their own."""
    document = run.commands.gpustation("doctor", "--json", statuses=(0, FINDING)).document
    marks = {row["name"]: row["mark"] for row in document["findings"]}
    for name in ("credentials", "region", "clock"):
        if marks.get(name) != "ok":
            raise PartFailedError(f"doctor: {name} is {marks.get(name, 'not checked')}")
    counts = {mark: list(marks.values()).count(mark) for mark in sorted(set(marks.values()))}
    not_ok = ", ".join(f"{name}: {mark}" for name, mark in marks.items() if mark != "ok")
    return {**counts, "not ok": not_ok or "none"}


def bootstrap(run: Run) -> Evidence:
    """Make the stack CDKToolkit if it is missing; it stays."""
    if run.stack_id(BOOTSTRAP_STACK):
        return {"CDKToolkit": "was there"}
    run.file.bootstrapped = True
    run.file.write()
    finished = run.commands.run(("cdk", "bootstrap"), seconds=1200)
    if not run.stack_id(BOOTSTRAP_STACK):
        raise PartFailedError("cdk bootstrap ended, but there is no stack CDKToolkit")
    return {"CDKToolkit": f"made in {finished.seconds:.0f} s, and stays"}


def refused_quota(run: Run) -> Evidence:
    """Ask for a type that does not fit: nothing may be made."""
    gpu_type, verdict = _too_large(run)
    settings = {**run.settings, "instance_type": gpu_type.name}
    finished = run.deploy(settings, statuses=(NO_CAPACITY,))
    run.observe()
    if run.meter.hours:
        raise PartFailedError(f"a machine was made for the refused {gpu_type.name}")
    events = run.gpustation("log", "--failures", statuses=(0, FINDING)).out
    if "EC2::Instance" in events:
        raise PartFailedError("the deploy was refused by EC2, not by the check of the quota")
    return {
        "type": gpu_type.name,
        "needed vCPUs": verdict.needed,
        "limit": -1 if verdict.limit is None else verdict.limit,
        "exit status": finished.status,
    }


def _too_large(run: Run) -> tuple[GpuType, Verdict]:
    """The smallest type that runs the framework and does not fit into its quota."""
    session, read = run.world.session(), {}
    suited = [one for one in gpu_types().values() if not one.obstacle(run.framework)]
    for gpu_type in sorted(suited, key=lambda one: one.vcpus, reverse=True):
        # The largest of each quota: a smaller one that does not fit shows no more
        if gpu_type.quota_code in read:
            continue
        report = read[gpu_type.quota_code] = read_report(session, gpu_type)
        if report.suffices is False:
            return gpu_type, report.verdict
    raise LeftOutError("the quotas have room for every type, or cannot be read")
