"""The spend limit on the embedded AWS whose clock is moved: real functions, events and schedules.

What AWS's own services do at a moment is the embedded AWS's; these tests show what the limit makes
of it.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError

from gpustation.aws.spend_ledger import SpendLedger
from gpustation.aws.spend_notice import Notice, parse_notice
from gpustation.catalog.spending import HOUR, Month, spent
from localaws import LocalAws
from tests.faults.conftest import MakeStack
from tests.faults.outcome import launches
from tests.support.assembly import assemble, minimal_bootstrap
from tests.support.cdk_cli import assert_nothing_left
from tests.support.probe_stack import G_QUOTA, Stack

LIMIT, MAIL = 5, "me@example.com"
PER_HOUR = 0.526 + 0.005
"""USD per hour of a g4dn.xlarge in us-east-1 (the embedded AWS's price list) with its address."""
DISK_PER_MONTH = 64 * 0.08


class Limited:
    """A workstation with a limit, in an account whose clock a test moves."""

    def __init__(self, aws: LocalAws, stack: Stack, **settings: Any) -> None:
        self.aws, self.stack = aws, stack
        self.settings: dict[str, Any] = {
            "monthly_budget_usd": LIMIT,
            "budget_email": MAIL,
            "availability_zone": "us-east-1a",
        } | settings

    def deploy(self, call: str = "update_stack", **settings: Any) -> str:
        self.settings |= settings
        assembly = assemble(**self.settings)
        assembly.publish(self.aws)
        status = self.stack.deploy(call, assembly.template)
        self.aws.control.advance(0)
        return status

    @property
    def machine(self) -> str:
        return self.stack.outputs()["InstanceId"]

    def state(self, machine: str = "") -> str:
        rows = self.aws.client("ec2").describe_instances(InstanceIds=[machine or self.machine])
        return str(rows["Reservations"][0]["Instances"][0]["State"]["Name"])

    def notice(self) -> Notice:
        name = f"/gpustation/spent/{self.stack.name}"
        text = self.aws.client("ssm").get_parameter(Name=name)["Parameter"]["Value"]
        notice = parse_notice(text)
        assert notice is not None
        return notice

    def machine_usd(self) -> float:
        """What the machines cost in this month until now, by the ledger."""
        now = self.aws.control.clock()
        return spent(self.records().ledger, Month.of(now), now).machine

    def stop(self) -> None:
        self.aws.client("ec2").stop_instances(InstanceIds=[self.machine])
        self.aws.control.advance(0)

    def start(self) -> None:
        self.aws.client("ec2").start_instances(InstanceIds=[self.machine])
        self.aws.control.advance(0)

    def stops(self) -> list[float]:
        return [e.time for e in self.aws.control.history(self.machine) if e.event == "stopped"]

    def records(self) -> Any:
        (table,) = self.aws.client("dynamodb").list_tables()["TableNames"]
        return SpendLedger(self.aws.client("dynamodb"), table).read()


@pytest.fixture(scope="module")
def account() -> Iterator[LocalAws]:
    """An account of its own: nothing sets its clock back."""
    with LocalAws() as aws:
        minimal_bootstrap(aws)
        yield aws


@pytest.fixture
def aws(account: LocalAws) -> LocalAws:
    """Each test begins on the second day of a month, so that none depends on today's date."""
    account.control.reset()
    account.control.set_quota(G_QUOTA, 64)
    now = account.control.clock()
    account.control.advance(Month.of(now).end + 24 * HOUR - now)
    return account


@pytest.fixture
def limited(aws: LocalAws, stack: MakeStack) -> Limited:
    one = Limited(aws, stack())
    assert one.deploy("create_stack") == "CREATE_COMPLETE"
    return one


def test_it_runs_out_to_the_minute_and_a_raise_allows_it_again(limited: Limited) -> None:
    """With what follows from it, until nothing is left: functions take a second each."""
    control = limited.aws.control
    control.confirm(MAIL)
    began = limited.notice()
    assert began.stops_at is not None
    control.advance(began.stops_at - control.clock() - 120)
    assert limited.state() == "running"
    control.advance(240)
    assert limited.state() == "stopped"
    (stopped,) = limited.stops()
    assert -60 <= stopped - began.stops_at <= 0
    told = limited.notice()
    assert LIMIT - PER_HOUR / 60 <= told.spent.total <= LIMIT
    assert "the limit of 5 USD" in told.reason and told.stopped_at is not None
    subjects = [mail.subject for mail in control.mails()]
    assert [subject.split(": ")[1][:4] for subject in subjects] == ["50 %", "80 %", "100 "]
    limited.start()
    control.advance(60)
    assert limited.state() == "stopped"
    assert limited.deploy(monthly_budget_usd=2 * LIMIT) == "UPDATE_COMPLETE"
    assert limited.state() == "stopped"
    limited.start()
    control.advance(HOUR)
    assert limited.state() == "running"
    assert not limited.notice().reason
    assert control.machine_idle(limited.machine)
    at_login = Path(control.machine_root(limited.machine), "run/motd.d/gpustation-limit")
    assert "of 10 USD spent in" in at_login.read_text()
    limited.stack.delete()
    control.advance(2 * HOUR)
    assert_nothing_left(limited.aws)


@pytest.mark.tier("all")
def test_the_sum_is_kept_over_all_that_a_machine_goes_through(limited: Limited) -> None:
    """Stop and start, another type, another generation, and the end of the month."""
    control = limited.aws.control
    first = limited.machine
    limited.deploy(monthly_budget_usd=1000)
    control.advance(HOUR)
    limited.stop()
    control.advance(5 * HOUR)
    limited.start()
    control.advance(HOUR)
    before = limited.machine_usd()
    assert before == pytest.approx(2 * 0.526, rel=0.01)
    assert limited.deploy(instance_type="g4dn.2xlarge") == "UPDATE_COMPLETE"
    control.advance(HOUR)
    after = limited.machine_usd()
    assert after - before == pytest.approx(0.752, rel=0.02)
    assert limited.deploy(generation=2) == "UPDATE_COMPLETE"
    assert limited.machine != first
    control.advance(HOUR)
    ledger = limited.records().ledger
    assert {run.machine for run in ledger.runs.values()} == {first, limited.machine}
    assert [run.machine for run in ledger.runs.values() if run.ended is None] == [limited.machine]
    assert limited.machine_usd() == pytest.approx(after + 0.752, rel=0.02)
    month = Month.of(control.clock())
    control.advance(month.end - control.clock() + HOUR)
    assert limited.notice().month == month.after
    assert limited.notice().spent.total == pytest.approx(
        0.752 + 0.005 + DISK_PER_MONTH / 730, rel=0.05
    )


@pytest.mark.tier("all")
@pytest.mark.parametrize("kind", ["twice", "late", "lose"])
def test_events_that_come_twice_late_or_never_change_no_sum(limited: Limited, kind: str) -> None:
    control = limited.aws.control
    limited.deploy(monthly_budget_usd=1000)
    control.event_fault(kind)
    for _ in range(3):
        limited.stop()
        control.advance(100 * 60)
        limited.start()
        control.advance(45 * 60)
    control.event_fault(None)
    control.deliver_events()
    control.advance(HOUR)
    hours = 3 * 0.75 + 1
    first = min(run.started for run in limited.records().ledger.runs.values())
    begun = next(e.time for e in control.history(limited.machine) if e.event == "launched")
    assert first == pytest.approx(begun, abs=2)
    assert limited.machine_usd() == pytest.approx(hours * 0.526, rel=0.01)


@pytest.mark.tier("all")
def test_a_function_that_fails_for_an_hour_counts_and_stops_afterwards(limited: Limited) -> None:
    control = limited.aws.control
    at = limited.notice().stops_at
    assert at is not None
    control.advance(at - control.clock() - 1800)
    control.fault("dynamodb:Scan", "deny")
    control.advance(HOUR)
    assert limited.state() == "running"
    control.fault("dynamodb:Scan", None)
    control.advance(HOUR)
    assert limited.state() == "stopped"
    ran = sum((run.ended or 0) - run.started for run in limited.records().ledger.runs.values())
    assert limited.notice().spent.machine == pytest.approx(ran / HOUR * 0.526, rel=0.01)


@pytest.mark.tier("all")
def test_refused_before_anything_is_made_when_too_little_is_left(
    aws: LocalAws, stack: MakeStack
) -> None:
    one = Limited(aws, stack(), monthly_budget_usd=1, instance_type="g4dn.12xlarge")
    before = launches(aws)
    assert one.deploy("create_stack") == "ROLLBACK_COMPLETE"
    reason = one.stack.reason("SpendLimitCheckB291BFC3")
    assert "monthly_budget_usd=1: 0.00 of 1 USD spent" in reason and "30 minutes" in reason
    assert launches(aws) == before


@pytest.mark.tier("all")
def test_a_limit_below_what_is_spent_stops_the_machine_and_a_new_one_is_refused(
    limited: Limited,
) -> None:
    limited.deploy(monthly_budget_usd=100)
    limited.aws.control.advance(4 * HOUR)
    assert limited.deploy(monthly_budget_usd=1) == "UPDATE_COMPLETE"
    limited.aws.control.advance(60)
    assert limited.state() == "stopped"
    assert limited.deploy(generation=2) == "UPDATE_ROLLBACK_COMPLETE"
    assert "raise the limit" in limited.stack.reason("SpendLimitCheckB291BFC3")


@pytest.mark.tier("all")
def test_a_stop_that_ec2_refuses_is_tried_again(limited: Limited) -> None:
    control = limited.aws.control
    at = limited.notice().stops_at
    assert at is not None
    control.fault("StopInstances", "deny", times=1)
    control.advance(at - control.clock() + 5 * 60)
    assert limited.state() == "stopped"


@pytest.mark.tier("all")
def test_a_limit_that_is_set_later_counts_the_run_that_it_finds(
    aws: LocalAws, stack: MakeStack
) -> None:
    one = Limited(aws, stack(), monthly_budget_usd="none", budget_email="none")
    assert one.deploy("create_stack") == "CREATE_COMPLETE"
    aws.control.advance(3 * HOUR)
    assert one.deploy(monthly_budget_usd=1) == "UPDATE_COMPLETE"
    aws.control.advance(60)
    assert one.state() == "stopped"
    assert one.machine_usd() == pytest.approx(3 * 0.526, rel=0.01)
    assert one.deploy(monthly_budget_usd="none") == "UPDATE_COMPLETE"
    one.start()
    aws.control.advance(HOUR)
    assert one.state() == "running"


@pytest.mark.tier("all")
def test_a_type_that_was_changed_by_hand_is_counted_at_its_own_price(limited: Limited) -> None:
    limited.stop()
    limited.aws.client("ec2").modify_instance_attribute(
        InstanceId=limited.machine, InstanceType={"Value": "g4dn.2xlarge"}
    )
    limited.start()
    (last,) = [run for run in limited.records().ledger.runs.values() if run.ended is None]
    assert (last.instance_type, last.usd_per_hour) == ("g4dn.2xlarge", 0.752)
    assert limited.state() == "running"


@pytest.mark.tier("all")
def test_a_raise_does_not_need_the_price_list(limited: Limited) -> None:
    limited.aws.control.fault("GetProducts", "deny")
    assert limited.deploy(monthly_budget_usd=7) == "UPDATE_COMPLETE"
    assert limited.notice().limit_usd == 7
    assert limited.deploy(instance_type="g4dn.2xlarge") == "UPDATE_ROLLBACK_COMPLETE"
    assert limited.state() == "running"


@pytest.mark.tier("all")
def test_without_a_price_the_limit_is_refused(aws: LocalAws, stack: MakeStack) -> None:
    aws.control.fault("GetProducts", "deny")
    one = Limited(aws, stack())
    assert one.deploy("create_stack") == "ROLLBACK_COMPLETE"
    assert "could not be read from AWS's price list" in one.stack.reason("SpendLimitCheckB291BFC3")


@pytest.mark.tier("all")
def test_only_the_machines_of_the_stack_may_be_stopped_by_it(limited: Limited) -> None:
    ec2 = limited.aws.client("ec2")
    subnet = ec2.describe_subnets()["Subnets"][0]["SubnetId"]
    other = ec2.run_instances(
        ImageId=limited.stack.outputs()["ImageId"],
        InstanceType="g4dn.xlarge",
        SubnetId=subnet,
        MinCount=1,
        MaxCount=1,
    )["Instances"][0]["InstanceId"]
    role = limited.stack.physical_id("SpendLimitHandlerRole5837430C")
    keys = limited.aws.control.role_session(role)
    theirs = boto3.client(
        "ec2",
        limited.aws.region,
        endpoint_url=limited.aws.url,
        aws_access_key_id=keys["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=keys["AWS_SECRET_ACCESS_KEY"],
        aws_session_token=keys["AWS_SESSION_TOKEN"],
    )
    try:
        with pytest.raises(ClientError, match="UnauthorizedOperation"):
            theirs.stop_instances(InstanceIds=[other])
        theirs.stop_instances(InstanceIds=[limited.machine])
    finally:
        ec2.terminate_instances(InstanceIds=[other])
