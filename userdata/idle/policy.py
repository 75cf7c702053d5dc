"""How long is long on this machine.

Apart from the watcher, because the set-up reads the times at every boot.
"""

import dataclasses
import json
import os
import sys
from pathlib import Path
from typing import Any

from decide import Policy

ROOT = os.environ.get("GPUSTATION_ROOT", "")
SETTINGS = Path(ROOT + "/var/lib/gpustation/settings.json")
#: Shorter times, for tests alone: an object with members of Policy.
TIMES = Path(ROOT + "/etc/gpustation/idle-times.json")
#: The default of the setting idle_stop_minutes.
USUAL_MINUTES = 60


def read_policy(settings: dict[str, Any]) -> Policy:
    """Return the policy of the settings, or that of a root-owned file for tests."""
    # Without idle stop it only says until when work delays the daily stop.
    policy = Policy(
        window=60.0 * (int(settings.get("idle_stop_minutes") or 0) or USUAL_MINUTES),
        scratch_gib=float(settings.get("idle_stop_scratch_gib") or 0),
    )
    if TIMES.exists():
        state = TIMES.stat()
        if state.st_uid != 0 or state.st_mode & 0o022:
            text = f"warning: {TIMES} is ignored, because others than root can write it"
            print(text, file=sys.stderr)
        else:
            policy = dataclasses.replace(policy, **json.loads(TIMES.read_text()))
    return policy


def times() -> tuple[int | float, ...]:
    """Return the times in the units, in seconds.

    These are: from the end of a sample to the next, until a sample has failed, until a verdict is
    old, until the guard stops the machine (0: never), and from its warning to the stop.
    """
    settings = json.loads(SETTINGS.read_text())
    policy = read_policy(settings)
    tick = policy.tick
    return (
        round(tick / 5, 1),
        round(5 * tick),
        round(3 * tick),
        round(2 * policy.patience) if settings.get("idle_stop_minutes") else 0,
        round(policy.lead),
    )
