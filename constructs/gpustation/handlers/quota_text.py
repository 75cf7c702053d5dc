"""The messages of the quota check, as printed by ``cdk deploy``."""

from __future__ import annotations

from dataclasses import dataclass

from gpustation.catalog.gpu_types import GpuType, types_for
from gpustation.catalog.quotas import OpenRequest, Verdict, in_words
from gpustation.handlers.responder import MAX_REASON

_FITTING_TYPES = 3


@dataclass(frozen=True)
class Findings:
    """Results of the calls to AWS.

    Attributes:
        gpu_type: Instance type in the settings.
        framework: Framework in the settings, for suggested alternative types.
        region: Name of the region.
        quota_code: Code of the quota that counts the machine.
        quota_name: AWS's name of the quota; empty if unknown.
        verdict: Comparison of need and quota.
        unknown: A clause for each value that could not be determined.
        zones: Zones that offer the type; ``None`` if unknown.
        machine_zone: Zone of the machine whose type changes; empty for a new machine.
        own_instance_ids: The stack's pending and running machines.
        open_requests: Pending requests for a quota increase.
        on_free_plan: True if the account is on the free plan and this deploy launches a machine.
    """

    gpu_type: GpuType
    framework: str
    region: str
    quota_code: str
    quota_name: str
    verdict: Verdict
    unknown: tuple[str, ...]
    zones: list[str] | None
    machine_zone: str
    own_instance_ids: tuple[str, ...]
    open_requests: tuple[OpenRequest, ...]
    on_free_plan: bool = False

    @property
    def quota(self) -> str:
        """Name and code of the quota."""
        return f"{self.quota_name or 'the quota'}, {self.quota_code}, {self.region}"


def passed(findings: Findings) -> str:
    """Message of a deploy that continues: the quota suffices, is unknown, or is not needed."""
    verdict, name = findings.verdict, findings.gpu_type.name
    if verdict.is_unknown:
        return unknown(
            f"{'; '.join(findings.unknown) or 'use unknown'}. "
            f"{name} needs {verdict.needed} vCPUs of {findings.quota}; EC2 refuses the launch if "
            "they are not free"
        )
    use = f"limit {in_words(verdict.limit)}, in use {_in_use(verdict)}; {findings.quota}"
    if verdict.needed == 0:
        return f"this deploy starts no machine and needs no vCPUs ({use})"
    room = ""
    if verdict.needs_reservation:
        zones = ", ".join(verdict.room_in)
        room = f"; EC2 launches it only into the capacity reservation with room in {zones}"
    return f"{name} needs {verdict.needed} vCPUs, {in_words(verdict.free)} free ({use}){room}"


def unknown(why: str) -> str:
    """Message of a deploy that continues although the check could not be made."""
    return _within(f"UNKNOWN whether the quota suffices: {why}")


def warning(findings: Findings) -> str:
    """First line of the refusal, for ``quota=warn``."""
    if findings.on_free_plan:
        return _within(f"FREE PLAN, warning only (quota=warn): {_free_plan(findings)}")
    return _within(f"TOO SMALL, warning only (quota=warn): {_first_line(findings)}")


def refusal(findings: Findings, request_result: str) -> str:
    """Message of a deploy that fails; its first line alone is enough to act on.

    Args:
        findings: Results of the calls to AWS.
        request_result: Result of requesting an increase; empty if none was requested.
    """
    code, region = findings.quota_code, findings.region
    lines = [_free_plan(findings)] if findings.on_free_plan else []
    if not findings.verdict.is_refusal:
        return _within("\n".join(lines))
    lines.append(_first_line(findings))
    if request_result:
        lines.append(f"quota=request: {request_result}")
    lines += [f"Open: {request}" for request in findings.open_requests[:1]]
    if findings.verdict.fits_without_own and findings.own_instance_ids:
        ids = " ".join(findings.own_instance_ids)
        lines.append(
            f"The old machine uses {findings.verdict.own} until the new one is ready; stopping it "
            f"frees them: aws ec2 stop-instances --region {region} --instance-ids {ids}"
        )
    lines.append(_what_fits(findings))
    lines.append(
        f"Quota: {findings.quota_name or code} ({code}), decided in 1 to 3 working days, "
        f"https://{region}.console.aws.amazon.com/servicequotas/home/services/ec2/quotas/{code}"
    )
    return _within("\n".join(lines))


def _free_plan(findings: Findings) -> str:
    return (
        f"this account is on AWS's free plan, which launches no GPU type such as "
        f"{findings.gpu_type.name}, whatever the quota: upgrade it to the paid plan (console, "
        "Billing and Cost Management), then deploy again; quota=warn deploys without this check"
    )


def _first_line(findings: Findings) -> str:
    verdict, code = findings.verdict, findings.quota_code
    return (
        f"quota too small: {findings.gpu_type.name} needs {verdict.needed} vCPUs, "
        f"{in_words(verdict.free)} free in {findings.region} "
        f"(limit {in_words(verdict.limit)}, in use {_in_use(verdict)}). Ask for more: "
        f"aws service-quotas request-service-quota-increase --region {findings.region} "
        f"--service-code ec2 --quota-code {code} --desired-value {verdict.desired}"
    )


def _in_use(verdict: Verdict) -> str:
    reserved = f" with {verdict.reserved} of unused capacity reservations"
    return in_words(verdict.in_use) + (reserved if verdict.reserved else "")


def _what_fits(findings: Findings) -> str:
    free = findings.verdict.free or 0
    fitting = [
        f"{t.name} ({t.vcpus})"
        for t in types_for(findings.framework)
        if findings.quota_code in (t.quota_code, t.spot_quota_code) and t.vcpus <= free
    ]
    if not fitting:
        return "No type of this quota fits into the free vCPUs."
    return f"Would fit now (vCPUs): {', '.join(fitting[:_FITTING_TYPES])}."


def _within(text: str) -> str:
    return text if len(text) <= MAX_REASON else text[: MAX_REASON - 4] + " ..."
