"""What a workstation cost in a month: from the ledger of its spend limit, else this run alone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from gpustation.aws.parallel import Calls
from gpustation.aws.spend_ledger import SpendLedger
from gpustation.aws.spend_notice import Notice
from gpustation.catalog import prices
from gpustation.catalog.spending import (
    Disk,
    Ledger,
    Month,
    Run,
    Spent,
    moment_of,
    spent,
    usd_per_hour,
)
from gpustation.console.errors import CommandError
from gpustation.offers.price import from_catalog
from gpustation.workstation.status import Status, read_status

if TYPE_CHECKING:
    import boto3
    from mypy_boto3_cloudformation import CloudFormationClient

DEADLINE_SECONDS = 60.0
"""How long the calls may take together, botocore's own retries included."""
TABLE = "AWS::DynamoDB::Table"


@dataclass(frozen=True)
class MonthlyCost:
    """Costs in USD at list price.

    Attributes:
        stack: The workstation's stack.
        month: The month.
        spent: Costs of the month so far, by part.
        images_per_month: What images of workstations in the region cost in a whole month at most.
        this_run: Cost of machine and address since the last start; ``None`` if it does not run.
        usd_per_hour: What an hour costs now; 0 for another month than the present one.
        is_recorded: They are from the ledger of a spend limit, which begins with the run that it
            found when it was set. Without one only this run is known.
        notice: What the spend limit found last; ``None`` without one.
        stops_at: When the limit is reached if everything goes on, in seconds since 1970; ``None``
            if not in this month.
    """

    stack: str
    month: Month
    spent: Spent
    images_per_month: float
    this_run: float | None
    usd_per_hour: float
    is_recorded: bool
    notice: Notice | None
    stops_at: float | None


def read_cost(session: boto3.Session, stack: str, month: Month | None = None) -> MonthlyCost:
    """The costs of a workstation.

    Args:
        session: The session.
        stack: Name of its stack.
        month: The month. Default: the present one of UTC.

    Raises:
        CommandError: There is no such stack, or nothing is recorded of the month.
        ClientError: AWS refused a call.
        BotoCoreError: AWS was not reached.
        DeadlineError: A call did not return in time.
    """
    from gpustation.saved_image.own_images import read_images

    cloudformation = session.client("cloudformation")
    results: dict[str, Any] = Calls[Any](
        {
            "status": lambda: read_status(session, stack)[0],
            "images": lambda: read_images(session),
            "table": lambda: table_of(cloudformation, stack),
        },
        DEADLINE_SECONDS,
    ).results()
    for result in results.values():
        if isinstance(result, Exception):
            raise result
    status: Status = results["status"]
    now, table = status.now.timestamp(), results["table"]
    wanted = month or Month.of(now)
    if table:
        ledger = SpendLedger(session.client("dynamodb"), table).read().ledger
    elif wanted == Month.of(now):
        ledger = _of_this_run(status)
    else:
        raise CommandError(
            f"nothing is recorded of {wanted} for {stack}: only a workstation with "
            "monthly_budget_usd records what it costs; AWS's bill has it in any case"
        )
    return of_ledger(ledger, status, wanted, results["images"], is_recorded=bool(table))


def of_ledger(
    ledger: Ledger, status: Status, month: Month, images: list[Any], *, is_recorded: bool
) -> MonthlyCost:
    """The costs of a month by a ledger and the state of the workstation."""
    now = status.now.timestamp()
    is_present = month == Month.of(now)
    notice = status.notice if is_present else None
    return MonthlyCost(
        stack=status.workstation.stack,
        month=month,
        spent=spent(ledger, month, now),
        images_per_month=sum(image.usd_per_month for image in images),
        this_run=_this_run(ledger, now) if is_present else None,
        usd_per_hour=usd_per_hour(ledger, month) if is_present else 0.0,
        is_recorded=is_recorded,
        notice=notice,
        stops_at=moment_of(ledger, notice.limit_usd, now) if notice else None,
    )


def table_of(cloudformation: CloudFormationClient, stack: str) -> str:
    """Name of the ledger's table; empty without a spend limit."""
    pages = cloudformation.get_paginator("list_stack_resources").paginate(StackName=stack)
    names = [
        row.get("PhysicalResourceId", "")
        for page in pages
        for row in page["StackResourceSummaries"]
        if row["ResourceType"] == TABLE and row["LogicalResourceId"].startswith("SpendLimit")
    ]
    return names[0] if names else ""


def _of_this_run(status: Status) -> Ledger:
    """What is known without a ledger: the present run, and the disks since then."""
    machine, price = status.machine, status.price
    if machine is None or price is None:
        return Ledger()
    started = machine.started.timestamp()
    disk = Disk(machine.instance_id, started, None, status.usd_per_month_stopped)
    if machine.state != "running" or price.usd_per_hour is None:
        return Ledger({}, {disk.machine: disk})
    address = prices.ADDRESS_PER_HOUR if machine.address else 0.0
    run = Run(
        machine.instance_id, started, None, machine.instance_type, price.usd_per_hour, address
    )
    return Ledger({run.key: run}, {disk.machine: disk})


def _this_run(ledger: Ledger, now: float) -> float | None:
    runs = [run for run in ledger.runs.values() if run.ended is None]
    if not runs:
        return None
    return sum(
        (now - run.started) / 3600 * (run.usd_per_hour + run.address_per_hour) for run in runs
    )


def price_origin() -> str:
    """Where the prices of a workstation without a ledger are from."""
    return from_catalog("").origin
