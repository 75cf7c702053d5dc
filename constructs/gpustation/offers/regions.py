"""What each region of the account offers: asked of all of them at the same time."""

from __future__ import annotations

import functools
import socket
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import urlsplit

from botocore.config import Config

from gpustation.aws.parallel import Calls, DeadlineError
from gpustation.aws.price_list import Price, of_all_regions
from gpustation.aws.quotas import compare, read_instances, read_quota, read_reservations
from gpustation.aws.spot import lowest_prices
from gpustation.aws.zones import zones_by_type
from gpustation.catalog.gpu_types import GpuType, require_type
from gpustation.catalog.quotas import Need, Verdict, in_words
from gpustation.console.errors import CommandError
from gpustation.console.statuses import TIMED_OUT
from gpustation.offers.costs import price_client
from gpustation.offers.own_machine import DEFAULT_TYPE, own_machine
from gpustation.offers.reasons import reason

if TYPE_CHECKING:
    import boto3
    from mypy_boto3_ec2 import EC2Client
    from mypy_boto3_service_quotas import ServiceQuotasClient

DEADLINE_SECONDS = 9.0
"""How long all of it may take, without the start of the command."""
FIRST_SECONDS = 4.0
"""How long the list of the regions may take, which the other calls need."""
QUICK = Config(
    retries={"mode": "standard", "total_max_attempts": 1}, connect_timeout=2, read_timeout=3
)
WORKERS = 96
"""Calls at a time: half a dozen for each of thirty regions, so that two that hang hold up none."""
LATENCY_SECONDS = 1.5
"""How long the connections that measure latency may take; the farthest regions need 0.3 s each."""
CONNECTIONS = 3
"""Connections whose median time is a region's latency."""
NOT_ENABLED = "not-opted-in"

SUITS, TOO_SMALL, NOT_OFFERED = "suits", "quota too small", "not offered"
UNKNOWN, DISABLED = "unknown", "not enabled"
VERDICTS = (SUITS, TOO_SMALL, UNKNOWN, NOT_OFFERED, DISABLED)
"""Verdicts on a region, best first."""


@dataclass(frozen=True)
class Row:
    """A type in a region; ``None`` means unknown, and ``unknown`` has the reason.

    Attributes:
        region: Name of the region.
        instance_type: The type.
        opt_in_status: Whether the account has enabled the region, as EC2 spells it.
        zones: Zones that offer the type.
        quota: Comparison of the quota with what one more machine needs.
        price: On-demand price.
        spot: Lowest spot price of its zones in USD per hour.
        latency: Median time of a TCP connection to its EC2 endpoint from here, in milliseconds.
        unknown: Why values are unknown, by ``zones``, ``quota``, ``price``, ``spot``, ``latency``.
    """

    region: str
    instance_type: str
    opt_in_status: str
    zones: list[str] | None = None
    quota: Verdict | None = None
    price: Price | None = None
    spot: float | None = None
    latency: float | None = None
    unknown: Mapping[str, str] = field(default_factory=dict)

    @property
    def verdict(self) -> str:
        """One of ``VERDICTS``. It rests on zones and quota only, and is good only with both."""
        if self.opt_in_status == NOT_ENABLED:
            return DISABLED
        if self.zones == []:
            return NOT_OFFERED
        if self.quota is not None and self.quota.is_refusal:
            return TOO_SMALL
        if self.zones is None or self.quota is None or self.quota.is_unknown:
            return UNKNOWN
        return SUITS

    @property
    def reason(self) -> str:
        """The signals that the verdict rests on, or why it is not good."""
        verdict, quota = self.verdict, self.quota
        if verdict == DISABLED:
            return "the account must enable it"
        if verdict == NOT_OFFERED:
            return "no zone offers the type"
        if verdict == UNKNOWN:
            reasons = [self.unknown[name] for name in ("zones", "quota") if name in self.unknown]
            return "; ".join(dict.fromkeys(reasons))
        assert quota is not None
        if verdict == TOO_SMALL:
            return f"{quota.needed} vCPUs needed, {in_words(quota.free)} of {quota.limit} free"
        if quota.needs_reservation:
            return f"room in the reservation in {', '.join(quota.room_in)}"
        missing = [name for name in ("price", "spot", "latency") if name in self.unknown]
        return "zones and quota" + (f"; {', '.join(missing)} unknown" if missing else "")

    @property
    def order(self) -> tuple[int, float, float, str, str]:
        """Sort key: best first, then nearest, then cheapest."""
        latency = float("inf") if self.latency is None else self.latency
        usd = self.price.usd_per_hour if self.price else None
        price = float("inf") if usd is None else usd
        return VERDICTS.index(self.verdict), latency, price, self.region, self.instance_type


