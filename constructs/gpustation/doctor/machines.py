"""Checks of the machines: their set-up, and the rules that open port 22 for a time."""

from __future__ import annotations

from datetime import datetime, timezone

from gpustation.access.own_rules import read_all
from gpustation.doctor.finding import Finding, Mark, Subject
from gpustation.workstation.status import Status, read_status

SET_UP, IDLE_STOP, RULES = "set-up", "idle stop", "rules of allow-my-ip"


def set_ups(subject: Subject) -> list[Finding]:
    """A line for each workstation of the region, by its machine's last report.

    A second one if its idle stop does not work.
    """
    found = read_status(subject.session)
    failing = [finding for one in found if (finding := _idle_stop(one))]
    return [*map(_set_up, found), *failing] or [Finding(SET_UP, Mark.OK, "there is no workstation")]


def _idle_stop(one: Status) -> Finding | None:
    """A finding if nothing decides whether a running machine is idle."""
    verdict = one.report.verdict if one.report else None
    runs = one.machine is not None and one.machine.state == "running"
    if not runs or verdict is None or verdict.state != "failing":
        return None
    stack = one.workstation.stack
    cure = f"gpustation ssh --stack {stack} -- systemctl status gpustation-idle"
    detail = (
        f"{stack}: nothing decides whether the machine is idle; it stops after some hours of it"
    )
    return Finding(IDLE_STOP, Mark.FAILED, detail, cure)


def _set_up(one: Status) -> Finding:
    stack, told = one.workstation.stack, one.set_up
    if one.no_report:
        return Finding(SET_UP, Mark.UNKNOWN, f"{stack}: {one.no_report}")
    if told is None:
        state = one.machine.state if one.machine else "without a machine"
        return Finding(SET_UP, Mark.OK, f"{stack}: {state}, it has reported no set-up")
    if told.state == "failed":
        cure = f"gpustation log --machine --phase {told.phase} --stack {stack}"
        return Finding(SET_UP, Mark.FAILED, f"{stack}: phase {told.phase} failed", cure)
    if told.warnings:
        detail = "; ".join(f"{phase}: {text}" for phase, text in told.warnings.items())
        cure = "the machine tries again at its next boot: gpustation reboot"
        return Finding(SET_UP, Mark.WARNING, f"{stack}: {detail}", cure)
    what = "complete"
    if told.state == "running":
        runs = one.machine is not None and one.machine.state == "running"
        what = f"phase {told.phase} {'runs' if runs else 'had begun when the machine stopped'}"
    return Finding(SET_UP, Mark.OK, f"{stack}: {what}")


def rules(subject: Subject) -> Finding:
    """The addresses that ``allow-my-ip`` has let in, and whether their time is over."""
    found, now = read_all(subject.client("ec2")), datetime.now(timezone.utc)
    shown = ", ".join(f"{rule.group_id} opened to {rule}" for rule in found)
    if any(rule.expired(now) for rule in found):
        return Finding(RULES, Mark.WARNING, shown, "gpustation status removes those that are over")
    return Finding(RULES, Mark.OK, shown or "none")
