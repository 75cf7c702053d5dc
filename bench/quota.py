"""Seconds until the quota check refuses, compared with the slowest of its calls."""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import boto3

from gpustation.aws.calls import RETRIES
from gpustation.aws.quotas import (
    read_instances,
    read_open_requests,
    read_quota,
    read_reservations,
)
from gpustation.aws.zones import zones_offering
from gpustation.handlers import quota_check
from gpustation.handlers.quota_check import Clients
from gpustation.handlers.responder import RefusedError
from localaws import LocalAws

CODE = "L-DB2E81BA"
ROUNDS = 20
LIMIT_SECONDS = 1.0
"""Maximum seconds of a refusal (design, section 5)."""


def measure() -> bool:
    """Print seconds and ratio; return true if a refusal is within the limit."""
    with LocalAws() as aws:
        aws.control.set_quota(CODE, 0)
        os.environ.update(aws.exports)
        clients = Clients(
            boto3.client("cloudformation", config=RETRIES),
            boto3.client("ec2", config=RETRIES),
            boto3.client("service-quotas", config=RETRIES),
        )
        calls: dict[str, Callable[[], Any]] = {
            "quota": lambda: read_quota(clients.quotas, CODE),
            "instances": lambda: read_instances(clients.ec2),
            "reservations": lambda: read_reservations(clients.ec2, aws.account),
            "zones": lambda: zones_offering(clients.ec2, "g4dn.xlarge"),
            "requests": lambda: read_open_requests(clients.quotas, CODE),
        }
        cold = _seconds(lambda: _refuse(clients))
        taken: dict[str, list[float]] = {"refusal": [], **{name: [] for name in calls}}
        for _ in range(ROUNDS):
            taken["refusal"].append(_seconds(lambda: _refuse(clients)))
            for name, call in calls.items():
                taken[name].append(_seconds(call))
    median = {name: statistics.median(values) for name, values in taken.items()}
    refusal = median.pop("refusal")
    slowest = max(median, key=lambda name: median[name])
    print(
        f"refusal for quota, handler seconds against the embedded AWS, median of {ROUNDS}:\n"
        f"  {refusal:.3f} s ({cold:.3f} s the first time), limit {LIMIT_SECONDS} s; "
        f"{refusal / median[slowest]:.2f} x its slowest call ({slowest} {median[slowest]:.3f} s), "
        f"{refusal / sum(median.values()):.2f} x all calls one after the other"
    )
    return max(refusal, cold) <= LIMIT_SECONDS


def _seconds(call: Callable[[], Any]) -> float:
    began = time.perf_counter()
    call()
    return time.perf_counter() - began


def _refuse(clients: Clients) -> None:
    event = {
        "RequestType": "Create",
        "StackId": "none",
        "LogicalResourceId": "QuotaCheck",
        "ResourceProperties": {
            "InstanceType": "g4dn.xlarge",
            "Framework": "mxnet",
            "Generation": "1",
            "Mode": "enforce",
        },
    }
    with ThreadPoolExecutor(max_workers=4) as pool:
        try:
            quota_check.decide(event, clients, pool)
        except RefusedError:
            return
    raise RuntimeError("the quota check did not refuse a quota of 0")
