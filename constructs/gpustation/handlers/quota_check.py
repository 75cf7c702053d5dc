"""Checks the vCPU quota before anything that costs exists.

Refuses only what is certain to fail; what cannot be found out is said to be unknown, and the
deploy goes on.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

import boto3
from botocore.exceptions import ClientError

from . import gpu_catalog, quota_text
from .aws_calls import RETRIES, UnknownError, ask, is_rolling_back, zones_offering
from .quota_arithmetic import FAMILIES, KNOWN_CLASSES, Instance, Need, Verdict, judge
from .quota_text import Findings, OpenRequest
from .responder import Answer, Event, RefusedError, respond

if TYPE_CHECKING:
    from mypy_boto3_cloudformation import CloudFormationClient
    from mypy_boto3_ec2 import EC2Client
    from mypy_boto3_ec2.literals import InstanceTypeType
    from mypy_boto3_service_quotas import ServiceQuotasClient
    from mypy_boto3_service_quotas.type_defs import ServiceQuotaTypeDef

OPEN_STATUSES = ("PENDING", "CASE_OPENED")


@dataclass(frozen=True)
class Clients:
    """The AWS clients that the check talks to."""

    cloudformation: CloudFormationClient
    ec2: EC2Client
    quotas: ServiceQuotasClient


def on_event(event: dict[str, Any], context: object) -> None:
    """Entry point of the Lambda function."""
    clients = Clients(
        boto3.client("cloudformation", config=RETRIES),
        boto3.client("ec2", config=RETRIES),
        boto3.client("service-quotas", config=RETRIES),
    )
    with ThreadPoolExecutor(max_workers=4) as pool:
        respond(event, context, lambda request: decide(request, clients, pool))


def decide(event: Event, clients: Clients, pool: Executor) -> Answer:
    """Passes with a sentence for the ``Quota`` output, or refuses with what to do.

    Raises:
        RefusedError: The quota is certain not to suffice, or no zone offers the type.
    """
    physical_id = event.get("PhysicalResourceId") or f"{event['LogicalResourceId']}-passed"
    updating = event["RequestType"] == "Update"
    if updating and is_rolling_back(clients.cloudformation, event):
        return Answer(physical_id, {"Message": "not checked: the stack was going back"})
    properties = event["ResourceProperties"]
    gpu_type = gpu_catalog.gpu_types()[properties["InstanceType"]]
    need = _need(event, gpu_type)
    findings = _find_out(event, gpu_type, need, clients, pool)
    if need.vcpus and findings.zones is not None:  # a fact, whatever the mode
        _require_offered(findings)
    if not findings.verdict.is_refusal:
        return Answer(physical_id, {"Message": quota_text.passed(findings)})
    if properties["Mode"] == "warn":
        return Answer(physical_id, {"Message": quota_text.warning(findings)})
    filed = _file_increase(findings, clients.quotas) if properties["Mode"] == "request" else ""
    raise RefusedError(quota_text.refusal(findings, filed))


def _need(event: Event, gpu_type: gpu_catalog.GpuType) -> Need:
    """What this deploy starts: nothing, a machine beside the old one, or the old one anew."""
    new, old = event["ResourceProperties"], event.get("OldResourceProperties")
    if old is None or old["Generation"] != new["Generation"]:
        return Need(gpu_type.vcpus, replaces_own=False)
    if old["InstanceType"] != new["InstanceType"]:
        return Need(gpu_type.vcpus, replaces_own=True)
    return Need(0, replaces_own=False)


def _find_out(
    event: Event, gpu_type: gpu_catalog.GpuType, need: Need, clients: Clients, pool: Executor
) -> Findings:
    """Asks AWS everything at once: a refusal takes as long as the slowest answer, not the sum."""
    code = gpu_type.quota_code
    asked_quota = pool.submit(_known, lambda: _quota(clients.quotas, code))
    asked_instances = pool.submit(_known, lambda: _instances(clients.ec2, event["StackId"]))
    asked_zones = pool.submit(_known, lambda: zones_offering(clients.ec2, gpu_type.name))
    asked_requests = pool.submit(_known, lambda: _open_requests(clients.quotas, code))
    quota, instances = asked_quota.result(), asked_instances.result()
    own = [i for i in instances.value or () if i.own and i.state != "terminated"]
    return Findings(
        gpu_type=gpu_type,
        framework=event["ResourceProperties"]["Framework"],
        region=clients.ec2.meta.region_name,
        quota_name=quota.value["QuotaName"] if quota.value else "",
        verdict=_judge(need, quota.value, instances.value, clients.ec2),
        unknown=tuple(fact.why for fact in (quota, instances) if fact.why),
        zones=asked_zones.result().value,
        machine_zone=own[0].zone if own and need.replaces_own else "",
        own_instance_ids=tuple(i.instance_id for i in own if i.state in ("pending", "running")),
        open_requests=tuple(asked_requests.result().value or ()),
    )


@dataclass(frozen=True)
class _Fact:
    value: Any
    why: str = ""


def _known(find: Callable[[], Any]) -> _Fact:
    """The fact, or why it is unknown."""
    try:
        return _Fact(find())
    except UnknownError as unknown:
        return _Fact(None, str(unknown))
    except ClientError as error:
        return _Fact(None, f"{error.operation_name}: {error.response['Error']['Code']}")


def _quota(client: ServiceQuotasClient, code: str) -> ServiceQuotaTypeDef:
    """The applied quota, or AWS's default where the account has no applied value."""
    try:
        quota = ask(
            f"quota {code}", lambda: client.get_service_quota(ServiceCode="ec2", QuotaCode=code)
        )["Quota"]
    except ClientError as error:
        if error.response["Error"]["Code"] != "NoSuchResourceException":
            raise
        quota = ask(
            f"default of quota {code}",
            lambda: client.get_aws_default_service_quota(ServiceCode="ec2", QuotaCode=code),
        )["Quota"]
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
    found = ask(
        "instances in use",
        lambda: pages.paginate(
            Filters=[{"Name": "instance-type", "Values": patterns}]
        ).build_full_result(),
    )
    return [
        Instance(
            instance_id=i["InstanceId"],
            instance_type=i["InstanceType"],
            state=i["State"]["Name"],
            zone=i["Placement"]["AvailabilityZone"],
            lifecycle=i.get("InstanceLifecycle", ""),
            own={"Key": "aws:cloudformation:stack-id", "Value": stack_id} in i.get("Tags", []),
        )
        for reservation in found["Reservations"]
        for i in reservation["Instances"]
    ]


