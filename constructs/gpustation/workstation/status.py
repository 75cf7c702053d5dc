"""The state of the workstations of a region, read with calls that run at the same time."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from gpustation.access.own_rules import read_all
from gpustation.access.report import Report, ReportError, SetUp, read_reports, report_of
from gpustation.aws.calls import DENIED, UnknownError, error_code
from gpustation.aws.own_rules import OwnRule
from gpustation.aws.parallel import Calls
from gpustation.aws.price_list import Price
from gpustation.aws.session import explain
from gpustation.aws.spend_notice import Notice, NoticeError, parse_notice, read_notices
from gpustation.aws.spot import read_by_id
from gpustation.aws.stack_events import operation_events
from gpustation.catalog import prices
from gpustation.catalog.names import OWNER_TAG
from gpustation.catalog.spot import SpotRequest, Standing
from gpustation.deploy.steps import Step, steps_of
from gpustation.offers.price import from_catalog
from gpustation.workstation.find import Workstation, find_all, find_one
from gpustation.workstation.machine import Machine, describe, newest, read_machine

if TYPE_CHECKING:
    import boto3
    from mypy_boto3_cloudformation import CloudFormationClient
    from mypy_boto3_ec2 import EC2Client

DEADLINE_SECONDS = 60.0
"""How long the calls may take together, botocore's own retries included."""
_SECONDS_PER_HOUR = 3600.0


@dataclass(frozen=True)
class Disk:
    """A volume of the machine.

    Attributes:
        volume_id: Its id.
        gib: Size in GiB.
        kind: Volume type, e.g. ``gp3``.
    """

    volume_id: str
    gib: int
    kind: str


@dataclass(frozen=True)
class Status:
    """A workstation with its machine.

    Attributes:
        workstation: The stack.
        machine: The machine; ``None`` if there is none.
        disks: Its volumes.
        steps: Steps of the deploy while CloudFormation works on the stack; otherwise empty.
        rules: Rules of ``gpustation allow-my-ip`` in its security groups.
        report: What the machine says about itself; ``None`` if it does not.
        no_report: Why the machine's report cannot be read; empty if it can.
        now: When this was read.
        notice: What the spend limit found last; ``None`` without one.
        no_notice: Why that cannot be read; empty if it can.
        spot_request: The request of a spot machine; ``None`` if there is none.
        no_request: Why that cannot be read; empty if it can.
    """

    workstation: Workstation
    machine: Machine | None
    disks: tuple[Disk, ...]
    steps: tuple[Step, ...]
    rules: tuple[OwnRule, ...]
    report: Report | None
    no_report: str
    now: datetime
    notice: Notice | None = None
    no_notice: str = ""
    spot_request: SpotRequest | None = None
    no_request: str = ""

    @property
    def is_interrupted(self) -> bool:
        """Whether EC2 stopped the spot machine, or is about to start it again."""
        if self.machine is None or self.machine.state not in ("stopping", "stopped"):
            return False
        request = self.spot_request
        return request is not None and request.standing is Standing.INTERRUPTED

    @property
    def daily_stop(self) -> str:
        """Its daily stop, e.g. ``22:00 Europe/Berlin``; empty if it has none."""
        return self.workstation.outputs.get("DailyStop", "")

    @property
    def set_up(self) -> SetUp | None:
        """Its set-up, as the machine reported it; ``None`` if it did not."""
        return self.report.set_up if self.report else None

    @property
    def price(self) -> Price | None:
        """Price of the machine per hour, without address and disks; ``None`` without a machine."""
        return from_catalog(self.machine.instance_type) if self.machine else None

    @property
    def hours(self) -> float | None:
        """Hours since the machine was last started; ``None`` if it does not run."""
        if self.machine is None or self.machine.state != "running":
            return None
        return (self.now - self.machine.started).total_seconds() / _SECONDS_PER_HOUR

    @property
    def usd_of_this_run(self) -> float | None:
        """Cost of machine and address since the last start, in USD; ``None`` if unknown."""
        if self.hours is None or self.machine is None or self.price is None:
            return None
        if self.price.usd_per_hour is None:
            return None
        address = prices.ADDRESS_PER_HOUR if self.machine.address else 0.0
        return self.hours * (self.price.usd_per_hour + address)

    @property
    def usd_per_month_stopped(self) -> float:
        """Cost of the disks, which are billed while the machine is stopped too, in USD."""
        return sum(prices.volume(disk.kind, disk.gib)[0] for disk in self.disks)


