"""Reads a vCPU quota and what counts against it, for the deploy's check and for the command."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, TypeVar, cast

from botocore.exceptions import ClientError

from gpustation.aws.calls import NOT_UNDERSTOOD, UnknownError, call_aws, error_code
from gpustation.aws.spot import read_requests
from gpustation.catalog.capacity import HOLD_TAG
from gpustation.catalog.gpu_types import gpu_types
from gpustation.catalog.quotas import (
    FAMILIES,
    KNOWN_CLASSES,
    Instance,
    Need,
    OpenRequest,
    Reservation,
    Verdict,
    is_of,
    judge,
)

if TYPE_CHECKING:
    from mypy_boto3_ec2 import EC2Client
    from mypy_boto3_ec2.literals import InstanceTypeType
    from mypy_boto3_ec2.type_defs import CapacityReservationTypeDef, InstanceTypeDef
    from mypy_boto3_service_quotas import ServiceQuotasClient
    from mypy_boto3_service_quotas.type_defs import (
        RequestedServiceQuotaChangeTypeDef,
        ServiceQuotaTypeDef,
    )

OPEN_STATUSES = ("PENDING", "CASE_OPENED")
"""Statuses of a request that AWS has not decided."""

log = logging.getLogger(__name__)
T = TypeVar("T")


@dataclass(frozen=True)
class Fact(Generic[T]):
    """A value, or the reason why it is unknown."""

    value: T | None
    why: str = ""


def known(find: Callable[[], T]) -> Fact[T]:
    """The value, or the reason why it is unknown."""
    try:
        return Fact(find())
    except UnknownError as why:
        return Fact(None, str(why))
    except ClientError as error:
        return Fact(None, f"{error.operation_name}: {error_code(error)}")
    # A response without documented members must not fail the deploy
    except NOT_UNDERSTOOD as fault:
        log.exception("unexpected response of AWS")
        return Fact(None, f"unexpected response of AWS ({type(fault).__name__})")


def read_quota(
    client: ServiceQuotasClient, code: str, *, patience: float | None = None
) -> ServiceQuotaTypeDef:
    """The applied quota, or AWS's default if the account has no applied value.

    Raises:
        UnknownError: It could not be read, or is not counted in vCPUs of a known class.
        ClientError: Another refusal of the service.
    """
    try:
        quota = call_aws(
            f"quota {code}",
            lambda: client.get_service_quota(ServiceCode="ec2", QuotaCode=code),
            patience=patience,
        )["Quota"]
    except ClientError as error:
        if error_code(error) != "NoSuchResourceException":
            raise
        quota = call_aws(
            f"default of quota {code}",
            lambda: client.get_aws_default_service_quota(ServiceCode="ec2", QuotaCode=code),
            patience=patience,
        )["Quota"]
    limit = quota.get("Value")
    if limit is None or not math.isfinite(limit):
        reason = quota.get("ErrorReason", {}).get("ErrorCode", f"a value of {limit}")
        raise UnknownError(f"quota {code}: Service Quotas returned no value ({reason})")
    usage_class = _usage_class(quota)
    if usage_class not in KNOWN_CLASSES:
        raise UnknownError(f"quota {code}: unsupported usage class {usage_class or 'none'}")
    return quota


def read_instances(
    ec2: EC2Client, stack_id: str = "", *, patience: float | None = None
) -> list[Instance]:
    """The account's GPU instances in the region.

    Args:
        ec2: Client of the region.
        stack_id: Stack whose instances have ``own`` set. Default: none.
        patience: See ``call_aws``, as in the functions below.

    Raises:
        UnknownError: They could not be read.
        ClientError: Another refusal of the service.
    """
    patterns = [f"{letters}*" for family in FAMILIES.values() for letters in family]
    pages = ec2.get_paginator("describe_instances")
    response = call_aws(
        "instances in use",
        lambda: pages.paginate(
            Filters=[{"Name": "instance-type", "Values": patterns}]
        ).build_full_result(),
        patience=patience,
    )
    return [
        _instance(row, stack_id)
        for reservation in response.get("Reservations", [])
        for row in reservation.get("Instances", [])
    ]


def read_open_spot_requests(ec2: EC2Client, *, patience: float | None = None) -> list[Instance]:
    """Machines that open spot requests may launch at any moment; they count as if they ran.

    Raises:
        UnknownError: They could not be read.
        ClientError: Another refusal of the service.
    """
    return [
        Instance(
            instance_id=row["SpotInstanceRequestId"],
            instance_type=row.get("LaunchSpecification", {}).get("InstanceType", ""),
            state="pending",
            lifecycle="spot",
        )
        for row in read_requests(ec2, {}, states=("open",), patience=patience)
    ]


def read_reservations(
    ec2: EC2Client, account: str, stack_id: str = "", *, patience: float | None = None
) -> list[Reservation]:
    """The region's on-demand capacity reservations that the account can launch into.

    Capacity Blocks are left out, as they do not count against on-demand quotas.

    Args:
        ec2: Client of the region.
        account: Id of the account.
        stack_id: Stack whose own holds are left out: its machine is launched into them. Default:
            none.
        patience: See ``call_aws``.

    Raises:
        UnknownError: They could not be read.
        ClientError: Another refusal of the service.
    """
    pages = ec2.get_paginator("describe_capacity_reservations")
    response = call_aws(
        "capacity reservations",
        lambda: pages.paginate(
            Filters=[{"Name": "state", "Values": ["active", "pending"]}]
        ).build_full_result(),
        patience=patience,
    )
    return [
        _reservation(row, account)
        for row in response.get("CapacityReservations", [])
        if row.get("ReservationType", "default") == "default"
        and not (stack_id and _hold_of(row) == stack_id)
    ]


def read_open_requests(
    client: ServiceQuotasClient, code: str, *, patience: float | None = None
) -> list[OpenRequest]:
    """Requests to raise the quota that AWS has not decided.

    Raises:
        UnknownError: They could not be read.
        ClientError: Another refusal of the service.
    """
    pages = client.get_paginator("list_requested_service_quota_change_history_by_quota")
    response = call_aws(
        "quota increase requests",
        lambda: pages.paginate(ServiceCode="ec2", QuotaCode=code).build_full_result(),
        patience=patience,
    )
    return [
        read_request(row)
        for row in response.get("RequestedQuotas", [])
        if row.get("Status") in OPEN_STATUSES
    ]


def file_request(
    client: ServiceQuotasClient, code: str, vcpus: int, *, patience: float | None = None
) -> OpenRequest | None:
    """Requests a higher quota; ``None`` if a request is open, of which AWS takes only one.

    Raises:
        UnknownError: It could not be filed.
        ClientError: Another refusal of the service.
    """
    try:
        response = call_aws(
            f"increase of {code}",
            lambda: client.request_service_quota_increase(
                ServiceCode="ec2", QuotaCode=code, DesiredValue=float(vcpus)
            ),
            patience=patience,
        )
    except ClientError as error:
        if error_code(error) == "ResourceAlreadyExistsException":
            return None
        raise
    return read_request(response["RequestedQuota"])


def read_request(row: RequestedServiceQuotaChangeTypeDef) -> OpenRequest:
    """A request, whose members may be missing."""
    wanted = row.get("DesiredValue", math.nan)
    return OpenRequest(
        request_id=row.get("Id", "without an id"),
        status=row.get("Status", ""),
        vcpus=int(wanted) if math.isfinite(wanted) else None,
        day=row["Created"].date().isoformat() if "Created" in row else "",
    )


def compare(
    need: Need,
    quota: ServiceQuotaTypeDef | None,
    instances: list[Instance] | None,
    reservations: list[Reservation] | None,
    ec2: EC2Client | None,
    *,
    patience: float | None = None,
) -> Verdict:
    """Compares the need with the quota; ``None`` means unknown.

    Args:
        need: vCPUs that are needed.
        quota: The quota.
        instances: The account's GPU instances.
        reservations: The account's capacity reservations.
        ec2: Is asked for the vCPUs of types that the catalog does not have; with ``None`` the use
            is unknown if such types run.
        patience: See ``call_aws``.
    """
    if quota is None:
        return Verdict(need.vcpus, None, None)
    vcpus = {name: t.vcpus for name, t in gpu_types().items()}
    used = {one.instance_type for one in [*(instances or ()), *(reservations or ())]}
    usage_class = _usage_class(quota)
    uncatalogued = {name for name in used if is_of(name, usage_class)} - set(vcpus)
    if uncatalogued and ec2 is not None:  # retired types, or types newer than the catalog
        vcpus |= known(lambda: _default_vcpus(ec2, uncatalogued, patience)).value or {}
    return judge(need, usage_class, quota["Value"], instances, vcpus, reservations)


def _usage_class(quota: ServiceQuotaTypeDef) -> str:
    return quota.get("UsageMetric", {}).get("MetricDimensions", {}).get("Class", "")


def _instance(row: InstanceTypeDef, stack_id: str) -> Instance:
    return Instance(
        instance_id=row["InstanceId"],
        instance_type=row["InstanceType"],
        state=row["State"]["Name"],
        zone=row.get("Placement", {}).get("AvailabilityZone", ""),
        lifecycle=row.get("InstanceLifecycle", ""),
        own={"Key": "aws:cloudformation:stack-id", "Value": stack_id} in row.get("Tags", []),
        reservation=row.get("CapacityReservationId", ""),
    )


def _reservation(row: CapacityReservationTypeDef, account: str) -> Reservation:
    plain = (row.get("InstancePlatform"), row.get("Tenancy", "default")) == (
        "Linux/UNIX",
        "default",
    )
    return Reservation(
        reservation_id=row["CapacityReservationId"],
        instance_type=row["InstanceType"],
        total=row["TotalInstanceCount"],
        unused=row["AvailableInstanceCount"],
        zone=row.get("AvailabilityZone", ""),
        owned=row.get("OwnerId", account) == account,
        # Another stack's hold is meant for that stack's machine
        open=plain and row.get("InstanceMatchCriteria") == "open" and not _hold_of(row),
    )


def _hold_of(row: CapacityReservationTypeDef) -> str:
    """Id of the stack for whose machine it is held; empty for a reservation of the person."""
    return next((tag["Value"] for tag in row.get("Tags", []) if tag["Key"] == HOLD_TAG), "")


def _default_vcpus(ec2: EC2Client, types: set[str], patience: float | None) -> dict[str, int]:
    names = cast("list[InstanceTypeType]", sorted(types))
    response = call_aws(
        "vCPUs of types",
        lambda: ec2.describe_instance_types(InstanceTypes=names),
        patience=patience,
    )
    return {t["InstanceType"]: t["VCpuInfo"]["DefaultVCpus"] for t in response["InstanceTypes"]}
