"""Service Quotas of EC2: the table, the API's responses, and which quota a type uses.

Names, codes, defaults and classes: AWS General Reference, "EC2 endpoints and quotas", and
published outputs of `aws service-quotas list-service-quotas`, read 2026-11-23.
"""

from __future__ import annotations

import re
import time
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from localaws.account.errors import ApiError

if TYPE_CHECKING:
    from localaws.account.world import World

STANDARD_FAMILIES = "acdhimrtz"


@dataclass(frozen=True)
class Quota:
    """A quota in vCPUs, with the `Class` of its usage metric."""

    code: str
    name: str
    default: float
    usage_class: str


QUOTAS = (
    Quota("L-DB2E81BA", "Running On-Demand G and VT instances", 0, "G/OnDemand"),
    Quota("L-417A185B", "Running On-Demand P instances", 0, "P/OnDemand"),
    Quota("L-3819A6DF", "All G and VT Spot Instance Requests", 0, "G/Spot"),
    Quota("L-7212CCBC", "All P4, P3 and P2 Spot Instance Requests", 0, "P/Spot"),
    Quota("L-C4BD4855", "All P5 Spot Instance Requests", 0, "P5/Spot"),
    Quota(
        "L-1216C47A",
        "Running On-Demand Standard (A, C, D, H, I, M, R, T, Z) instances",
        5,
        "Standard/OnDemand",
    ),
    Quota(
        "L-34B43A08",
        "All Standard (A, C, D, H, I, M, R, T, Z) Spot Instance Requests",
        5,
        "Standard/Spot",
    ),
)
CODES = {quota.code: quota for quota in QUOTAS}


@dataclass
class QuotaRequest:
    """A request to raise a quota."""

    id: str
    code: str
    value: float
    created: float
    status: str = "PENDING"

    @property
    def is_open(self) -> bool:
        """Whether AWS has not decided it."""
        return self.status in ("PENDING", "CASE_OPENED")

    @classmethod
    def new(cls, code: str, value: float) -> QuotaRequest:
        """A request filed now, with an id like AWS's (32 hex digits and eight letters)."""
        return cls(f"{uuid.uuid4().hex}{uuid.uuid4().hex[:8]}", code, value, time.time())

    def shown(self, region: str, account: str) -> dict[str, Any]:
        """As the API shows it."""
        return {
            "Id": self.id,
            "ServiceCode": "ec2",
            "ServiceName": "Amazon Elastic Compute Cloud (Amazon EC2)",
            "QuotaCode": self.code,
            "QuotaName": CODES[self.code].name,
            "DesiredValue": self.value,
            "Status": self.status,
            "Created": self.created,
            "LastUpdated": self.created,
            "QuotaArn": _arn(region, account, self.code),
            "GlobalQuota": False,
            "Unit": "None",
            "QuotaRequestedAtLevel": "ACCOUNT",
        }


def bucket(instance_type: str, spot: bool) -> str | None:
    """Code of the quota that a type uses; None for families that are not in the table."""
    family = re.match(r"[a-z]+", instance_type.replace("u-", "u"))
    letters = family.group() if family else ""
    if letters in ("g", "gr", "vt"):
        return "L-3819A6DF" if spot else "L-DB2E81BA"
    if letters == "p":
        newer = instance_type.startswith(("p5", "p6"))
        return ("L-C4BD4855" if newer else "L-7212CCBC") if spot else "L-417A185B"
    if letters[:1] in tuple(STANDARD_FAMILIES) and letters not in (
        "dl",
        "inf",
        "trn",
        "hpc",
        "mac",
    ):
        return "L-34B43A08" if spot else "L-1216C47A"
    return None


def limit(world: World, code: str) -> float:
    """The limit in vCPUs: the applied value, else the default, else 0."""
    return world.applied.get(code, world.defaults.get(code, 0.0))


Response = dict[str, Any]
Handler = Callable[["World", Mapping[str, Any], str, str], Response]


def get_service_quota(
    world: World, request: Mapping[str, Any], region: str, account: str
) -> Response:
    """The applied value."""
    code = _known(world, request)
    if code not in world.applied:
        raise _missing()
    return {"Quota": _quota(code, world.applied[code], region, account)}


def get_default(world: World, request: Mapping[str, Any], region: str, account: str) -> Response:
    """AWS's default value."""
    code = _known(world, request)
    if code not in world.defaults:
        raise _missing()
    return {"Quota": _quota(code, world.defaults[code], region, account)}


def list_requests(world: World, request: Mapping[str, Any], region: str, account: str) -> Response:
    """Requests for one quota, newest first."""
    code = _known(world, request)
    requests = [r for r in world.requests if r.code == code]
    return {"RequestedQuotas": [r.shown(region, account) for r in reversed(requests)]}


def request_increase(
    world: World, request: Mapping[str, Any], region: str, account: str
) -> Response:
    """File a request, unless a request is open."""
    code, value = _known(world, request), float(request["DesiredValue"])
    if any(r.code == code and r.is_open for r in world.requests):
        raise ApiError(
            "ResourceAlreadyExistsException",
            "Only one open service quota increase request is allowed per quota.",
        )
    if value <= limit(world, code):
        raise ApiError(
            "IllegalArgumentException",
            "You must provide a quota value greater than the current quota value",
        )
    increase = QuotaRequest.new(code, value)
    world.requests.append(increase)
    return {"RequestedQuota": increase.shown(region, account)}


def get_request(world: World, request: Mapping[str, Any], region: str, account: str) -> Response:
    """One request by its id."""
    for one in world.requests:
        if one.id == request.get("RequestId"):
            return {"RequestedQuota": one.shown(region, account)}
    raise _missing()


HANDLERS: dict[str, Handler] = {
    "GetRequestedServiceQuotaChange": get_request,
    "GetServiceQuota": get_service_quota,
    "GetAWSDefaultServiceQuota": get_default,
    "ListRequestedServiceQuotaChangeHistoryByQuota": list_requests,
    "RequestServiceQuotaIncrease": request_increase,
}


def _known(world: World, request: Mapping[str, Any]) -> str:
    code = str(request.get("QuotaCode"))
    if request.get("ServiceCode") != "ec2" or code not in CODES:
        raise _missing()
    return code


def _missing() -> ApiError:
    return ApiError(
        "NoSuchResourceException",
        "The request failed because the specified service quota does not exist.",
    )


def _arn(region: str, account: str, code: str) -> str:
    return f"arn:aws:servicequotas:{region}:{account}:ec2/{code}"


def _quota(code: str, value: float, region: str, account: str) -> Response:
    return {
        "ServiceCode": "ec2",
        "ServiceName": "Amazon Elastic Compute Cloud (Amazon EC2)",
        "QuotaArn": _arn(region, account, code),
        "QuotaCode": code,
        "QuotaName": CODES[code].name,
        "Value": value,
        "Unit": "None",
        "Adjustable": True,
        "GlobalQuota": False,
        "UsageMetric": {
            "MetricNamespace": "AWS/Usage",
            "MetricName": "ResourceCount",
            "MetricDimensions": {
                "Class": CODES[code].usage_class,
                "Resource": "vCPU",
                "Service": "EC2",
                "Type": "Resource",
            },
            "MetricStatisticRecommendation": "Maximum",
        },
        "QuotaAppliedAtLevel": "ACCOUNT",
    }
