"""A run against the embedded AWS, with machines that boot where they can."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

from acceptance.world import World, environment
from localaws import LocalAws
from localaws.account.ec2.visitors import VISITOR
from localaws.isolation import isolate
from localaws.machines.booted.support import why_not

QUOTAS = {"L-DB2E81BA": 8, "L-3819A6DF": 8}
"""On-demand and spot vCPUs of G types in this account: room for two of the default type."""
PLUGIN = Path(__file__).resolve().parent.parent / "localaws" / "session_manager"
IDLE_TIMES = '{"window": 60, "cap": 120, "tick": 6, "patience": 90}'
"""Seconds of the idle stop: a tenth of a person's machine."""


@contextlib.contextmanager
def local_world(region: str, *, records: bool) -> Iterator[tuple[World, str]]:
    """The world, and why no machine boots in it; empty if they boot.

    Args:
        region: The region; empty: us-east-1.
        records: Boot no machines even where they could boot.
    """
    isolate()
    why = "--records" if records else why_not() or ""
    with LocalAws(region or "us-east-1", booted=not why) as aws:
        for code, vcpus in QUOTAS.items():
            aws.control.set_quota(code, vcpus)
        os.environ.update(aws.exports)
        path = f"{PLUGIN}{os.pathsep}{os.environ.get('PATH', os.defpath)}"

        def shorten(instance_id: str) -> None:
            command = f"echo '{IDLE_TIMES}' >/etc/gpustation/idle-times.json"
            done = aws.control.machine_run(instance_id, "bash", "-c", command)
            assert done.status == 0, done.stderr

        yield (
            World(
                region=aws.region,
                environment=environment({**os.environ, "PATH": path}, aws.region),
                clock=aws.control.clock,
                visitor=VISITOR,
                hooks={"idle-stop": shorten},
            ),
            why,
        )
