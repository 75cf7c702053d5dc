"""Check of the vCPU quota for the configured instance type."""

from __future__ import annotations

from gpustation.catalog.gpu_types import gpu_types
from gpustation.catalog.quotas import in_words
from gpustation.doctor.finding import Finding, Mark, Subject
from gpustation.offers.quota import QuotaReport, read_report

DEFAULT_TYPE = "g4dn.xlarge"
"""Default of the setting ``instance_type``; a test compares."""


def quota(subject: Subject) -> Finding:
    """Whether the quota has room for one more machine of the configured type."""
    name = str(subject.context.get("instance_type", DEFAULT_TYPE))
    gpu_type = gpu_types().get(name)
    if gpu_type is None:
        cure = "`gpustation types` lists the types"
        return Finding("quota", Mark.UNKNOWN, f"{name} is not in the catalog", cure)
    # With spot=prefer the on-demand quota decides whether there is a machine at all
    spot = str(subject.context.get("spot", "false")).lower() == "true"
    if spot and not gpu_type.spot_quota_code:
        return Finding("quota", Mark.UNKNOWN, f"it is not known which spot quota counts a {name}")
    return _finding(read_report(subject.session, gpu_type, spot=spot))


def _finding(report: QuotaReport) -> Finding:
    verdict, name = report.verdict, report.gpu_type.name
    detail = (
        f"{name} ({report.quota_code}): {verdict.needed} vCPUs needed, limit "
        f"{in_words(verdict.limit)}, in use {in_words(verdict.in_use)}"
    )
    cure = report.remedy
    if verdict.limit is not None and verdict.limit < verdict.needed:
        return Finding("quota", Mark.FAILED, detail, cure)
    if report.suffices is None:
        return Finding("quota", Mark.UNKNOWN, "; ".join((detail, *report.unknown)))
    if not report.suffices:
        return Finding("quota", Mark.WARNING, f"{detail}: no room for one more machine", cure)
    return Finding("quota", Mark.OK, detail)
