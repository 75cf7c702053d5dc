"""Checks the vCPU quota before anything that costs exists.

Refuses only what is certain to fail; what cannot be found out is said to be unknown, and the
deploy goes on.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Mapping
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

import boto3
from botocore.exceptions import ClientError

from gpustation.aws import account_plan
from gpustation.aws.calls import NOT_UNDERSTOOD, RETRIES, UnknownError, call_aws, error_code
from gpustation.aws.stacks import is_rolling_back
from gpustation.aws.zones import zones_offering
from gpustation.catalog.gpu_types import GpuType, gpu_types
from gpustation.catalog.quotas import (
    FAMILIES,
    KNOWN_CLASSES,
    Instance,
    Need,
    OpenRequest,
    Verdict,
    judge,
)
from gpustation.handlers import quota_text
from gpustation.handlers.quota_text import Findings
from gpustation.handlers.responder import Answer, Event, RefusedError, respond

if TYPE_CHECKING:
    from mypy_boto3_cloudformation import CloudFormationClient
    from mypy_boto3_ec2 import EC2Client
    from mypy_boto3_ec2.literals import InstanceTypeType
    from mypy_boto3_ec2.type_defs import InstanceTypeDef
    from mypy_boto3_service_quotas import ServiceQuotasClient
    from mypy_boto3_service_quotas.type_defs import (
        RequestedServiceQuotaChangeTypeDef,
        ServiceQuotaTypeDef,
    )

OPEN_STATUSES = ("PENDING", "CASE_OPENED")

DEFAULTS = {"Framework": "mxnet", "Generation": "1", "Mode": "enforce"}
"""Of properties that another version of the template does not have."""

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Clients:
    """The AWS clients that the check talks to; without ``plans`` the plan stays unknown."""

    cloudformation: CloudFormationClient
    ec2: EC2Client
    quotas: ServiceQuotasClient
    plans: account_plan.FreeTierClient | None = None


def on_event(event: dict[str, Any], context: object) -> None:
    """Entry point of the Lambda function."""
    with ThreadPoolExecutor(max_workers=5) as pool:
        respond(event, context, lambda request: decide(request, _clients(), pool), unknown)


def _clients() -> Clients:
    ec2 = boto3.client("ec2", config=RETRIES)
    return Clients(
        boto3.client("cloudformation", config=RETRIES),
        ec2,
        boto3.client("service-quotas", config=RETRIES),
        account_plan.client(ec2.meta.partition),
    )


def decide(event: Event, clients: Clients, pool: Executor) -> Answer:
    """Passes with a sentence for the ``Quota`` output, or refuses with what to do.

    Raises:
        RefusedError: The quota is certain not to suffice, no zone offers the type, or the
            account's plan has no GPU types.
    """
    updating = event["RequestType"] == "Update"
    if updating and is_rolling_back(clients.cloudformation, event):
        return _passed(event, "not checked: the stack was going back")
    properties = DEFAULTS | event["ResourceProperties"]
    gpu_type = gpu_types()[properties["InstanceType"]]
    need = _need(properties, event.get("OldResourceProperties"), gpu_type)
    findings = _find_out(event, gpu_type, need, clients, pool)
    if need.vcpus and findings.zones is not None:  # a fact, whatever the mode
        _require_offered(findings)
    if not findings.verdict.is_refusal and not findings.on_free_plan:
        return _passed(event, quota_text.passed(findings))
    if properties["Mode"] == "warn":
        return _passed(event, quota_text.warning(findings))
    # No increase helps an account on the free plan
    files = properties["Mode"] == "request" and not findings.on_free_plan
    filed = _file_increase(findings, clients.quotas) if files else ""
    raise RefusedError(quota_text.refusal(findings, filed))


def unknown(event: Event, why: str) -> Answer:
    """The answer when nothing could be found out: the deploy goes on."""
    return _passed(event, quota_text.unknown(why))


def _passed(event: Event, message: str) -> Answer:
    physical_id = event.get("PhysicalResourceId") or f"{event['LogicalResourceId']}-passed"
    return Answer(physical_id, {"Message": message})


def _need(new: Mapping[str, str], old: Mapping[str, str] | None, gpu_type: GpuType) -> Need:
    """What this deploy starts: nothing, a machine beside the old one, or the old one anew."""
    if old is None or {**DEFAULTS, **old}["Generation"] != new["Generation"]:
        return Need(gpu_type.vcpus, replaces_own=False)
    if old.get("InstanceType") != new["InstanceType"]:
        return Need(gpu_type.vcpus, replaces_own=True)
    return Need(0, replaces_own=False)


def _find_out(
    event: Event, gpu_type: GpuType, need: Need, clients: Clients, pool: Executor
) -> Findings:
    """Asks AWS everything at once: a refusal takes as long as the slowest answer, not the sum."""
    code = gpu_type.quota_code
    asked_quota = pool.submit(_known, lambda: _quota(clients.quotas, code))
    asked_instances = pool.submit(_known, lambda: _instances(clients.ec2, event["StackId"]))
    asked_zones = pool.submit(_known, lambda: zones_offering(clients.ec2, gpu_type.name))
    asked_requests = pool.submit(_known, lambda: _open_requests(clients.quotas, code))
    asked_plan = pool.submit(_known, lambda: account_plan.is_free(clients.plans))
    quota, instances = asked_quota.result(), asked_instances.result()
    own = [i for i in instances.value or () if i.own and i.state != "terminated"]
    return Findings(
        gpu_type=gpu_type,
        framework=(DEFAULTS | event["ResourceProperties"])["Framework"],
        region=clients.ec2.meta.region_name,
        quota_name=quota.value.get("QuotaName", "") if quota.value else "",
        verdict=_judge(need, quota.value, instances.value, clients.ec2),
        unknown=tuple(fact.why for fact in (quota, instances) if fact.why),
        zones=asked_zones.result().value,
        machine_zone=own[0].zone if own and need.replaces_own else "",
        own_instance_ids=tuple(i.instance_id for i in own if i.state in ("pending", "running")),
        open_requests=tuple(asked_requests.result().value or ()),
        on_free_plan=bool(need.vcpus and asked_plan.result().value),
    )


@dataclass(frozen=True)
class _Fact:
    value: Any
    why: str = ""


def _known(find: Callable[[], Any]) -> _Fact:
    """The fact, or why it is unknown."""
    try:
        return _Fact(find())
    except UnknownError as why:
        return _Fact(None, str(why))
    except ClientError as error:
        return _Fact(None, f"{error.operation_name}: {error_code(error)}")
    # An answer without what it should have is an unknown fact, and no reason to fail a deploy
    except NOT_UNDERSTOOD as fault:
        log.exception("an answer that was not understood")
        return _Fact(None, f"an answer that was not understood ({type(fault).__name__})")


def _quota(client: ServiceQuotasClient, code: str) -> ServiceQuotaTypeDef:
    """The applied quota, or AWS's default where the account has no applied value."""
    try:
        quota = call_aws(
            f"quota {code}", lambda: client.get_service_quota(ServiceCode="ec2", QuotaCode=code)
        )["Quota"]
    except ClientError as error:
        if error_code(error) != "NoSuchResourceException":
            raise
        quota = call_aws(
            f"default of quota {code}",
            lambda: client.get_aws_default_service_quota(ServiceCode="ec2", QuotaCode=code),
        )["Quota"]
    limit = quota.get("Value")
    if limit is None or not math.isfinite(limit):
        why = quota.get("ErrorReason", {}).get("ErrorCode", f"a value of {limit}")
        raise UnknownError(f"quota {code}: Service Quotas could not tell its value ({why})")
    usage_class = _usage_class(quota)
    if usage_class not in KNOWN_CLASSES:
        raise UnknownError(f"quota {code}: it counts {usage_class or 'nothing that is known here'}")
    return quota


