"""Seconds until a machine is ready, from the stock root and from a baked image, in one run.

Measured from the launch to the signal that the framework has computed. With PyTorch, because its
GPU build (3 GB of wheels) also computes on a CPU: the machine installs the same as on AWS.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

from bench.cdk import DEPLOY, bootstrap, cdk
from localaws import LocalAws
from localaws.machines.booted.root import STAND_INS
from localaws.machines.booted.support import why_not

LIMIT = 5.0
"""Minimum ratio of the seconds: stock root to baked image."""
SETTINGS = ("-c", "framework=pytorch", "-c", "notebooks=false")


def measure() -> bool:
    """Print seconds and ratios; return true if all are within the limit or no machine can boot."""
    reason = why_not()
    if reason:
        print(f"baked image: NOT MEASURED, NO MACHINE WAS BOOTED: {reason}")
        return True
    return all([_measure(root) for root in STAND_INS])


def _measure(root: str) -> bool:
    with LocalAws(booted=True, root=root) as aws, tempfile.TemporaryDirectory() as folder:
        bootstrap(aws, folder)
        cdk(aws, folder, *DEPLOY, *SETTINGS)
        stock = _ready_seconds(aws)
        cdk(aws, folder, "destroy", "--force")
        cdk(aws, folder, *DEPLOY, *SETTINGS, "Image/GpuImage")
        cdk(aws, folder, *DEPLOY, *SETTINGS, "-c", "image=baked")
        baked = _ready_seconds(aws)
    ratio = stock / baked
    verdict = "within" if ratio >= LIMIT else "UNDER"
    print(
        f"seconds from launch to computed, PyTorch's GPU build on the CPU, on {root}:\n"
        f"  stock root {stock:.1f} s, baked image {baked:.1f} s, {ratio:.1f} x as fast "
        f"(at least {LIMIT:g}): {verdict}"
    )
    return ratio >= LIMIT


def _ready_seconds(aws: LocalAws) -> float:
    """Return seconds from the last launch to the machine's last signal, by the same clock."""
    launched = [event for event in aws.control.history() if event.event == "launched"][-1]
    root = Path(aws.control.machine_root(launched.instance_id))
    return (root / "var/lib/gpustation/signaled/gpu").stat().st_mtime - launched.time
