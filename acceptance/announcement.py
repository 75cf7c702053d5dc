"""What a run says before it begins."""

from __future__ import annotations

from datetime import datetime

from acceptance.estimate import Estimate, Quota
from acceptance.performance import Options
from acceptance.world import AWS, World
from gpustation.catalog.gpu_types import GpuType


def announcement(
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
        f"  net      without this program the machine stops after {_net(stops)}",
        "  touches  only stacks that it makes itself, named acceptance-...; all are deleted",
    ]
    for part in options.parts:
        if part.name in planned.left_out:
            lines.append(f"  -        {part.name:<13}  not shown: {planned.left_out[part.name]}")
        else:
            cost = f"{planned.usd[part.name]:.2f} USD"
            lines.append(f"  {part.minutes:4.1f} min {part.name:<13}  {cost}  {part.what}")
    return lines


def _net(stops: datetime) -> str:
    """The net as a clause."""
    return f"30 idle minutes, at {stops:%H:%M} UTC, or when its own spend limit is reached"


def _free(vcpus: int | None) -> str:
    return "an unknown number of vCPUs free" if vcpus is None else f"{vcpus} vCPUs free"
