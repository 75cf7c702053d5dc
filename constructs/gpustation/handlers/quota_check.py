"""Checks the vCPU quota before a deploy creates anything that is billed.

It fails only a deploy that is certain to fail later. If a value is unknown, the deploy continues
and its output says so.
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
from gpustation.handlers.responder import Event, RefusedError, Response, respond

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
"""Values of properties that templates of other versions lack."""

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Clients:
    """The AWS clients of the check; without ``plans`` the account's plan is unknown."""

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


def decide(event: Event, clients: Clients, pool: Executor) -> Response:
    """Passes with a sentence for the output ``Quota``, or refuses with a remedy.

    Raises:
        RefusedError: The quota is known to be too small, no zone offers the type, or the account's
            plan has no GPU types.
    """
    updating = event["RequestType"] == "Update"
    if updating and is_rolling_back(clients.cloudformation, event):
        return _passed(event, "not checked: the stack was rolling back")
    properties = DEFAULTS | event["ResourceProperties"]
    gpu_type = gpu_types()[properties["InstanceType"]]
    need = _need(properties, event.get("OldResourceProperties"), gpu_type)
    findings = _collect_findings(event, gpu_type, need, clients, pool)
    if need.vcpus and findings.zones is not None:  # in every mode: the launch would fail
        _require_offered(findings)
    if not findings.verdict.is_refusal and not findings.on_free_plan:
        return _passed(event, quota_text.passed(findings))
    if properties["Mode"] == "warn":
        return _passed(event, quota_text.warning(findings))
    # An increase does not help an account on the free plan
    requests = properties["Mode"] == "request" and not findings.on_free_plan
    result = _request_increase(findings, clients.quotas) if requests else ""
    raise RefusedError(quota_text.refusal(findings, result))


def unknown(event: Event, why: str) -> Response:
    """The response if the check could not be made: the deploy continues."""
    return _passed(event, quota_text.unknown(why))


def _passed(event: Event, message: str) -> Response:
    physical_id = event.get("PhysicalResourceId") or f"{event['LogicalResourceId']}-passed"
    return Response(physical_id, {"Message": message})


def _need(new: Mapping[str, str], old: Mapping[str, str] | None, gpu_type: GpuType) -> Need:
    """VCPUs for a new machine, for the existing machine with a new type, or none."""
    if old is None or {**DEFAULTS, **old}["Generation"] != new["Generation"]:
        return Need(gpu_type.vcpus, replaces_own=False)
    if old.get("InstanceType") != new["InstanceType"]:
        return Need(gpu_type.vcpus, replaces_own=True)
    return Need(0, replaces_own=False)


def _collect_findings(
    event: Event, gpu_type: GpuType, need: Need, clients: Clients, pool: Executor
) -> Findings:
    """Makes all calls in parallel, so that the check takes as long as the slowest of them."""
    code = gpu_type.quota_code
    quota_future = pool.submit(_known, lambda: _quota(clients.quotas, code))
    instances_future = pool.submit(_known, lambda: _instances(clients.ec2, event["StackId"]))
    zones_future = pool.submit(_known, lambda: zones_offering(clients.ec2, gpu_type.name))
    requests_future = pool.submit(_known, lambda: _open_requests(clients.quotas, code))
    plan_future = pool.submit(_known, lambda: account_plan.is_free(clients.plans))
    quota, instances = quota_future.result(), instances_future.result()
    own = [i for i in instances.value or () if i.own and i.state != "terminated"]
    return Findings(
        gpu_type=gpu_type,
        framework=(DEFAULTS | event["ResourceProperties"])["Framework"],
        region=clients.ec2.meta.region_name,
        quota_name=quota.value.get("QuotaName", "") if quota.value else "",
        verdict=_judge(need, quota.value, instances.value, clients.ec2),
        unknown=tuple(fact.why for fact in (quota, instances) if fact.why),
        zones=zones_future.result().value,
        machine_zone=own[0].zone if own and need.replaces_own else "",
        own_instance_ids=tuple(i.instance_id for i in own if i.state in ("pending", "running")),
        open_requests=tuple(requests_future.result().value or ()),
        on_free_plan=bool(need.vcpus and plan_future.result().value),
    )


@dataclass(frozen=True)
class _Fact:
    value: Any
    why: str = ""


