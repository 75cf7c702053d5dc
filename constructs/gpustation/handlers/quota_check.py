"""Checks the vCPU quota before a deploy creates anything that is billed.

It fails only a deploy that is certain to fail later. If a value is unknown, the deploy continues
and its output says so.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError

from gpustation.aws import account_plan
from gpustation.aws.calls import RETRIES, UnknownError, call_aws, error_code
from gpustation.aws.price_list import API_REGION, from_price_list
from gpustation.aws.quotas import (
    compare,
    file_request,
    known,
    read_instances,
    read_open_requests,
    read_open_spot_requests,
    read_quota,
    read_reservations,
)
from gpustation.aws.stacks import is_rolling_back
from gpustation.aws.zones import zones_offering
from gpustation.catalog.gpu_types import GpuType, gpu_types
from gpustation.catalog.prices import CATALOG_ORIGIN
from gpustation.catalog.quotas import Need
from gpustation.catalog.spot import SpotMode
from gpustation.handlers import quota_text
from gpustation.handlers.quota_text import Findings
from gpustation.handlers.responder import Event, RefusedError, Response, respond

if TYPE_CHECKING:
    from mypy_boto3_cloudformation import CloudFormationClient
    from mypy_boto3_ec2 import EC2Client
    from mypy_boto3_pricing import PricingClient
    from mypy_boto3_service_quotas import ServiceQuotasClient
    from mypy_boto3_service_quotas.type_defs import ServiceQuotaTypeDef

DEFAULTS = {
    "Framework": "mxnet",
    "Generation": "1",
    "Mode": "enforce",
    "Price": "false",
    "Spot": "false",
}
"""Values of properties that templates of other versions lack."""

NO_PRICE = "unknown"
"""In place of a price. CloudFormation's documentation does not say whether an attribute may be
empty."""

PRICE_PATIENCE_SECONDS = 20.0
"""How long a denial of the price list is retried, as a new role's policy takes effect late. A
deploy can do without the price, so it is shorter than for the other calls."""

_BRIEF = Config(
    retries={"mode": "standard", "total_max_attempts": 2}, connect_timeout=2, read_timeout=5
)


log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Clients:
    """The AWS clients of the check.

    Without ``plans`` the account's plan is unknown; without ``pricing`` the region's prices are.
    """

    cloudformation: CloudFormationClient
    ec2: EC2Client
    quotas: ServiceQuotasClient
    plans: account_plan.FreeTierClient | None = None
    pricing: PricingClient | None = None


def on_event(event: dict[str, Any], context: object) -> None:
    """Entry point of the Lambda function."""
    with ThreadPoolExecutor(max_workers=7) as pool:
        respond(event, context, lambda request: decide(request, _clients(), pool), unknown)


def _clients() -> Clients:
    ec2 = boto3.client("ec2", config=RETRIES)
    prices = API_REGION.get(ec2.meta.partition)
    return Clients(
        boto3.client("cloudformation", config=RETRIES),
        ec2,
        boto3.client("service-quotas", config=RETRIES),
        account_plan.client(ec2.meta.partition),
        boto3.client("pricing", region_name=prices, config=_BRIEF) if prices else None,
    )


def decide(event: Event, clients: Clients, pool: Executor) -> Response:
    """Passes with a sentence for the output ``Quota``, or refuses with a remedy.

    Raises:
        RefusedError: The quota is known to be too small, no zone offers the type, or the account's
            plan has no GPU types.
    """
    updating = event["RequestType"] == "Update"
    price = pool.submit(_read_price, event, clients)
    if updating and is_rolling_back(clients.cloudformation, event):
        return _passed(event, "not checked: the stack was rolling back", price.result())
    properties = DEFAULTS | event["ResourceProperties"]
    gpu_type = gpu_types()[properties["InstanceType"]]
    need = _need(properties, event.get("OldResourceProperties"), gpu_type)
    spot = SpotMode(properties["Spot"])
    findings = _collect_findings(event, gpu_type, need, clients, pool, spot is SpotMode.TRUE)
    if spot is SpotMode.PREFER and findings.verdict.is_refusal:
        of_spot = _collect_findings(event, gpu_type, need, clients, pool, True)
        if of_spot.verdict.free is not None and not of_spot.verdict.is_refusal:
            findings = of_spot
    if need.vcpus and findings.zones is not None:  # in every mode: the launch would fail
        _require_offered(findings)
    if not findings.verdict.is_refusal and not findings.on_free_plan:
        return _passed(event, quota_text.passed(findings), price.result())
    if properties["Mode"] == "warn":
        return _passed(event, quota_text.warning(findings), price.result())
    # An increase does not help an account on the free plan
    requests = properties["Mode"] == "request" and not findings.on_free_plan
    result = _request_increase(findings, clients.quotas) if requests else ""
    raise RefusedError(quota_text.refusal(findings, result))


def unknown(event: Event, why: str) -> Response:
    """The response if the check could not be made: the deploy continues."""
    return _passed(event, quota_text.unknown(why), _catalog_price(event))


def _passed(event: Event, message: str, price: Mapping[str, str]) -> Response:
    physical_id = event.get("PhysicalResourceId") or f"{event['LogicalResourceId']}-passed"
    return Response(physical_id, {"Message": message, **price})


def _catalog_price(event: Event) -> dict[str, str]:
    """The attributes of the price without AWS; each response has them: templates refer to them."""
    gpu_type = gpu_types().get(event["ResourceProperties"].get("InstanceType", ""))
    usd = gpu_type.usd_per_hour if gpu_type else None
    return {"UsdPerHour": str(usd or NO_PRICE), "PriceOf": CATALOG_ORIGIN}


def _read_price(event: Event, clients: Clients) -> dict[str, str]:
    """The price in AWS's price list, if the template uses it; else the catalog's."""
    properties = DEFAULTS | event["ResourceProperties"]
    pricing, region = clients.pricing, clients.ec2.meta.region_name
    if properties["Price"] != "true" or pricing is None:
        return _catalog_price(event)
    fact = known(
        lambda: call_aws(
            "price",
            lambda: from_price_list(pricing, region, properties["InstanceType"]),
            patience=PRICE_PATIENCE_SECONDS,
        )
    )
    if fact.value is None or fact.value.usd_per_hour is None:
        log.warning(
            "the catalog's price is used: %s", fact.why or "the price list has no single price"
        )
        return _catalog_price(event)
    origin = f"{region} list price of {fact.value.as_of}"
    return {"UsdPerHour": str(round(fact.value.usd_per_hour, 4)), "PriceOf": origin}


def _need(new: Mapping[str, str], old: Mapping[str, str] | None, gpu_type: GpuType) -> Need:
    """VCPUs for a new machine, for the existing machine with a new type, or none."""
    if old is None or {**DEFAULTS, **old}["Generation"] != new["Generation"]:
        return Need(gpu_type.vcpus, replaces_own=False, instance_type=gpu_type.name)
    if old.get("InstanceType") != new["InstanceType"]:
        return Need(gpu_type.vcpus, replaces_own=True, instance_type=gpu_type.name)
    return Need(0, replaces_own=False)


def _collect_findings(
    event: Event, gpu_type: GpuType, need: Need, clients: Clients, pool: Executor, spot: bool
) -> Findings:
    """Makes all calls in parallel, so that the check takes as long as the slowest of them."""
    code = gpu_type.spot_quota_code if spot else gpu_type.quota_code
    ec2, stack_id = clients.ec2, event["StackId"]
    quota_future = pool.submit(known, lambda: _quota(clients, gpu_type, code))
    instances_future = pool.submit(known, lambda: read_instances(ec2, stack_id))
    reservations_future = pool.submit(known, lambda: read_reservations(ec2, _account(stack_id)))
    zones_future = pool.submit(known, lambda: zones_offering(ec2, gpu_type.name))
    waiting_future = pool.submit(known, lambda: read_open_spot_requests(ec2) if spot else [])
    requests_future = pool.submit(known, lambda: read_open_requests(clients.quotas, code))
    plan_future = pool.submit(known, lambda: account_plan.is_free(clients.plans))
    quota, instances = quota_future.result(), instances_future.result()
    reservations, waiting = reservations_future.result(), waiting_future.result()
    using = None
    if instances.value is not None and waiting.value is not None:
        using = [*instances.value, *waiting.value]
    own = [i for i in instances.value or () if i.own and i.state != "terminated"]
    return Findings(
        gpu_type=gpu_type,
        framework=(DEFAULTS | event["ResourceProperties"])["Framework"],
        region=ec2.meta.region_name,
        quota_code=code,
        quota_name=quota.value.get("QuotaName", "") if quota.value else "",
        verdict=compare(need, quota.value, using, reservations.value, ec2),
        unknown=tuple(fact.why for fact in (quota, instances, waiting, reservations) if fact.why),
        zones=zones_future.result().value,
        machine_zone=own[0].zone if own and need.replaces_own else "",
        own_instance_ids=tuple(i.instance_id for i in own if i.state in ("pending", "running")),
        open_requests=tuple(requests_future.result().value or ()),
        on_free_plan=bool(need.vcpus and plan_future.result().value),
    )


def _quota(clients: Clients, gpu_type: GpuType, code: str) -> ServiceQuotaTypeDef:
    if not code:
        raise UnknownError(f"it is not known which spot quota counts a {gpu_type.name}")
    return read_quota(clients.quotas, code)


def _account(stack_id: str) -> str:
    """The account in the stack's ARN."""
    return stack_id.split(":")[4]


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
    verdict, code = findings.verdict, findings.quota_code
    if findings.open_requests:
        return "no new request: one is open"
    try:
        request = file_request(client, code, verdict.desired)
    except UnknownError as why:
        return f"the increase was not requested, {why}"
    except ClientError as error:
        return f"the increase was not requested, {error_code(error)}"
    if request is None:
        return "no new request: one is open"
    status = request.status or "status unknown"
    return f"requested {verdict.desired} vCPUs: request {request.request_id} ({status})"
