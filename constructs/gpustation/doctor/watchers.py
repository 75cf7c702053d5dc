"""The last verdict of what watches over the machine."""

from __future__ import annotations

from gpustation.doctor.finding import Finding, Mark, Subject


def watchers(_subject: Subject) -> Finding:
    """The last verdict of the machine's watchers: none yet, as the machine has none."""
    return Finding("watchers of the machine", Mark.WARNING, "none yet: nothing watches for idling")