def _known(find: Callable[[], Any]) -> _Fact:
    """The value, or the reason why it is unknown."""
    try:
        return _Fact(find())
    except UnknownError as why:
        return _Fact(None, str(why))
    except ClientError as error:
        return _Fact(None, f"{error.operation_name}: {error_code(error)}")
    # A response without documented members must not fail the deploy
    except NOT_UNDERSTOOD as fault:
        log.exception("unexpected response of AWS")
        return _Fact(None, f"unexpected response of AWS ({type(fault).__name__})")


def _quota(client: ServiceQuotasClient, code: str) -> ServiceQuotaTypeDef:
    """The applied quota, or AWS's default if the account has no applied value."""
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
        reason = quota.get("ErrorReason", {}).get("ErrorCode", f"a value of {limit}")
        raise UnknownError(f"quota {code}: Service Quotas returned no value ({reason})")
    usage_class = _usage_class(quota)
    if usage_class not in KNOWN_CLASSES:
        raise UnknownError(f"quota {code}: unsupported usage class {usage_class or 'none'}")
    return quota


def _usage_class(quota: ServiceQuotaTypeDef) -> str:
    return quota.get("UsageMetric", {}).get("MetricDimensions", {}).get("Class", "")


def _instances(ec2: EC2Client, stack_id: str) -> list[Instance]:
    """The account's GPU instances in the region; those of this stack have ``own`` set."""
    patterns = [f"{letters}*" for family in FAMILIES.values() for letters in family]
    pages = ec2.get_paginator("describe_instances")
    response = call_aws(
        "instances in use",
        lambda: pages.paginate(
            Filters=[{"Name": "instance-type", "Values": patterns}]
        ).build_full_result(),
    )
    return [
        _instance(row, stack_id)
        for reservation in response.get("Reservations", [])
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
    if uncatalogued:  # retired types, or types newer than the catalog
        vcpus |= _known(lambda: _default_vcpus(ec2, uncatalogued)).value or {}
    return judge(need, _usage_class(quota), quota["Value"], instances, vcpus)


def _default_vcpus(ec2: EC2Client, types: set[str]) -> dict[str, int]:
    names = cast("list[InstanceTypeType]", sorted(types))
    response = call_aws("vCPUs of types", lambda: ec2.describe_instance_types(InstanceTypes=names))
    return {t["InstanceType"]: t["VCpuInfo"]["DefaultVCpus"] for t in response["InstanceTypes"]}


def _open_requests(client: ServiceQuotasClient, code: str) -> list[OpenRequest]:
    pages = client.get_paginator("list_requested_service_quota_change_history_by_quota")
    response = call_aws(
        "quota increase requests",
        lambda: pages.paginate(ServiceCode="ec2", QuotaCode=code).build_full_result(),
    )
    return [
        _open_request(row)
        for row in response.get("RequestedQuotas", [])
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
    """Checks that the existing machine's zone, or any zone for a new one, offers the type.

    Raises:
        RefusedError: It does not; the message lists the zones that do.
    """
    name, zones = findings.gpu_type.name, findings.zones or []
    if not zones:
        raise RefusedError(
            f"instance_type={name}: no zone of {findings.region} offers it; use another type or "
            "another region"
        )
    if findings.machine_zone and findings.machine_zone not in zones:
        raise RefusedError(
            f"instance_type={name}: the machine is in {findings.machine_zone}, and only "
            f"{', '.join(zones)} offer this type; use another type, or another generation to "
            "build a new machine there"
        )


def _request_increase(findings: Findings, client: ServiceQuotasClient) -> str:
    """Requests an increase unless a request is open; returns the result as a clause."""
    verdict, code = findings.verdict, findings.gpu_type.quota_code
    if findings.open_requests:
        return "no new request: one is open"
    try:
        request = call_aws(
            f"increase of {code}",
            lambda: client.request_service_quota_increase(
                ServiceCode="ec2", QuotaCode=code, DesiredValue=float(verdict.desired)
            ),
        )["RequestedQuota"]
    except UnknownError as why:
        return f"the increase was not requested, {why}"
    except ClientError as error:
        if error_code(error) == "ResourceAlreadyExistsException":
            return "no new request: one is open"
        return f"the increase was not requested, {error_code(error)}"
    request_id, status = request.get("Id", "without an id"), request.get("Status", "status unknown")
    return f"requested {verdict.desired} vCPUs: request {request_id} ({status})"
