"""Collects the logs of a part that failed: stacks, functions and machine, into the run's folder."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from acceptance.run import Run
from gpustation.console.statuses import FINDING, NO_ACCESS, TIMED_OUT

MACHINE_LINES = "400"
MACHINE_SECONDS = 180.0
LOG_GROUP = "AWS::Logs::LogGroup"
FUNCTION = "AWS::Lambda::Function"


def collect(run: Run) -> list[str]:
    """Write the logs into ``run.logs``; returns a line for each that could not be had."""
    missing = []

    @contextlib.contextmanager
    def tried(what: str) -> Iterator[None]:
        try:
            yield
        except Exception as error:  # any: the deletion comes after this
            missing.append(f"{what}: {' '.join((str(error) or repr(error)).split())}")

    for stack, ids in run.file.stacks.items():
        for number, stack_id in enumerate(ids, 1):
            with tried(f"events of {stack}"):
                _write(run.logs / f"events-{stack}-{number}.json", _events(run, stack_id))
        if ids:
            with tried(f"functions of {stack}"):
                _write_functions(run, ids[-1])
    with tried("machine"):
        _console(run)
    if not run.notes.get("record") and run.file.stacks.get(run.workstation):
        with tried("set-up of the machine"):
            words = ("--machine", "--lines", MACHINE_LINES)
            statuses = (0, FINDING, NO_ACCESS, TIMED_OUT)
            run.gpustation("log", *words, statuses=statuses, seconds=MACHINE_SECONDS)
    return missing


def _events(run: Run, stack_id: str) -> list[dict[str, Any]]:
    client = run.world.session().client("cloudformation")
    pages = client.get_paginator("describe_stack_events").paginate(StackName=stack_id)
    return [dict(event) for page in pages for event in page["StackEvents"]]


def _write_functions(run: Run, stack_id: str) -> None:
    session = run.world.session()
    client, logs = session.client("cloudformation"), session.client("logs")
    pages = client.get_paginator("list_stack_resources").paginate(StackName=stack_id)
    groups = [
        row["PhysicalResourceId"]
        for page in pages
        for row in page["StackResourceSummaries"]
        if row["ResourceType"] == LOG_GROUP and row.get("PhysicalResourceId")
    ]
    for group in groups:
        with contextlib.suppress(logs.exceptions.ResourceNotFoundException):
            lines = [
                event["message"]
                for page in logs.get_paginator("filter_log_events").paginate(logGroupName=group)
                for event in page["events"]
            ]
            _write(run.logs / f"log-{group.strip('/').replace('/', '-')}.json", lines)


def _console(run: Run) -> None:
    """The console output of the run's machines, which is there without a way in."""
    ec2 = run.world.session().client("ec2")
    owned: list[Any] = [{"Name": "tag:gpustation", "Values": [run.workstation]}]
    for reservation in ec2.describe_instances(Filters=owned)["Reservations"]:
        for row in reservation["Instances"]:
            output = ec2.get_console_output(InstanceId=row["InstanceId"]).get("Output", "")
            path = run.logs / f"console-{row['InstanceId']}.txt"
            path.write_text(output, encoding="utf-8")


def _write(path: Path, value: Any) -> None:
    default: Callable[[Any], str] = str
    text = json.dumps(value, indent=2, default=default)
    path.write_text(f"{text}\n", encoding="utf-8")
