"""What a plan says of a limit that the month has passed, and where it knows the costs from."""

from __future__ import annotations

import datetime
import json
from dataclasses import replace
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError
from botocore.stub import Stubber

from gpustation.aws.spend_notice import Notice
from gpustation.catalog.spending import Month, NoPriceError, Spent
from gpustation.offers.costs import Costs
from gpustation.offers.price import from_catalog
from gpustation.plan import budget
from gpustation.plan.assembly import SynthesizedStack
from gpustation.plan.budget import Spending, with_budget
from gpustation.plan.effect import Effect
from gpustation.plan.judgement import Plan, SettingChange
from tests.unit.stubbed_aws import STACK_ID

NOVEMBER = Month(2026, 11)
NOW = datetime.datetime(2026, 11, 20, 12, tzinfo=datetime.timezone.utc)
STACK = SynthesizedStack("GpuWorkstation", {}, {}, "", "")
SPENT = Spending(NOVEMBER, 12.34, 0.6, ("i-1",))
DENIED = ClientError({"Error": {"Code": "AccessDenied", "Message": "no"}}, "Scan")


def plan(new: str, effect: Effect = Effect.IN_PLACE, old: str = "20") -> Plan:
    change = SettingChange("monthly_budget_usd", old, new, "in place")
    return Plan("GpuWorkstation", effect, (change,), ("another note",))


def judged(
    monkeypatch: pytest.MonkeyPatch, asked: Plan, spending: Spending | Exception = SPENT
) -> Plan:
    def read(*_: Any) -> Spending:
        if isinstance(spending, Exception):
            raise spending
        return spending

    monkeypatch.setattr(budget, "read_spending", read)
    nothing: Any = None
    return with_budget(nothing, nothing, STACK, asked)


@pytest.mark.parametrize("effect", [Effect.IN_PLACE, Effect.STOPS])
@pytest.mark.parametrize("old", ["20", "none", "unknown"])
def test_a_limit_below_what_is_spent_stops_the_machine(
    monkeypatch: pytest.MonkeyPatch, effect: Effect, old: str
) -> None:
    found = judged(monkeypatch, plan("5", effect, old))
    assert found.effect is Effect.HALTED
    assert found.notes == (
        "another note",
        "monthly_budget_usd=5: 12.34 USD are spent in 2026-11, at list price, so the deploy stops "
        "i-1 within seconds, and each start in this month is undone; running programs end; set at "
        "least 13, or wait for the next month",
    )


def test_a_machine_that_does_not_run_is_not_stopped(monkeypatch: pytest.MonkeyPatch) -> None:
    found = judged(monkeypatch, plan("5"), replace(SPENT, running=()))
    assert found.effect is Effect.IN_PLACE
    assert (
        "spent in 2026-11, at list price, so each start in this month is undone" in found.notes[1]
    )


def test_a_new_machine_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    found = judged(monkeypatch, plan("5", Effect.REPLACED))
    assert found.effect is Effect.REFUSED
    assert "so a new machine is refused; set at least 13" in found.notes[1]


@pytest.mark.parametrize(
    ("asked", "spending"),
    [
        (plan("13"), SPENT),
        (plan("none"), AssertionError("not asked")),
        (plan("5", Effect.NEW, ""), AssertionError("not asked")),
        (plan("5", Effect.REFUSED), AssertionError("not asked")),
        (replace(plan("5"), settings=()), AssertionError("not asked")),
    ],
)
def test_otherwise_the_plan_stays(
    monkeypatch: pytest.MonkeyPatch, asked: Plan, spending: Spending | Exception
) -> None:
    assert judged(monkeypatch, asked, spending) == asked