def read_status(session: boto3.Session, stack: str = "") -> list[Status]:
    """The workstations of the session's region with their machines.

    Args:
        session: The session.
        stack: Name of the only stack to read. Default: all workstations.

    Raises:
        CommandError: There is no such stack.
        ClientError: AWS refused a call.
        BotoCoreError: AWS was not reached.
        DeadlineError: A call did not return in time.
    """
    cloudformation, ec2 = session.client("cloudformation"), session.client("ec2")
    ssm = session.client("ssm")
    results: dict[str, Any] = Calls[Any](
        {
            "stacks": lambda: _stacks(cloudformation, stack),
            "machines": lambda: _machines(ec2),
            "disks": lambda: _disks(ec2),
            "rules": lambda: read_all(ec2),
            "reports": lambda: read_reports(ssm),
            "notices": lambda: read_notices(ssm),
        },
        DEADLINE_SECONDS,
    ).results()
    for name, result in results.items():
        of_parameters = name in ("reports", "notices")
        if isinstance(result, Exception) and not (of_parameters and _is_denied(result)):
            raise result
    machines: dict[str, Machine] = results["machines"]
    disks: dict[str, Disk] = results["disks"]
    now = datetime.now(timezone.utc)
    requests, no_requests = _requests(ec2, machines.values())
    found = []
    for one in results["stacks"]:
        machine = machines.get(one.instance_id) or newest(machines.values(), one.stack)
        if machine is None and one.instance_id:  # of an app that does not tag it
            machine = describe(ec2, one.instance_id)
        own = tuple(disks[name] for name in (machine.volumes if machine else ()) if name in disks)
        steps = tuple(steps_of(operation_events(cloudformation, one.stack))) if one.busy else ()
        groups = machine.groups if machine else ()
        rules = tuple(rule for rule in results["rules"] if rule.group_id in groups)
        report, why_not = _report(machine, results["reports"])
        notice = _notice(one.stack, results["notices"])
        request = requests.get(machine.spot_request) if machine else None
        no_request = no_requests if machine and machine.is_spot else ""
        found.append(
            Status(
                one, machine, own, steps, rules, report, why_not, now, *notice, request, no_request
            )
        )
    return found


def _requests(ec2: EC2Client, machines: Iterable[Machine]) -> tuple[dict[str, SpotRequest], str]:
    """The spot requests of machines, and why they cannot be read; one call, and only if needed."""
    ids = [one.spot_request for one in machines if one.spot_request and not one.is_gone]
    if not ids:
        return {}, ""
    try:
        return read_by_id(ec2, ids), ""
    except UnknownError as why:
        return {}, f"the state of the spot request cannot be read: {why}"


def _is_denied(error: Exception) -> bool:
    return isinstance(error, ClientError) and error_code(error) in DENIED


def _report(machine: Machine | None, reports: Any) -> tuple[Report | None, str]:
    """A machine's report, and why it cannot be read."""
    if machine is None or machine.is_gone:
        return None, ""
    if isinstance(reports, ClientError):
        return None, f"the machine's report cannot be read: {explain(reports)}"
    try:
        return report_of(machine, reports), ""
    except ReportError as error:
        return None, f"the machine's report cannot be used: {error}"


def _notice(stack: str, notices: Any) -> tuple[Notice | None, str]:
    """What a stack's spend limit found last, and why that cannot be read."""
    if isinstance(notices, ClientError):
        return None, f"what the spend limit found cannot be read: {explain(notices)}"
    if stack not in notices:
        return None, ""
    try:
        return parse_notice(notices[stack]), ""
    except NoticeError as error:
        return None, f"what the spend limit found cannot be used: {error}"


def _stacks(cloudformation: CloudFormationClient, stack: str) -> list[Workstation]:
    return [find_one(cloudformation, stack)] if stack else find_all(cloudformation)


def _machines(ec2: EC2Client) -> dict[str, Machine]:
    pages = ec2.get_paginator("describe_instances").paginate(
        Filters=[{"Name": "tag-key", "Values": [OWNER_TAG]}]
    )
    rows: list[Any] = [
        row
        for page in pages
        for reservation in page["Reservations"]
        for row in reservation["Instances"]
    ]
    return {row["InstanceId"]: read_machine(row) for row in rows}


def _disks(ec2: EC2Client) -> dict[str, Disk]:
    pages = ec2.get_paginator("describe_volumes").paginate(
        Filters=[{"Name": "tag-key", "Values": [OWNER_TAG]}]
    )
    return {
        row["VolumeId"]: Disk(row["VolumeId"], row["Size"], row["VolumeType"])
        for page in pages
        for row in page["Volumes"]
    }
