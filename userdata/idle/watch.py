"""Samples the machine, decides whether it stops, tells people, and stops it.

The verdict and what it rests on are in the journal, in ``systemctl status gpustation-idle``, in the
message at login, and in the machine's report, which ``gpustation status`` shows.
"""

import dataclasses
import json
import math
import time
from typing import Any

import daily
import deployed
import marks
import tell
from collect import Sampler
from decide import Sample, decide, needed
from policy import SETTINGS, read_policy
from system import one_line, run, uptime

#: Samples and counters of this boot.
MEMORY = tell.FOLDER / "memory.json"
#: Samples of the GPUs for each tick.
GPU_SAMPLES = 5
#: Seconds before a daily stop at which the setting is read again, at most.
MARGIN = 15.0


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
    if not settings.get("idle_stop_minutes") and not settings.get("stop_at"):
        print("idle stop and daily stop are off")
        return
    tell.FOLDER.mkdir(parents=True, exist_ok=True)
    marks.make_folder()
    if not MEMORY.exists():
        tell.begin_boot(settings)
    Turn(settings).run()


class Turn:
    """One run of the watcher.

    Args:
        settings: The machine's settings.
    """

    def __init__(self, settings: dict[str, Any]) -> None:
        self.settings = settings
        self.policy = read_policy(settings)
        self.memory = read_memory()
        #: The daily stop of this boot's settings, and as the stack had it when it was last read.
        self.known = {name: settings.get(name) for name in deployed.NAMES}
        noted = self.memory.get("daily") or {}
        self.rule = noted["read"] if noted.get("known") == self.known else self.known
        #: Why the stack's daily stop could not be read.
        self.unread = ""
        self.decision: daily.Decision | None = None

    def run(self) -> None:
        """Look, decide, publish, and stop the machine if it is time."""
        # The first one at once, so that there is a verdict when somebody logs in.
        pause = self.policy.tick * 0.8 / GPU_SAMPLES if self.memory["samples"] else 0.0
        self.look(GPU_SAMPLES, pause)
        news = self.conclude()
        if self.decision and self._begins(self.decision):
            self.read_again()
            news = self.conclude()
        self.act(news)
        soon = self.decision
        if news.verdict.state != "warned" or not soon or not news.is_daily:
            return
        # The next run would be too late for the exact time.
        if soon.stops_at - time.time() > 1.5 * self.policy.tick:
            return
        wait_until(soon.stops_at - min(MARGIN, self.policy.tick / 4))
        self.read_again()
        wait_until(soon.stops_at)
        if soon.stops_at < soon.moment.latest:
            self.look(1, 0.0)
        self.act(self.conclude())

    def look(self, gpu_samples: int, pause: float) -> None:
        """Take one sample."""
        port = int(self.settings.get("jupyter_port") or 8888)
        sampler = Sampler(self.memory["counters"], port)
        sample = sampler.sample(gpu_samples, pause)
        samples = [*self.memory["samples"], sample]
        self.memory["samples"] = [*needed(samples, self.policy)]
        self.memory["counters"] = sampler.counters

    def read_again(self) -> None:
        """Read the daily stop that the stack has now; without a stack it is that of the machine."""
        if not tell.BOOTSTRAP.exists():
            return
        try:
            output = run("python3", "-I", str(tell.SCRIPTS / "idle/deployed.py"))
            self.rule, self.unread = dict(json.loads(output.splitlines()[-1])), ""
        except (OSError, ValueError, LookupError, TypeError) as error:
            self.unread = one_line(str(error))

    def conclude(self) -> tell.News:
        """Return what the samples, the requests and the clock mean."""
        sample, clock = self.memory["samples"][-1], time.time()
        awake_until, user, faults = marks.latest(clock)
        verdict = decide(
            self.memory["samples"],
            self.policy,
            now=sample.at,
            # Of the clock, as people write it
            keep_awake_until=awake_until and sample.at + awake_until - clock,
            warned_at=self.memory.get("warned_at"),
        )
        work = clock + verdict.busy_until - sample.at, verdict.busy_with
        held = max(work, (awake_until, "it was asked to stay awake"))
        if not self.settings.get("idle_stop_minutes"):
            reason = "the idle stop is off"
            verdict = dataclasses.replace(verdict, state="awake", reason=reason, stops_at=math.inf)
        if verdict.state == "awake":
            self.memory["warned_at"] = None
        elif self.memory.get("warned_at") is None:
            self.memory["warned_at"] = sample.at
        faults += self._decide_daily(clock, *held)
        verdict = dataclasses.replace(verdict, warnings=(*verdict.warnings, *faults))
        window = self.policy.window if self.settings.get("idle_stop_minutes") else 0
        news = tell.News(
            verdict, sample, clock, awake_until, user, window, self.settings, self.decision
        )
        return news.with_daily()

    def _decide_daily(self, clock: float, held_until: float, held_by: str) -> list[str]:
        """Decide about the daily stop; return what the person should know."""
        self.decision = None
        try:
            rule = daily.read_rule(self.rule)
        except ValueError as error:
            return [f"{error}: nothing here warns of the daily stop, its schedule on AWS acts"]
        if rule is None:
            return []
        decision = daily.decide(
            rule,
            booted=clock - uptime(),
            now=clock,
            lead=self.policy.lead,
            tick=self.policy.tick,
            held_until=held_until,
            held_by=held_by,
            warned_at=self.memory.get("daily_warned_at"),
        )
        faults = []
        if self.unread:
            faults.append(f"the daily stop could not be read again: {self.unread}")
            if decision.state == "stop":
                decision = dataclasses.replace(decision, state="warned")
                faults.append(
                    "so its schedule on AWS stops the machine, and not the machine itself"
                )
        self.decision = decision
        return faults

    def _begins(self, decision: daily.Decision) -> bool:
        """Return whether something is about to be done for the daily stop."""
        announces = decision.state == "warned" and self.memory.get("daily_warned_at") is None
        return announces or decision.state == "stop"

    def act(self, news: tell.News) -> None:
        """Note and publish a conclusion, and stop the machine if it says so."""
        if self.decision is None or self.decision.state == "awake":
            self.memory["daily_warned_at"] = None
        elif self.memory.get("daily_warned_at") is None:
            self.memory["daily_warned_at"] = news.clock
        samples = [dataclasses.asdict(each) for each in self.memory["samples"]]
        self.memory["daily"] = {"known": self.known, "read": self.rule}
        tell.write(MEMORY, {**self.memory, "samples": samples})
        news.publish()
        if news.verdict.state == "stop":
            lost = f"; {news.loss} were lost" if news.loss else ""
            tell.stop(news.verdict.reason + lost, self.settings)


def wait_until(clock: float) -> None:
    """Wait for a moment, in seconds since 1970; the clock may be corrected meanwhile."""
    while (left := clock - time.time()) > 0:
        time.sleep(left)
