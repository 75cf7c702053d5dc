"""CPU time of ``gpustation --help``, compared with ``aws --version``."""

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


def measure() -> bool:
    """Print the ratio; return true if it is within the limit."""
    calls = {"help": [BIN / "gpustation", "--help"], "aws": [BIN / "aws", "--version"]}
    seconds: dict[str, list[float]] = {name: [] for name in calls}
    for number in range(ROUNDS + 1):
        for name, words in calls.items():
            run = functools.partial(subprocess.run, words, check=True, capture_output=True)
            taken = cpu_seconds(run)
            if number:  # the first round fills the caches
                seconds[name].append(taken)
    median = {name: statistics.median(taken) for name, taken in seconds.items()}
    ratio = median["help"] / median["aws"]
    verdict = "within" if ratio <= LIMIT else "OVER"
    print(
        f"gpustation --help, CPU time, {ROUNDS} rounds interleaved:\n"
        f"  {median['help']:.2f} s, aws --version {median['aws']:.2f} s, "
        f"ratio of the medians {ratio:.3f} (limit {LIMIT}): {verdict}"
    )
    return ratio <= LIMIT