def _usage_class(quota: ServiceQuotaTypeDef) -> str:
    return quota.get("UsageMetric", {}).get("MetricDimensions", {}).get("Class", "")


def _instances(ec2: EC2Client, stack_id: str) -> list[Instance]:
    """The account's GPU instances in the region, those of this stack marked as its own."""
    patterns = [f"{letters}*" for family in FAMILIES.values() for letters in family]
    pages = ec2.get_paginator("describe_instances")
    found = call_aws(
        "instances in use",
        lambda: pages.paginate(
            Filters=[{"Name": "instance-type", "Values": patterns}]
        ).build_full_result(),
    )
    return [
        _instance(row, stack_id)
        for reservation in found.get("Reservations", [])
        for row in reservation.get("Instances", [])
    ]


def _instance(row: InstanceTypeDef, stack_id: str) -> Instance:
    return Instance(
        instance_id=row["InstanceId"],
        instance_type=row["InstanceType"],
        state=row["State"]["Name"],
        zone=row.get("Placement", {}).get("AvailabilityZone", ""),
        lifecycle=row.get("InstanceLifecycle", ""),
        own={"Key": "aws:cloudformation:stack-id", "Value": stack_id} in row.get("Tags", []),
    )


def _judge(
    need: Need,
    quota: ServiceQuotaTypeDef | None,
    instances: list[Instance] | None,
    ec2: EC2Client,
) -> Verdict:
    if quota is None:
        return Verdict(need.vcpus, None, None)
    vcpus = {name: t.vcpus for name, t in gpu_types().items()}
    uncatalogued = {i.instance_type for i in instances or ()} - set(vcpus)
    if uncatalogued:  # retired or brand-new types that someone still runs
        vcpus |= _known(lambda: _default_vcpus(ec2, uncatalogued)).value or {}
    return judge(need, _usage_class(quota), quota["Value"], instances, vcpus)


