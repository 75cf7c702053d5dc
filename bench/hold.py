"""Seconds of a deploy with the capacity hold, compared with one without it.

On the embedded AWS, where a machine is ready at once: on AWS its set-up takes minutes in both.
"""

from __future__ import annotations

import statistics
import tempfile
import time

from bench.cdk import DEPLOY, bootstrap, cdk
from localaws import LocalAws

ROUNDS = 5
LIMIT = 1.1
"""Maximum ratio of both (issue of the capacity hold)."""


def measure() -> bool:
    """Print seconds, ratio and what was held; return true if the ratio is within the limit."""
    taken: dict[str, list[float]] = {"true": [], "false": []}
    with LocalAws() as aws, tempfile.TemporaryDirectory() as folder:
        bootstrap(aws, folder)
        aws.control.set_quota("L-DB2E81BA", 64)
        for _ in range(ROUNDS):
            for check, seconds in taken.items():
                begin = time.perf_counter()
                cdk(aws, folder, *DEPLOY, "-c", f"capacity_check={check}")
                seconds.append(time.perf_counter() - begin)
                cdk(aws, folder, "destroy", "--force", "-c", f"capacity_check={check}")
        held = [row.unused_seconds for row in aws.control.reservations()]
    with_hold, without = (statistics.median(taken[check]) for check in ("true", "false"))
    ratio = with_hold / without
    print(
        f"deploy with the capacity hold, median of {ROUNDS}, interleaved: {with_hold:.1f} s, "
        f"without {without:.1f} s: {ratio:.2f} x (limit {LIMIT}); a hold was unused for "
        f"{statistics.median(held):.1f} s"
    )
    return ratio <= LIMIT
