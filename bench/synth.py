"""CPU time of ``cdk synth``: the app against an app with one bare instance.

Beside it the workstation alone: the stages are synthesized along with every command.
"""

from __future__ import annotations

import os
import resource
import shlex
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
CDK = ROOT / "node_modules" / ".bin" / "cdk"
LIMIT = 1.15
"""What the app may cost over the bare app (design, section 5)."""
ROUNDS = 9
"""A single run differs by a tenth from the next, the median of nine by some hundredths."""


def measure() -> bool:
    """Prints the ratios; true when that of the app is within the limit."""
    bare, workstation, whole = "bench/bare_app/app.py", "-m bench.workstation_app", "app.py"
    apps = [bare, workstation, whole]
    for app in apps:  # fills the caches of Python and jsii
        _cpu_seconds(app)
    seconds: dict[str, list[float]] = {app: [] for app in apps}
    for number in range(ROUNDS):
        for app in apps if number % 2 else reversed(apps):
            seconds[app].append(_cpu_seconds(app))
    median = {app: statistics.median(taken) for app, taken in seconds.items()}
    ratio = median[whole] / median[bare]
    verdict = "within" if ratio <= LIMIT else "OVER"
    print(
        f"cdk synth, CPU time, validation on in all, {ROUNDS} rounds interleaved:\n"
        f"  app.py {median[whole]:.2f} s, bare instance {median[bare]:.2f} s, "
        f"ratio of the medians {ratio:.3f} (limit {LIMIT}): {verdict}\n"
        f"  without the stages: {median[workstation]:.2f} s, "
        f"{median[workstation] / median[bare]:.3f} x the bare instance"
    )
    return ratio <= LIMIT


def _cpu_seconds(app: str) -> float:
    """CPU seconds, user and system, of the CLI and everything that it starts."""
    with tempfile.TemporaryDirectory() as folder:
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run(
            [
                str(CDK),
                "synth",
                "--quiet",
                "--app",
                shlex.join([sys.executable, *app.split()]),
                "--output",
                folder,
            ],
            cwd=ROOT,
            env={k: v for k, v in os.environ.items() if k != "CDK_VALIDATION"},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            check=True,
        )
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
