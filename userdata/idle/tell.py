"""Tells people what the verdict is, and stops the machine."""

import dataclasses
import json
import math
import os
import time
from pathlib import Path
from typing import Any

from daily import Decision
from decide import Sample, Verdict, gib
from system import ROOT, one_line, run

FOLDER = Path(ROOT + "/run/gpustation/idle")
STATE = Path(ROOT + "/var/lib/gpustation")
SCRIPTS = Path(__file__).resolve().parent.parent
#: The last verdict, for everybody.
VERDICT = FOLDER / "verdict.json"
#: Uptime of the last verdict in whole seconds, for guard.sh.
DECIDED = FOLDER / "decided"
MESSAGE = Path(ROOT + "/run/motd.d/gpustation-idle")
#: Why the machine stopped itself; moved into FOLDER by the next boot, so it is that of the last
#: stop and of no earlier one.
LAST_STOP = STATE / "last-stop.json"
BOOTSTRAP = Path(ROOT + "/etc/gpustation/bootstrap.json")
#: Name of a file in the person's home folder, which JupyterLab shows.
NOTICE = "THIS-MACHINE-STOPS-AT-"
KEEP = "gpustation keep-awake 2h"
#: GiB on /scratch from which on a stop names them; an empty file system has some MiB in use.
WORTH_GIB = 0.1