def _default_vcpus(ec2: EC2Client, types: set[str]) -> dict[str, int]:
    names = cast("list[InstanceTypeType]", sorted(types))
    found = call_aws("vCPUs of types", lambda: ec2.describe_instance_types(InstanceTypes=names))
    return {t["InstanceType"]: t["VCpuInfo"]["DefaultVCpus"] for t in found["InstanceTypes"]}


def _open_requests(client: ServiceQuotasClient, code: str) -> list[OpenRequest]:
    pages = client.get_paginator("list_requested_service_quota_change_history_by_quota")
    found = call_aws(
        "requests for more quota",
        lambda: pages.paginate(ServiceCode="ec2", QuotaCode=code).build_full_result(),
    )
    return [
        _open_request(row)
        for row in found.get("RequestedQuotas", [])
        if row.get("Status") in OPEN_STATUSES
    ]


def _open_request(row: RequestedServiceQuotaChangeTypeDef) -> OpenRequest:
    wanted = row.get("DesiredValue", math.nan)
    return OpenRequest(
        request_id=row.get("Id", "without an id"),
        status=row.get("Status", ""),
        vcpus=int(wanted) if math.isfinite(wanted) else None,
        day=row["Created"].date().isoformat() if "Created" in row else "",
    )


def _require_offered(findings: Findings) -> None:
    """The type must be offered: in the machine's own zone, or in any for a new machine.

    Raises:
        RefusedError: With the zones that offer it.
    """
    name, zones = findings.gpu_type.name, findings.zones or []
    if not zones:
        raise RefusedError(
            f"instance_type={name}: no zone of {findings.region} offers it; take another type or "
            "another region"
        )
    if findings.machine_zone and findings.machine_zone not in zones:
        raise RefusedError(
            f"instance_type={name}: the machine is in {findings.machine_zone}, and only "
            f"{', '.join(zones)} offer this type; take another type, or another generation to "
            "build a new machine there"
        )


def _file_increase(findings: Findings, client: ServiceQuotasClient) -> str:
    """Files the increase unless one is open; says in words what became of it."""
    verdict, code = findings.verdict, findings.gpu_type.quota_code
    if findings.open_requests:
        return "nothing more was filed: a request is open"
    try:
        request = call_aws(
            f"increase of {code}",
            lambda: client.request_service_quota_increase(
                ServiceCode="ec2", QuotaCode=code, DesiredValue=float(verdict.desired)
            ),
        )["RequestedQuota"]
    except UnknownError as why:
        return f"the increase was not filed, {why}"
    except ClientError as error:
        if error_code(error) == "ResourceAlreadyExistsException":
            return "nothing more was filed: a request is open"
        return f"the increase was not filed, {error_code(error)}"
    request_id, status = request.get("Id", "without an id"), request.get("Status", "status unknown")
    return f"filed for {verdict.desired} vCPUs: request {request_id} ({status})"
