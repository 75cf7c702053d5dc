"""The vCPU quota of a type, requests to raise it, and waiting for AWS's decision.

The calls and the arithmetic are those of the deploy's check (``aws/quotas.py``).
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from gpustation.aws.calls import UnknownError
from gpustation.aws.parallel import Calls
from gpustation.aws.quotas import (
    OPEN_STATUSES,
    compare,
    file_request,
    known,
    read_instances,
    read_open_requests,
    read_open_spot_requests,
    read_quota,
    read_request,
    read_reservations,
)
from gpustation.aws.session import explain
from gpustation.catalog.gpu_types import GpuType
from gpustation.catalog.quotas import Need, OpenRequest, Verdict
from gpustation.console.errors import CommandError
from gpustation.console.statuses import NO_ACCESS, TIMED_OUT
from gpustation.offers.reasons import reason

if TYPE_CHECKING:
    import boto3
    from mypy_boto3_service_quotas import ServiceQuotasClient

DEADLINE_SECONDS = 30.0
"""How long the calls may take together."""
POLL_SECONDS = 30.0
"""Pause between two looks at a request, which takes minutes to days."""
GRANTED = ("APPROVED",)
PATIENT = Config(
    retries={"mode": "standard", "total_max_attempts": 4}, connect_timeout=4, read_timeout=8
)


@dataclass(frozen=True)
class QuotaReport:
    """The quota of a type in a region.

    Attributes:
        gpu_type: The type.
        region: The region.
        spot: Whether it is the quota of spot machines.
        quota_code: Code of the quota.
        quota_name: AWS's name of the quota; empty if unknown.
        verdict: Comparison of need and quota.
        open_requests: Requests that AWS has not decided.
        unknown: A clause for each value that could not be determined.
    """

    gpu_type: GpuType
    region: str
    spot: bool
    quota_code: str
    quota_name: str
    verdict: Verdict
    open_requests: tuple[OpenRequest, ...]
    unknown: tuple[str, ...]

    @property
    def remedy(self) -> str:
        """The command that asks for more."""
        market = " --spot" if self.spot else ""
        return f"gpustation quota request {self.gpu_type.name}{market}"

    @property
    def suffices(self) -> bool | None:
        """Whether the machines fit; ``None`` if unknown."""
        if self.verdict.is_unknown:
            return None
        return not self.verdict.is_refusal


def code_of(gpu_type: GpuType, spot: bool) -> str:
    """Code of the quota that counts a machine.

    Raises:
        CommandError: AWS documents none for spot machines of this type.
    """
    if not spot:
        return gpu_type.quota_code
    if not gpu_type.spot_quota_code:
        raise CommandError(
            f"it is not known which spot quota counts a {gpu_type.name}: public tables disagree; "
            "see Service Quotas, Amazon EC2, in the console"
        )
    return gpu_type.spot_quota_code


def read_report(
    session: boto3.Session, gpu_type: GpuType, machines: int = 1, *, spot: bool = False
) -> QuotaReport:
    """Compares the quota with what further machines of the type need.

    Args:
        session: Session of the region.
        gpu_type: The type.
        machines: Number of machines that are launched beside those that run. Default: 1.
        spot: Whether they are spot machines. Default: false.

    Raises:
        CommandError: The spot quota of the type is not known.
        ClientError: The credentials are not accepted.
        BotoCoreError: AWS was not reached, or there are no credentials.
    """
    code = code_of(gpu_type, spot)
    account = session.client("sts", config=PATIENT).get_caller_identity()["Account"]
    ec2 = session.client("ec2", config=PATIENT)
    quotas = session.client("service-quotas", config=PATIENT)
    calls: dict[str, Callable[[], Any]] = {
        "quota": lambda: read_quota(quotas, code, patience=0),
        "instances": lambda: read_instances(ec2, patience=0),
        "reservations": lambda: read_reservations(ec2, account, patience=0),
        "waiting": lambda: read_open_spot_requests(ec2, patience=0) if spot else [],
        "requests": lambda: read_open_requests(quotas, code, patience=0),
    }
    results = Calls(calls, DEADLINE_SECONDS).results()
    values = {n: None if isinstance(r, Exception) else r for n, r in results.items()}
    quota = values["quota"]
    need = Need(
        gpu_type.vcpus * machines,
        replaces_own=False,
        instance_type=gpu_type.name if machines == 1 else "",
    )
    instances, waiting = values["instances"], values["waiting"]
    if instances is not None:
        instances = None if waiting is None else [*instances, *waiting]
    reservations = values["reservations"]
    verdict = compare(need, quota, instances, reservations, ec2, patience=0)
    return QuotaReport(
        gpu_type=gpu_type,
        region=ec2.meta.region_name,
        spot=spot,
        quota_code=code,
        quota_name=quota.get("QuotaName", "") if quota else "",
        verdict=verdict,
        open_requests=tuple(values["requests"] or ()),
        unknown=tuple(reason(r) for r in results.values() if isinstance(r, Exception)),
    )


def request(session: boto3.Session, report: QuotaReport) -> OpenRequest | None:
    """Files a request for what the report says is needed; ``None`` if one is open by now.

    Raises:
        CommandError: AWS refused it.
    """
    code = report.quota_code
    client = session.client("service-quotas", config=PATIENT)
    try:
        return file_request(client, code, report.verdict.desired, patience=0)
    except UnknownError as why:
        cause = why.__cause__
        is_denial = isinstance(cause, ClientError)
        text = explain(cause) if isinstance(cause, (ClientError, BotoCoreError)) else str(why)
        raise CommandError(
            f"the increase was not requested: {text}", NO_ACCESS if is_denial else 1
        ) from why


@dataclass(frozen=True)
class Decision:
    """AWS's decision on a request.

    Attributes:
        request: The request with its last status.
        granted: Whether the quota was raised as requested.
        limit: Value of the quota; ``None`` if unknown.
    """

    request: OpenRequest
    granted: bool
    limit: int | None


def last_request(session: boto3.Session, code: str) -> OpenRequest | None:
    """The open request for a quota, else the newest one; ``None`` if there is none.

    Raises:
        ClientError: AWS refused.
        BotoCoreError: AWS was not reached.
    """
    client = session.client("service-quotas", config=PATIENT)
    pages = client.get_paginator("list_requested_service_quota_change_history_by_quota")
    rows: list[Any] = [
        row
        for page in pages.paginate(ServiceCode="ec2", QuotaCode=code)
        for row in page["RequestedQuotas"]
    ]
    # Service Quotas does not document an order
    rows.sort(key=lambda row: (row.get("Status") in OPEN_STATUSES, row["Created"]))
    return read_request(rows[-1]) if rows else None


def watch(
    session: boto3.Session,
    code: str,
    followed: OpenRequest,
    seconds: float,
    say: Callable[[str], None],
) -> Decision:
    """Waits until AWS has decided the request.

    A request counts as granted if it is approved, or if the quota has the requested value: a closed
    case does not tell.

    Args:
        session: Session of the region.
        code: Code of the quota.
        followed: The request.
        seconds: How long to wait at most.
        say: Prints a line whenever the status changes.

    Raises:
        CommandError: The time is over (``TIMED_OUT``); the message has the last status.
        ClientError: AWS refused.
        BotoCoreError: AWS was not reached.
    """
    client = session.client("service-quotas", config=PATIENT)
    begin, last = time.monotonic(), ""
    while True:
        row = client.get_requested_service_quota_change(RequestId=followed.request_id)
        followed = read_request(row["RequestedQuota"])
        if followed.status != last:
            last = followed.status
            say(f"{last} after {time.monotonic() - begin:.0f} s")
        if last not in OPEN_STATUSES:
            return _decision(client, code, followed)
        if time.monotonic() - begin + POLL_SECONDS > seconds:
            raise CommandError(
                f"request {followed.request_id} is still {last} after {seconds:g} s; AWS decides "
                "in minutes to 3 working days, look again with `gpustation quota watch`",
                TIMED_OUT,
            )
        time.sleep(POLL_SECONDS)


def _decision(client: ServiceQuotasClient, code: str, decided: OpenRequest) -> Decision:
    quota = known(lambda: read_quota(client, code, patience=0)).value
    limit = None if quota is None else int(quota["Value"])
    raised = limit is not None and decided.vcpus is not None and limit >= decided.vcpus
    return Decision(decided, decided.status in GRANTED or raised, limit)