def write(path: Path, value: object) -> None:
    """Write a value as JSON, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(path.name + ".new")
    with draft.open("w") as file:
        file.write(json.dumps(value))
        file.flush()
        os.fsync(file.fileno())
    draft.replace(path)


def moment(clock: float) -> str:
    """Return a moment in words."""
    return time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(clock))


def begin_boot(settings: dict[str, Any]) -> None:
    """Keep the reason of the last stop for this boot, and remove its notice."""
    (FOLDER / LAST_STOP.name).unlink(missing_ok=True)
    if LAST_STOP.exists():
        (FOLDER / LAST_STOP.name).write_text(LAST_STOP.read_text())
        LAST_STOP.unlink()
    _notice(settings, "")
    report(settings)


def last_stop() -> dict[str, Any]:
    """Return time and reason of the last stop; empty if the machine did not stop itself."""
    try:
        stop = json.loads((FOLDER / LAST_STOP.name).read_text())
        return {"at": int(stop["at"]), "reason": str(stop["reason"])}
    except (OSError, ValueError, TypeError, KeyError):
        return {}


@dataclasses.dataclass(frozen=True)
class News:
    """A verdict with all that people want to know of it.

    Attributes:
        clock: Time of the sample in seconds since 1970.
        kept_until: End of the request to keep the machine awake in seconds since 1970, or 0.
        kept_by: Who asked for it.
        window: Seconds without movement after which the machine stops; 0 if it does not.
        daily: What is decided about the daily stop; ``None`` if there is none.
        is_daily: Whether the verdict is about the daily stop.
    """

    verdict: Verdict
    sample: Sample
    clock: float
    kept_until: float
    kept_by: str
    window: float
    settings: dict[str, Any]
    daily: "Decision | None" = None
    is_daily: bool = False

    def with_daily(self) -> "News":
        """Return the verdict on both stops: that of the one which is nearer."""
        if self.daily is None:
            return self
        order = ("awake", "warned", "stop")
        daily = self.sample.at + self.daily.stops_at - self.clock
        if (order.index(self.daily.state), -daily) <= (
            order.index(self.verdict.state),
            -self.verdict.stops_at,
        ):
            return self
        reason = self.verdict.reason if self.daily.state == "awake" else self.daily.reason
        verdict = dataclasses.replace(
            self.verdict, state=self.daily.state, stops_at=daily, reason=reason
        )
        return dataclasses.replace(self, verdict=verdict, is_daily=True)

    def publish(self) -> None:
        """Write the verdict where people look, and announce a stop."""
        before = self._before()
        write(VERDICT, self.document())
        print(self.headline())
        print(self.signals())
        for warning in self.verdict.warnings:
            print(f"warning: {warning}")
        self._message()
        if before.get("state", "awake") != self.verdict.state:
            self._announce(before)
        watched = ("state", "warnings", "keep_awake_until")
        if any(before.get(name) != self.document()[name] for name in watched):
            report(self.settings)
        DECIDED.write_text(f"{int(self.sample.at)}\n")

    def document(self) -> dict[str, Any]:
        """Return the verdict as JSON data; times in seconds since 1970."""
        return {
            "schema": 1,
            "state": self.verdict.state,
            "reason": self.verdict.reason,
            "decided_at": int(self.clock),
            "stops_at": int(self._clock_of(self.verdict.stops_at)),
            "quiet_since": int(self._clock_of(self.verdict.quiet_since)),
            "window_seconds": int(self.window),
            "moved": dict(self.sample.moved),
            "present": [*self.sample.present],
            "warnings": [one_line(each) for each in self.verdict.warnings],
            "scratch_gib": self.sample.scratch_gib and round(self.sample.scratch_gib, 1),
            "keep_awake_until": int(self.kept_until) or None,
            "keep_awake_by": self.kept_by or None,
            "daily_stop": self.daily
            and {
                "rule": self.daily.rule,
                "stops_at": int(self.daily.stops_at),
                "latest": int(self.daily.moment.latest),
            },
        }

    @property
    def loss(self) -> str:
        """What a stop would lose, in words; empty for nothing worth a word."""
        used = self.sample.scratch_gib or 0.0
        return f"{gib(used)} on /scratch" if used >= WORTH_GIB else ""

    def headline(self) -> str:
        """Return the verdict in one line."""
        at, reason = moment(self._clock_of(self.verdict.stops_at)), self.verdict.reason
        if self.loss and self.verdict.state != "awake":
            reason += f"; {self.loss} will be lost"
        if self.verdict.state == "stop":
            return f"stops now: {reason}"
        if self.verdict.state == "warned":
            hint = f"; this delays it: {KEEP}"
            if self.is_daily and self.daily and self.daily.stops_at >= self.daily.moment.latest:
                hint = ""
            return f"STOPS AT {at}: {reason}{hint}"
        if self.kept_until and "asked" in reason:
            reason = f"{self.kept_by} asked for it"
        if self.verdict.stops_at == math.inf:
            return f"awake: {reason}"
        if self.is_daily and self.daily:
            return f"awake until {at}, {self.daily.rule}: {reason}"
        return f"awake until {at} if nothing moves: {reason}"

    def signals(self) -> str:
        """Return what was sampled in one line."""
        values = {
            name: "unknown" if v is None else f"{v:.3g}" for name, v in self.sample.moved.items()
        }
        units = {"gpu": "%", "cpu": "s", "disk": "bytes", "network": "bytes", "kernels": "s"}
        words = [f"{name} {value} {units.get(name, '')}".strip() for name, value in values.items()]
        return f"moved since the last sample: {', '.join(words)}; there: " + (
            ", ".join(self.sample.present) or "nobody"
        )

    def _before(self) -> dict[str, Any]:
        try:
            return dict(json.loads(VERDICT.read_text()))
        except (OSError, ValueError, TypeError):
            return {}

    def _clock_of(self, uptime: float) -> float:
        """Return a moment in seconds since 1970; 0 for never."""
        return 0.0 if uptime == math.inf else self.clock + uptime - self.sample.at

    def _message(self) -> None:
        lines = [f"gpustation: {self.headline()}"]
        lines += [f"  warning: {each}" for each in self.verdict.warnings]
        if stop := last_stop():
            lines.append(f"  It stopped itself at {moment(stop['at'])}: {one_line(stop['reason'])}")
        MESSAGE.parent.mkdir(parents=True, exist_ok=True)
        MESSAGE.write_text("\n".join(lines) + "\n")

    def _announce(self, before: dict[str, Any]) -> None:
        if self.verdict.state == "warned":
            _wall(f"gpustation: this machine {self.headline()}")
            at = time.strftime("%H.%M", time.gmtime(self._clock_of(self.verdict.stops_at)))
            _notice(self.settings, f"{NOTICE}{at}-UTC.txt", f"{self.headline()}\n")
        elif self.verdict.state == "awake":
            _wall(f"gpustation: this machine stays on: {self.verdict.reason}")
            _notice(self.settings, "")


def stop(reason: str, settings: dict[str, Any]) -> None:
    """Note why, tell it, and power the machine off; EC2 then stops the instance."""
    write(LAST_STOP, {"at": int(time.time()), "reason": reason})
    _wall(f"gpustation: this machine stops now: {reason}")
    report(settings)
    run("systemctl", "poweroff")


def report(settings: dict[str, Any]) -> None:
    """Write the machine's report, if it has a stack that reads it."""
    parameter = settings.get("report")
    if not BOOTSTRAP.exists() or not parameter:
        return
    program = SCRIPTS / "phases/08-write-report/write_report.py"
    try:
        run("python3", "-I", str(program), str(parameter), "5")
    except OSError as error:
        print(f"warning: the report was not written: {error}")


def _wall(text: str) -> None:
    try:
        run("wall", text)
    except OSError as error:
        print(f"warning: nobody was told on their terminals: {error}")


def _notice(settings: dict[str, Any], name: str, text: str = "") -> None:
    """Replace the notice in the person's home folder by one of a name; without a name by none.

    It is written with the person's rights.
    """
    home = ROOT + str(settings.get("home") or "/home/ubuntu")
    change = f'find . -maxdepth 1 -type f -name "{NOTICE}*" -delete'
    if name:
        change += '; cat >"$1"'
    scripts = f'. "{SCRIPTS}/runner/record.sh"; . "{SCRIPTS}/home/as_owner.sh"; as_owner "$@"'
    try:
        run("bash", "-c", scripts, "bash", home, "bash", "-c", change, "bash", name, text=text)
    except OSError as error:
        print(f"warning: the notice in {home} was not changed: {error}")
