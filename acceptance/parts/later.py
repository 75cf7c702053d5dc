"""Parts that need a machine of their own settings: idle stop, the other framework, spot."""

from __future__ import annotations

import time

from acceptance.outcome import LeftOutError, PartFailedError
from acceptance.parts.machine import computed
from acceptance.run import Evidence, Run
from gpustation.offers.quota import read_report

IDLE_MINUTES = 10
"""The shortest that the setting allows."""
IDLE_PATIENCE = 30 * 60.0
"""Seconds until an idle machine must have stopped."""
POLL_SECONDS = 10.0
OTHER = {"mxnet": "pytorch", "pytorch": "mxnet"}


def framework(run: Run) -> Evidence:
    """The other framework, as a new generation from the stock image."""
    run.stop()
    settings = {"framework": OTHER[run.framework], "generation": _next(run)}
    run.settings.pop("image", None)
    begun = run.world.clock()
    document = run.up(**settings).document
    evidence: Evidence = {
        "ready": run.ready(document["ready"]),
        "seconds to ready": round(run.world.clock() - begun, 1),
    }
    if not run.notes.get("record"):
        evidence["computed"] = computed(run)
    return evidence


def idle_stop(run: Run) -> Evidence:
    """The machine stops by itself when nothing goes on."""
    run.require_machine()
    before = run.settings.get("idle_stop_minutes", "60")
    if run.status()["machine"]["state"] != "running":
        run.gpustation("start", "--yes")
    document = run.up(idle_stop_minutes=str(IDLE_MINUTES)).document
    if shorten := run.world.hooks.get("idle-stop"):
        shorten(document["instance_id"])
    # The setting reaches a running machine at its next boot
    run.gpustation("reboot", "--yes")
    begun, status = time.monotonic(), run.status()
    while status["machine"]["state"] != "stopped":
        if time.monotonic() - begun > IDLE_PATIENCE:
            verdict = (status["verdict"] or {}).get("reason", "unknown")
            raise PartFailedError(f"it did not stop in {IDLE_PATIENCE / 60:.0f} minutes: {verdict}")
        run.commands.pause(POLL_SECONDS)
        status = run.status()
    run.settings["idle_stop_minutes"] = before
    return {
        "idle_stop_minutes": IDLE_MINUTES,
        "stopped after minutes": round((time.monotonic() - begun) / 60, 1),
        "times": "a tenth" if shorten else "as set",
        "reason": (status["last_stop"] or {}).get("reason", status["machine"]["reason"] or ""),
    }


def spot(run: Run) -> Evidence:
    """A spot machine, as a new generation."""
    if not run.gpu_type.spot_quota_code:
        raise LeftOutError(f"no spot quota of a {run.gpu_type.name} is known")
    if read_report(run.world.session(), run.gpu_type, spot=True).suffices is not True:
        raise LeftOutError("quota: the spot quota has no room for it, or is unknown")
    run.stop()
    settings = {"spot": "true", "generation": _next(run)}
    if "baked" in run.notes:  # it starts sooner
        settings |= {"image": "baked", "framework": run.framework}
    document = run.up(**settings).document
    status = run.status()
    if status["machine"]["lifecycle"] != "spot" or not status["spot_request"]:
        raise PartFailedError("the machine is not a spot machine, or has no request")
    run.notes["spot"] = True
    return {"ready": run.ready(document["ready"]), "request": status["spot_request"]["status"]}


def _next(run: Run) -> str:
    return str(int(run.settings.get("generation", "1")) + 1)