def test_the_minute_before_the_limit_counts_while_the_machine_runs(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    close = replace(SPENT, usd=12.995)
    assert judged(monkeypatch, plan("13"), close).effect is Effect.HALTED
    assert "set at least 14" in judged(monkeypatch, plan("13"), close).notes[1]
    assert judged(monkeypatch, plan("13"), replace(close, running=())) == plan("13")


@pytest.mark.parametrize("error", [DENIED, NoPriceError("g4dn.xlarge")])
def test_costs_that_cannot_be_read_are_said(
    monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    found = judged(monkeypatch, plan("5"), error)
    assert found.effect is Effect.IN_PLACE
    assert "monthly_budget_usd=5: what this month has cost cannot be read (" in found.notes[1]
    assert "if it is more, the deploy stops the machine" in found.notes[1]
    assert "gpustation cost" in found.notes[1]


class Account:
    """Clients with answers that a test sets beforehand."""

    def __init__(self) -> None:
        keys = {"region_name": "us-east-1", "aws_access_key_id": "x", "aws_secret_access_key": "x"}
        names = ("cloudformation", "ec2", "dynamodb", "ssm")
        self.clients = {name: boto3.client(name, **keys) for name in names}  # type: ignore[call-overload]
        self.stubs = {name: Stubber(client) for name, client in self.clients.items()}
        for stub in self.stubs.values():
            stub.activate()
        described = {"StackName": "GpuWorkstation", "StackStatus": "CREATE_COMPLETE"}
        stacks = [{**described, "StackId": STACK_ID, "CreationTime": NOW}]
        self.stubs["cloudformation"].add_response("describe_stacks", {"Stacks": stacks})
        machine = {
            "InstanceId": "i-1",
            "State": {"Name": "running"},
            "InstanceType": "g4dn.xlarge",
            "LaunchTime": NOW - datetime.timedelta(hours=10),
        }
        self.stubs["ec2"].add_response(
            "describe_instances",
            {
                "Reservations": [{"Instances": [machine]}],
                "ResponseMetadata": {"HTTPHeaders": {"date": "Fri, 20 Nov 2026 12:00:00 GMT"}},
            },
        )

    def client(self, name: str) -> Any:
        return self.clients[name]

    def has_table(self, *names: str) -> None:
        rows = [
            {
                "LogicalResourceId": "SpendLimitLedger",
                "PhysicalResourceId": name,
                "ResourceType": "AWS::DynamoDB::Table",
                "LastUpdatedTimestamp": NOW,
                "ResourceStatus": "CREATE_COMPLETE",
            }
            for name in names
        ]
        answer = {"StackResourceSummaries": rows}
        self.stubs["cloudformation"].add_response("list_stack_resources", answer)

    def read(self) -> Spending:
        session: Any = self
        resources = {"Machine": {"Type": "AWS::EC2::Instance"}}
        resources["Machine"]["Properties"] = {"InstanceType": "g4dn.xlarge"}  # type: ignore[assignment]
        stack = replace(STACK, template={"Resources": resources})
        return budget.read_spending(session, self.clients["cloudformation"], stack)


def item(**values: float | str | bool) -> dict[str, Any]:
    kinds = {bool: "BOOL", str: "S"}
    return {
        name: {kinds.get(type(value), "N"): value if isinstance(value, (bool, str)) else f"{value}"}
        for name, value in values.items()
    }


def test_the_ledger_and_what_runs_since_are_counted() -> None:
    account = Account()
    account.has_table("Ledger")
    began = datetime.datetime(2026, 11, 3, tzinfo=datetime.timezone.utc).timestamp()
    before = item(
        id=f"run/i-1/{int(began)}",
        machine="i-1",
        started=began,
        ended=began + 20 * 3600,
        instance_type="g4dn.xlarge",
        usd_per_hour=1.0,
        address_per_hour=0.0,
        assumed=False,
    )
    rows = [before, item(id="price/g4dn.xlarge", usd=0.5), item(id="price/gp3", usd=0.0)]
    account.stubs["dynamodb"].add_response("scan", {"Items": rows})
    found = account.read()
    assert found.usd == pytest.approx(20 + 10 * 0.505)
    assert (found.month, found.running) == (NOVEMBER, ("i-1",))


def test_without_a_limit_before_the_present_run_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    def costs(session: Any, region: str, instance_type: str, *_: Any) -> Costs:
        usd = [replace(from_catalog(instance_type), usd_per_hour=part) for part in (2, 0, 0)]
        return Costs(instance_type, *usd, disk_gib=0, hours=8)

    monkeypatch.setattr(budget, "read_costs", costs)
    account = Account()
    account.has_table()
    assert account.read().usd == pytest.approx(10 * 2.005)


def notice(month: Month) -> dict[str, Any]:
    made = Notice(month, 20, Spent(7.0), 0.5, NOW.timestamp() - 7200, None, None, "")
    return {"Parameter": {"Name": "/gpustation/spent/GpuWorkstation", "Value": made.to_json()}}


def test_who_may_not_read_the_ledger_reads_the_notice() -> None:
    account = Account()
    account.has_table("Ledger")
    account.stubs["dynamodb"].add_client_error("scan", "AccessDeniedException")
    account.stubs["ssm"].add_response("get_parameter", notice(NOVEMBER))
    assert account.read().usd == pytest.approx(8.0)


@pytest.mark.parametrize(
    "answer", [notice(Month(2026, 10)), {"Parameter": {"Value": json.dumps({})}}]
)
def test_a_notice_of_another_month_does_not_help(answer: dict[str, Any]) -> None:
    account = Account()
    account.has_table("Ledger")
    account.stubs["dynamodb"].add_client_error("scan", "AccessDeniedException")
    account.stubs["ssm"].add_response("get_parameter", answer)
    with pytest.raises(budget.NoticeError, match="has not counted in 2026-11 yet"):
        account.read()


def test_a_failure_that_is_no_denial_is_not_hidden() -> None:
    account = Account()
    account.has_table("Ledger")
    account.stubs["dynamodb"].add_client_error("scan", "InternalServerError")
    with pytest.raises(ClientError, match="InternalServerError"):
        account.read()
