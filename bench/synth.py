"""CPU time of ``cdk synth``: the workstation alone and all stacks, compared to one instance."""

from __future__ import annotations

import os
import shlex
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from bench.cpu_time import cpu_seconds

ROOT = Path(__file__).resolve().parent.parent
CDK = ROOT / "node_modules" / ".bin" / "cdk"
BARE = "bench/bare_app/app.py"
LIMITS = {"-m bench.workstation_app": 1.15, "app.py": 1.25}
"""Maximum ratio of each app to the bare one: the workstation's stack alone, and all stacks, which
every command synthesizes."""
ROUNDS = 15
"""Single runs differ by a tenth, medians of fifteen by some hundredths."""


def measure() -> bool:
    """Print the ratios; return true if each is within its limit."""
    apps = [BARE, *LIMITS]
    for app in apps:  # fills the caches of Python and jsii
        _synth(app)
    seconds: dict[str, list[float]] = {app: [] for app in apps}
    for number in range(ROUNDS):
        for app in apps if number % 2 else reversed(apps):
            seconds[app].append(_synth(app))
    median = {app: statistics.median(taken) for app, taken in seconds.items()}
    print(
        f"cdk synth, CPU time, validation on in all, {ROUNDS} rounds interleaved:\n"
        f"  bare instance {median[BARE]:.2f} s"
    )
    ratios = {app: median[app] / median[BARE] for app in LIMITS}
    for app, limit in LIMITS.items():
        verdict = "within" if ratios[app] <= limit else "OVER"
        print(f"  {app} {median[app]:.2f} s, ratio {ratios[app]:.3f} (limit {limit}): {verdict}")
    return all(ratios[app] <= limit for app, limit in LIMITS.items())


def _synth(app: str) -> float:
    """Return CPU seconds of the CLI and of all processes that it starts."""
    command = shlex.join([sys.executable, *app.split()])
    with tempfile.TemporaryDirectory() as folder:
        words = [str(CDK), "synth", "--quiet", "--app", command, "--output", folder]
        return cpu_seconds(
            lambda: subprocess.run(
                words,
                cwd=ROOT,
                env={k: v for k, v in os.environ.items() if k != "CDK_VALIDATION"},
                stdin=subprocess.DEVNULL,
                capture_output=True,
                check=True,
            )
        )