def read_regions(
    session: boto3.Session,
    names: Sequence[str],
    progress: Callable[[int, int], None] = lambda _done, _all: None,
) -> list[Row]:
    """Each type in each region, best first. Takes at most ``DEADLINE_SECONDS``.

    Args:
        session: Session of any enabled region.
        names: The types. Default: that of the workstation in the session's region, else
            ``DEFAULT_TYPE``.
        progress: Is called with the numbers of calls that returned, and of all.

    Raises:
        ClientError: The credentials are not accepted, or the regions may not be listed.
        BotoCoreError: There are no credentials, or AWS was not reached.
        CommandError: The list of the regions did not come in time.
    """
    deadline = time.monotonic() + DEADLINE_SECONDS
    statuses, account, own_type = _first(session, not names)
    types = [require_type(name) for name in names or (own_type,)]
    enabled = [name for name, status in statuses.items() if status != NOT_ENABLED]
    calls: dict[str, Callable[[], Any]] = {}
    distances: dict[str, Callable[[], Any]] = {}
    for region in enabled:
        # Here and not in the threads: boto3's sessions are for one thread
        ec2 = session.client("ec2", region_name=region, config=QUICK)
        quotas = session.client("service-quotas", region_name=region, config=QUICK)
        distances[f"{region} latency"] = functools.partial(latency, ec2.meta.endpoint_url)
        for signal, call in _signals(ec2, quotas, account, types).items():
            calls[f"{region} {signal}"] = call
    try:
        pricing = price_client(session, session.region_name or "")
    except LookupError:  # a partition without price list
        pass
    else:
        for one in types:
            calls[f"price {one.name}"] = functools.partial(of_all_regions, pricing, one.name)
    # By themselves: a hundred threads that read answers would be measured too
    measured = Calls(distances, LATENCY_SECONDS).results()
    results = {**measured, **_results(calls, deadline, progress)}
    rows = [
        _row(region, status, one, results) for region, status in statuses.items() for one in types
    ]
    return sorted(rows, key=lambda row: row.order)


def _first(session: boto3.Session, needs_type: bool) -> tuple[dict[str, str], str, str]:
    """Regions with their opt-in status, the account, and the workstation's type."""
    ec2, sts = session.client("ec2", config=QUICK), session.client("sts", config=QUICK)
    calls: dict[str, Callable[[], Any]] = {
        "account": lambda: sts.get_caller_identity()["Account"],
        "regions": lambda: ec2.describe_regions(AllRegions=True)["Regions"],
    }
    if needs_type:
        calls["machine"] = lambda: own_machine(session)
    results: dict[str, Any] = {**Calls(calls, FIRST_SECONDS).results()}
    for name in ("account", "regions"):
        result = results[name]
        if isinstance(result, DeadlineError):
            raise CommandError(f"the list of the regions: {result}", TIMED_OUT)
        if isinstance(result, Exception):
            raise result
    statuses = {row["RegionName"]: row["OptInStatus"] for row in results["regions"]}
    machine = results.get("machine")
    own = getattr(machine, "instance_type", DEFAULT_TYPE)
    return statuses, str(results["account"]), own


def _results(
    calls: dict[str, Callable[[], Any]], deadline: float, progress: Callable[[int, int], None]
) -> dict[str, Any]:
    arrived = 0

    def count(_name: str) -> None:
        nonlocal arrived
        arrived += 1
        progress(arrived, len(calls))

    left = max(deadline - time.monotonic(), 0.0)
    return {**Calls(calls, left, workers=WORKERS).results(count)}


def _signals(
    ec2: EC2Client, quotas: ServiceQuotasClient, account: str, types: list[GpuType]
) -> dict[str, Callable[[], Any]]:
    """The calls for one region."""
    names = [one.name for one in types]
    signals: dict[str, Callable[[], Any]] = {
        "zones": lambda: zones_by_type(ec2, names, patience=0),
        "instances": lambda: read_instances(ec2, patience=0),
        "reservations": lambda: read_reservations(ec2, account, patience=0),
        "spot": lambda: lowest_prices(ec2, names),
    }
    for code in {one.quota_code for one in types}:
        signals[code] = functools.partial(read_quota, quotas, code, patience=0)
    return signals


def latency(url: str) -> float:
    """Median time of a TCP connection to the server of the URL, in milliseconds.

    Raises:
        OSError: There was no connection.
    """
    parts = urlsplit(url)
    port = parts.port or (443 if parts.scheme == "https" else 80)
    # The name is resolved once, and not measured
    address = socket.getaddrinfo(parts.hostname, port, type=socket.SOCK_STREAM)[0][4][:2]
    times = []
    for _ in range(CONNECTIONS):
        begin = time.perf_counter()
        socket.create_connection(cast("tuple[str, int]", address), timeout=2).close()
        times.append((time.perf_counter() - begin) * 1000)
    return statistics.median(times)


def _row(region: str, status: str, gpu_type: GpuType, results: Mapping[str, Any]) -> Row:
    if status == NOT_ENABLED:
        return Row(region, gpu_type.name, status)
    unknown: dict[str, str] = {}

    def signal(name: str, key: str) -> Any:
        result = results.get(key)
        if isinstance(result, Exception):
            unknown.setdefault(name, _reason(result))
            return None
        return result

    zones = signal("zones", f"{region} zones")
    need = Need(gpu_type.vcpus, replaces_own=False, instance_type=gpu_type.name)
    quota = compare(
        need,
        signal("quota", f"{region} {gpu_type.quota_code}"),
        signal("quota", f"{region} instances"),
        signal("quota", f"{region} reservations"),
        None,
    )
    if quota.is_unknown:
        unknown.setdefault("quota", "types that the catalog lacks count against the quota")
    spot = signal("spot", f"{region} spot")
    prices = signal("price", f"price {gpu_type.name}")
    price = (prices or {}).get(region)
    if price is None:
        unknown.setdefault("price", f"AWS's price list has no single price of it in {region}")
    return Row(
        region=region,
        instance_type=gpu_type.name,
        opt_in_status=status,
        zones=None if zones is None else zones.get(gpu_type.name, []),
        quota=quota,
        price=price,
        spot=None if spot is None else spot.get(gpu_type.name),
        latency=signal("latency", f"{region} latency"),
        unknown=unknown,
    )


def _reason(error: Exception) -> str:
    if isinstance(error, DeadlineError):  # its own text has the rest of the time only
        return "no answer in time"
    return reason(error)
