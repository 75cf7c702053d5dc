"""Seconds of ``gpustation status``, compared with the slowest of its calls."""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Callable
from typing import Any

import boto3

from gpustation.access.own_rules import read_all
from gpustation.access.report import read_reports
from gpustation.workstation.find import find_all
from gpustation.workstation.status import read_status
from localaws import LocalAws

ROUNDS = 20
LIMIT = 1.5
"""Maximum ratio to the slowest call: the calls are made at the same time."""


def measure() -> bool:
    """Print seconds and ratio; return true if the ratio is within the limit.

    Every call takes 0.3 s longer than the embedded AWS, which answers in milliseconds and one call
    after the other, so that the way to AWS counts and not the embedded AWS's processor.
    """
    with LocalAws() as aws:
        aws.control.fault("*", "slow")
        os.environ.update(aws.exports)
        session = boto3.Session()
        cloudformation, ec2 = session.client("cloudformation"), session.client("ec2")
        ssm = session.client("ssm")
        calls: dict[str, Callable[[], Any]] = {
            "stacks": lambda: find_all(cloudformation),
            "instances": lambda: ec2.describe_instances(),
            "volumes": lambda: ec2.describe_volumes(),
            "rules": lambda: read_all(ec2),
            "reports": lambda: read_reports(ssm),
        }
        taken: dict[str, list[float]] = {"status": [], **{name: [] for name in calls}}
        for number in range(ROUNDS + 1):
            for name, call in {"status": lambda: read_status(session), **calls}.items():
                begun = time.perf_counter()
                call()
                if number:  # the first round fills the caches
                    taken[name].append(time.perf_counter() - begun)
    median = {name: statistics.median(values) for name, values in taken.items()}
    status = median.pop("status")
    slowest = max(median, key=lambda name: median[name])
    ratio = status / median[slowest]
    print(
        f"status, seconds against the embedded AWS with 0.3 s for each call, median of {ROUNDS}:\n"
        f"  status {status:.3f} s, slowest call ({slowest}) {median[slowest]:.3f} s, "
        f"ratio {ratio:.3f} (limit {LIMIT}): {'within' if ratio <= LIMIT else 'OVER'}"
    )
    return ratio <= LIMIT
