"""Samples the machine, decides whether it is idle, tells people, and stops it.

The verdict and what it rests on are in the journal, in ``systemctl status gpustation-idle``, in the
message at login, and in the machine's report, which ``gpustation status`` shows.
"""

import dataclasses
import json
import time
from typing import Any

import marks
import tell
from collect import Sampler
from decide import Sample, Verdict, decide, needed
from policy import SETTINGS, read_policy

#: Samples and counters of this boot.
MEMORY = tell.FOLDER / "memory.json"
#: Samples of the GPUs for each tick.
GPU_SAMPLES = 5


def read_memory() -> dict[str, Any]:
    """Return what the run before noted; an empty memory if there is none, or it is damaged."""
    try:
        memory = json.loads(MEMORY.read_text())
        memory["samples"] = [Sample(**sample) for sample in memory["samples"]]
    except FileNotFoundError:
        return {"samples": [], "counters": {}}
    except (OSError, ValueError, TypeError, KeyError) as error:
        print(f"warning: {MEMORY} cannot be read, so the first window begins again: {error}")
        return {"samples": [], "counters": {}}
    return dict(memory)


def watch() -> None:
    """Take one sample, and act on the verdict."""
    settings = json.loads(SETTINGS.read_text())
    if not settings.get("idle_stop_minutes"):
        print("idle stop is off")
        return
    policy = read_policy(settings)
    tell.FOLDER.mkdir(parents=True, exist_ok=True)
    marks.make_folder()
    if not MEMORY.exists():
        tell.begin_boot(settings)
    memory = read_memory()
    sampler = Sampler(memory["counters"], int(settings.get("jupyter_port") or 8888))
    # The first one at once, so that there is a verdict when somebody logs in.
    pause = policy.tick * 0.8 / GPU_SAMPLES if memory["samples"] else 0.0
    sample = sampler.sample(GPU_SAMPLES, pause)
    samples = [*needed([*memory["samples"], sample], policy)]
    clock = time.time()
    awake_until, user, faults = marks.latest(clock)
    verdict = decide(
        samples,
        policy,
        now=sample.at,
        # Of the clock, as people write it
        keep_awake_until=awake_until and sample.at + awake_until - clock,
        warned_at=memory.get("warned_at"),
    )
    verdict = dataclasses.replace(verdict, warnings=(*verdict.warnings, *faults))
    tell.write(
        MEMORY,
        {
            "samples": [dataclasses.asdict(each) for each in samples],
            "counters": sampler.counters,
            "warned_at": _warned_at(memory, verdict, sample.at),
        },
    )
    news = tell.News(verdict, sample, clock, awake_until, user, policy.window, settings)
    news.publish()
    if verdict.state == "stop":
        tell.stop(verdict.reason, settings)


def _warned_at(memory: dict[str, Any], verdict: Verdict, now: float) -> float | None:
    if verdict.state == "awake":
        return None
    before = memory.get("warned_at")
    return now if before is None else float(before)
