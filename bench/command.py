"""CPU time of help texts of ``gpustation``, compared with ``aws --version``."""

from __future__ import annotations

import functools
import statistics
import subprocess
import sys
from pathlib import Path

from bench.cpu_time import cpu_seconds

BIN = Path(sys.executable).parent
LIMIT = 0.5
"""Maximum ratio to ``aws --version`` (AWS CLI 1): the command must start clearly faster than the
tool that people use with it."""
ROUNDS = 15


HELPS = {"gpustation --help": ["--help"], "gpustation status --help": ["status", "--help"]}


def measure() -> bool:
    """Print the ratios; return true if each is within the limit."""
    aws = "aws --version"
    calls = {name: [BIN / "gpustation", *words] for name, words in HELPS.items()}
    calls[aws] = [BIN / "aws", "--version"]
    seconds: dict[str, list[float]] = {name: [] for name in calls}
    for number in range(ROUNDS + 1):
        for name, words in calls.items():
            run = functools.partial(subprocess.run, words, check=True, capture_output=True)
            taken = cpu_seconds(run)
            if number:  # the first round fills the caches
                seconds[name].append(taken)
    median = {name: statistics.median(taken) for name, taken in seconds.items()}
    print(f"help texts, CPU time, {ROUNDS} rounds interleaved:\n  {aws} {median[aws]:.2f} s")
    ratios = {name: median[name] / median[aws] for name in HELPS}
    for name, ratio in ratios.items():
        verdict = "within" if ratio <= LIMIT else "OVER"
        print(f"  {name} {median[name]:.2f} s, ratio {ratio:.3f} (limit {LIMIT}): {verdict}")
    return max(ratios.values()) <= LIMIT
