"""Check of the vCPU quota for the configured instance type."""

from __future__ import annotations

from typing import Any

from botocore.exceptions import ClientError

from gpustation.aws.calls import error_code
from gpustation.catalog.gpu_types import gpu_types
from gpustation.catalog.quotas import FAMILIES, Instance, Need, Verdict, judge
from gpustation.doctor.finding import Finding, Mark, Subject

DEFAULT_TYPE = "g4dn.xlarge"
"""Default of the setting ``instance_type``; a test compares."""


def quota(subject: Subject) -> Finding:
    """Whether the quota has room for the configured type."""
    name = str(subject.context.get("instance_type", DEFAULT_TYPE))
    gpu_type = gpu_types().get(name)
    if gpu_type is None:
        cure = "choose one of constructs/gpustation/catalog/gpu_types.csv"
        return Finding("quota", Mark.UNKNOWN, f"{name} is not in the catalog", cure)
    service = subject.client("service-quotas")
    value, usage_class = _quota(service, gpu_type.quota_code)
    instances = _instances(subject.client("ec2"))
    vcpus = {one: known.vcpus for one, known in gpu_types().items()}
    verdict = judge(Need(gpu_type.vcpus, replaces_own=False), usage_class, value, instances, vcpus)
    return _finding(verdict, f"{name} ({gpu_type.quota_code})", name)


def _finding(verdict: Verdict, what: str, name: str) -> Finding:
    in_use = "unknown" if verdict.in_use is None else str(verdict.in_use)
    detail = f"{what}: {verdict.needed} vCPUs needed, limit {verdict.limit}, in use {in_use}"
    cure = f"gpustation quota request {name}"
    if verdict.limit is not None and verdict.limit < verdict.needed:
        return Finding("quota", Mark.FAILED, detail, cure)
    if verdict.free is None:
        return Finding("quota", Mark.UNKNOWN, detail)
    if verdict.is_refusal:
        return Finding("quota", Mark.WARNING, f"{detail}: no room for one more machine", cure)
    return Finding("quota", Mark.OK, detail)


def _quota(service: Any, code: str) -> tuple[float, str]:
    """Value and usage class: applied to the account, or else AWS's default."""
    asked = {"ServiceCode": "ec2", "QuotaCode": code}
    try:
        found = service.get_service_quota(**asked)["Quota"]
    except ClientError as error:
        if error_code(error) != "NoSuchResourceException":
            raise
        found = service.get_aws_default_service_quota(**asked)["Quota"]
    return found["Value"], found["UsageMetric"]["MetricDimensions"]["Class"]


def _instances(ec2: Any) -> list[Instance]:
    patterns = [f"{letters}*" for family in FAMILIES.values() for letters in family]
    pages = ec2.get_paginator("describe_instances").paginate(
        Filters=[{"Name": "instance-type", "Values": patterns}]
    )
    return [
        Instance(
            row["InstanceId"],
            row["InstanceType"],
            row["State"]["Name"],
            lifecycle=row.get("InstanceLifecycle", ""),
        )
        for page in pages
        for reservation in page["Reservations"]
        for row in reservation["Instances"]
    ]
