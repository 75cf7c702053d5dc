"""What a changed ``monthly_budget_usd`` does to a machine whose month has cost something already.

The deploy itself counts and stops the machine. The same arithmetic here, over the same table, says
so before.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from math import floor
from typing import TYPE_CHECKING

from botocore.exceptions import BotoCoreError, ClientError

from gpustation.aws.calls import DENIED, UnknownError, error_code
from gpustation.aws.session import explain
from gpustation.aws.spend_ledger import SpendLedger
from gpustation.aws.spend_notice import NoticeError, parse_notice
from gpustation.aws.stack_machines import STOPPABLE, read_machines
from gpustation.catalog.names import NOTICES
from gpustation.catalog.prices import ADDRESS_PER_HOUR
from gpustation.catalog.spend_limit import MINUTE
from gpustation.catalog.spending import (
    HOUR,
    Ledger,
    Month,
    NoPriceError,
    Rates,
    Seen,
    reconcile,
    spent,
    usd_per_hour,
)
from gpustation.offers.costs import HOURS_OF_A_MONTH, read_costs
from gpustation.plan.assembly import AssemblyError, SynthesizedStack
from gpustation.plan.effect import Effect
from gpustation.plan.judgement import Plan
from gpustation.workstation.cost import table_of

if TYPE_CHECKING:
    import boto3
    from mypy_boto3_cloudformation import CloudFormationClient

SETTING = "monthly_budget_usd"
NONE = "none"
"""Its value without a limit."""
_STAYS = {Effect.NEW, Effect.REFUSED}
"""Effects without a machine that could be stopped."""


@dataclass(frozen=True)
class Spending:
    """What a workstation costs in the present month.

    Attributes:
        month: The month.
        usd: Costs so far.
        usd_per_hour: What an hour costs now.
        running: Machines that run.
    """

    month: Month
    usd: float
    usd_per_hour: float
    running: tuple[str, ...]

    @property
    def counted(self) -> float:
        """What a limit is held against: it must not be exceeded by the minute of a late call."""
        return self.usd + (self.usd_per_hour * MINUTE / HOUR if self.running else 0.0)


def with_budget(
    session: boto3.Session,
    cloudformation: CloudFormationClient,
    stack: SynthesizedStack,
    plan: Plan,
) -> Plan:
    """The plan, with what a changed limit does to the machine.

    Args:
        session: The person's session, with whose permissions the costs are read.
        cloudformation: Client that may describe the stack.
        stack: The stack to deploy.
        plan: The plan of everything else.
    """
    limits = [change.new for change in plan.settings if change.name == SETTING]
    if plan.effect in _STAYS or limits in ([], [NONE]):
        return plan
    limit = int(limits[0])
    try:
        found = read_spending(session, cloudformation, stack)
    except (ClientError, BotoCoreError) as error:
        return _noted(plan, _unknown(limit, explain(error)))
    except (AssemblyError, UnknownError, NoticeError) as error:
        return _noted(plan, _unknown(limit, str(error)))
    except NoPriceError as error:
        return _noted(plan, _unknown(limit, f"the price of a {error} is not known"))
    if found.counted < limit:
        return plan
    begin = f"{SETTING}={limit}: {found.usd:.2f} USD are spent in {found.month}, at list price"
    remedy = f"set at least {floor(found.counted) + 1}, or wait for the next month"
    if plan.effect is Effect.REPLACED:
        note = f"{begin}, so a new machine is refused; {remedy}"
        return replace(_noted(plan, note), effect=Effect.REFUSED)
    ends = "each start in this month is undone"
    if found.running:
        machines = ", ".join(found.running)
        ends = f"the deploy stops {machines} within seconds, and {ends}; running programs end"
        plan = replace(plan, effect=Effect.HALTED)
    return _noted(plan, f"{begin}, so {ends}; {remedy}")


def read_spending(
    session: boto3.Session, cloudformation: CloudFormationClient, stack: SynthesizedStack
) -> Spending:
    """The costs of the present month: from the ledger of the limit, else from its notice.

    Without a limit there is no ledger yet; then the present run counts, as at the deploy.

    Raises:
        ClientError, BotoCoreError: AWS refused a call, or was not reached.
        UnknownError: The machines could not be read.
        NoPriceError: A machine runs whose price is not known.
        NoticeError: Only the notice may be read, and it does not help.
        AssemblyError: The stack does not have exactly one machine.
    """
    (described,) = cloudformation.describe_stacks(StackName=stack.name)["Stacks"]
    seen, now = read_machines(session.client("ec2"), described["StackId"], patience=0)
    running = tuple(one.machine for one in seen if one.state == STOPPABLE)
    month = Month.of(now)
    try:
        ledger, rates = _recorded(session, stack, seen)
    except ClientError as error:
        if error_code(error) not in DENIED:
            raise
        return _of_notice(session, stack.name, now, running)
    ledger = ledger.updated(reconcile(ledger, seen, None, rates, now))
    usd = spent(ledger, month, now).total
    return Spending(month, usd, usd_per_hour(ledger, month), running)


def _recorded(
    session: boto3.Session, stack: SynthesizedStack, seen: Iterable[Seen]
) -> tuple[Ledger, Rates]:
    """What the limit has recorded, and the prices of runs that it has not."""
    _, gib = stack.machine
    table = table_of(session.client("cloudformation"), stack.name)
    if table:
        records = SpendLedger(session.client("dynamodb"), table).read()
        disk = (records.disk_per_gib or 0.0) * gib
        return records.ledger, Rates(records.machines, ADDRESS_PER_HOUR, disk)
    region = session.client("ec2").meta.region_name
    machines: dict[str, float] = {}
    disk = 0.0
    for instance_type in {one.instance_type for one in seen}:
        costs = read_costs(session, region, instance_type, gib, HOURS_OF_A_MONTH)
        disk = costs.disk_month or 0.0
        if costs.machine.usd_per_hour is not None:
            machines[instance_type] = costs.machine.usd_per_hour
    return Ledger(), Rates(machines, ADDRESS_PER_HOUR, disk)


def _of_notice(
    session: boto3.Session, stack: str, now: float, running: tuple[str, ...]
) -> Spending:
    """What the limit last found."""
    parameter = session.client("ssm").get_parameter(Name=f"{NOTICES}/{stack}")["Parameter"]
    notice = parse_notice(parameter["Value"])
    month = Month.of(now)
    if notice is None or notice.month != month:
        raise NoticeError(f"the limit has not counted in {month} yet")
    return Spending(month, notice.spent_at(now), notice.usd_per_hour, running)


def _unknown(limit: int, why: str) -> str:
    return (
        f"{SETTING}={limit}: what this month has cost cannot be read ({why}); if it is more, the "
        "deploy stops the machine; ask somebody who may read it: gpustation cost"
    )


def _noted(plan: Plan, note: str) -> Plan:
    return replace(plan, notes=(*plan.notes, note))
