"""CPU time of ``cdk synth``: the workstation against an app with one bare instance."""

from __future__ import annotations

import os
import resource
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
CDK = ROOT / "node_modules" / ".bin" / "cdk"
LIMIT = 1.15
"""What the workstation may cost over the bare app (design, section 5)."""
ROUNDS = 9
"""A single run differs by a tenth from the next, the median of nine by some hundredths."""


def measure() -> bool:
    """Prints the ratio; true when it is within the limit."""
    workstation, bare = "app.py", "bench/bare_app/app.py"
    for app in (bare, workstation):  # fills the caches of Python and jsii
        _cpu_seconds(app)
    seconds: dict[str, list[float]] = {workstation: [], bare: []}
    for number in range(ROUNDS):
        for app in (workstation, bare) if number % 2 else (bare, workstation):
            seconds[app].append(_cpu_seconds(app))
    ours, theirs = (statistics.median(seconds[app]) for app in (workstation, bare))
    ratio = ours / theirs
    verdict = "within" if ratio <= LIMIT else "OVER"
    print(
        f"cdk synth, CPU time, validation on in both, {ROUNDS} rounds interleaved:\n"
        f"  workstation {ours:.2f} s, bare instance {theirs:.2f} s, "
        f"ratio of the medians {ratio:.3f} (limit {LIMIT}): {verdict}"
    )
    return ratio <= LIMIT


def _cpu_seconds(app: str) -> float:
    """CPU seconds, user and system, of the CLI and everything that it starts."""
    with tempfile.TemporaryDirectory() as folder:
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run(
            [str(CDK), "synth", "--quiet", "--app", f"{sys.executable} {app}", "--output", folder],
            cwd=ROOT,
            env={k: v for k, v in os.environ.items() if k != "CDK_VALIDATION"},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            check=True,
        )
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
