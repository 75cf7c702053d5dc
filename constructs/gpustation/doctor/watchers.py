"""What stops the machines by itself: their idle stop, daily stop and spend limit."""

from __future__ import annotations

from gpustation.doctor.finding import Finding, Mark, Subject
from gpustation.workstation.status import Status, read_status

NAME = "watchers of the machine"


def watchers(subject: Subject) -> Finding:
    """Whether something stops each running machine by itself."""
    found = read_status(subject.session)
    bare = [one for one in found if _runs(one) and not _stops(one)]
    details = "; ".join(f"{one.workstation.stack}: {_watched(one)}" for one in found)
    if bare:
        names = "idle_stop_minutes, stop_at or monthly_budget_usd"
        cure = f"set {names}, and deploy; a machine without them runs on"
        return Finding(NAME, Mark.WARNING, details, cure)
    return Finding(NAME, Mark.OK, details or "there is no workstation")


def _runs(one: Status) -> bool:
    return one.machine is not None and one.machine.state == "running"


def _stops(one: Status) -> bool:
    verdict = one.report.verdict if one.report else None
    return bool(one.daily_stop or one.notice or verdict)


def _watched(one: Status) -> str:
    verdict = one.report.verdict if one.report else None
    idle = f"last verdict {verdict.state}" if verdict else "no verdict of its idle stop"
    daily = f"daily stop {one.daily_stop}" if one.daily_stop else "no daily stop"
    limit = f"limit of {one.notice.limit_usd:g} USD" if one.notice else "no spend limit"
    return f"{idle}, {daily}, {limit}"