def _judge(
    need: Need,
    quota: ServiceQuotaTypeDef | None,
    instances: list[Instance] | None,
    ec2: EC2Client,
) -> Verdict:
    if quota is None:
        return Verdict(need.vcpus, None, None)
    vcpus = {name: t.vcpus for name, t in gpu_catalog.gpu_types().items()}
    uncatalogued = {i.instance_type for i in instances or ()} - set(vcpus)
    if uncatalogued:  # retired or brand-new types that someone still runs
        vcpus |= _known(lambda: _default_vcpus(ec2, uncatalogued)).value or {}
    return judge(need, _usage_class(quota), quota["Value"], instances, vcpus)


def _default_vcpus(ec2: EC2Client, types: set[str]) -> dict[str, int]:
    names = cast("list[InstanceTypeType]", sorted(types))
    found = ask("vCPUs of types", lambda: ec2.describe_instance_types(InstanceTypes=names))
    return {t["InstanceType"]: t["VCpuInfo"]["DefaultVCpus"] for t in found["InstanceTypes"]}


def _open_requests(client: ServiceQuotasClient, code: str) -> list[OpenRequest]:
    pages = client.get_paginator("list_requested_service_quota_change_history_by_quota")
    found = ask(
        "requests for more quota",
        lambda: pages.paginate(ServiceCode="ec2", QuotaCode=code).build_full_result(),
    )
    return [
        OpenRequest(
            request_id=r["Id"],
            status=r["Status"],
            vcpus=int(r["DesiredValue"]),
            day=r["Created"].date().isoformat() if "Created" in r else "",
        )
        for r in found["RequestedQuotas"]
        if r["Status"] in OPEN_STATUSES
    ]


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
        request = ask(
            f"increase of {code}",
            lambda: client.request_service_quota_increase(
                ServiceCode="ec2", QuotaCode=code, DesiredValue=float(verdict.desired)
            ),
        )["RequestedQuota"]
    except UnknownError as unknown:
        return f"the increase was not filed, {unknown}"
    except ClientError as error:
        if error.response["Error"]["Code"] == "ResourceAlreadyExistsException":
            return "nothing more was filed: a request is open"
        return f"the increase was not filed, {error.response['Error']['Code']}"
    return f"filed for {verdict.desired} vCPUs: request {request['Id']} ({request['Status']})"
