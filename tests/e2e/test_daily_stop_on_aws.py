"""The daily stop as it is deployed: its schedule, its function and its permissions at work.

Only here do the schedule's expression, its time zone, its role and the function meet a machine. The
clock is that of an account of its own, which the tests move. How Scheduler treats a day on which
clocks change is what its user guide says; no AWS was asked.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import date, datetime, timedelta, timezone
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from gpustation.aws.own_rules import PREFIX
from localaws import LocalAws
from tests.e2e.conftest import G_QUOTA
from tests.support.bootstrap import bootstrap
from tests.support.cdk_cli import STACK, Account, Cdk, assert_nothing_left, delete_stack, gpustation

BERLIN, NEW_YORK, KOLKATA = "Europe/Berlin", "America/New_York", "Asia/Kolkata"
AT_22 = f"22:00 {BERLIN}"


class Deployed:
    """A workstation with a daily stop, in an account whose clock the tests move."""

    def __init__(self, aws: LocalAws, cdk: Cdk) -> None:
        self.aws, self.cdk = aws, cdk
        self.account = Account(aws)
        self.ec2, self.scheduler = aws.client("ec2"), aws.client("scheduler")

    def day(self, days: int) -> date:
        """The day that is so many days after the one that the clock shows."""
        now = datetime.fromtimestamp(self.aws.control.clock(), timezone.utc)
        return now.date() + timedelta(days=days)

    def schedules(self) -> list[dict[str, Any]]:
        groups = self.scheduler.list_schedule_groups()["ScheduleGroups"]
        names = [one["Name"] for one in groups if one["Name"] != "default"]
        return [
            self.scheduler.get_schedule(Name=row["Name"], GroupName=name)
            for name in names
            for row in self.scheduler.list_schedules(GroupName=name)["Schedules"]
        ]

    def change(self, **new: Any) -> None:
        """Change the schedules as UpdateSchedule does, which replaces all."""
        kept = (
            *("Name", "GroupName", "ScheduleExpression", "ScheduleExpressionTimezone", "Target"),
            *("FlexibleTimeWindow", "State"),
        )
        for schedule in self.schedules():
            request = {name: schedule[name] for name in kept if name in schedule}
            self.scheduler.update_schedule(**{**request, **new})

    def set(self, stop_at: str, patience: int, net: str) -> None:
        """Change the only schedule to another time, as a deploy would."""
        hour, minute = net.split(":")
        (schedule,) = self.schedules()
        told = json.loads(schedule["Target"]["Input"])
        told.update(stop_at=stop_at, patience=patience)
        self.change(
            Target={**schedule["Target"], "Input": json.dumps(told)},
            ScheduleExpression=f"cron({int(minute)} {int(hour)} * * ? *)",
            ScheduleExpressionTimezone=stop_at.split()[1],
        )

    def move_to(self, moment: datetime, *, idly: bool = False) -> None:
        """Move the clock; idly without the runs of the days between."""
        if idly:
            self.change(State="DISABLED")
        self.aws.control.advance(moment.timestamp() - self.aws.control.clock())
        if idly:
            self.change(State="ENABLED")

    def start(self) -> str:
        """Start the machine unless it runs."""
        machine = self.account.instance()
        if machine["State"]["Name"] == "stopped":
            self.ec2.start_instances(InstanceIds=[machine["InstanceId"]])
        assert self.aws.control.machine_idle(machine["InstanceId"])
        return str(machine["InstanceId"])

    def state(self) -> str:
        return str(self.account.instance()["State"]["Name"])

    def last_stop(self) -> datetime:
        events = self.aws.control.history(self.account.instance()["InstanceId"])
        stops = [event.time for event in events if event.event == "stopped"]
        return datetime.fromtimestamp(stops[-1], timezone.utc)


@pytest.fixture(scope="module")
def created(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployed]:
    with LocalAws() as aws:
        bootstrap(aws, tmp_path_factory)
        aws.control.set_quota(G_QUOTA, 8)
        cdk = Cdk(aws, tmp_path_factory.mktemp("daily-stop"))
        assert cdk.deploy(stop_at=AT_22).status == 0
        yield Deployed(aws, cdk)
        delete_stack(aws, STACK)
        assert_nothing_left(aws)


@pytest.fixture
def deployed(created: Deployed) -> Deployed:
    """As it was deployed, on some later day."""
    created.set(AT_22, 0, "22:00")
    return created


def on(day: date, time: str, zone: str = BERLIN) -> datetime:
    return datetime.fromisoformat(f"{day} {time}").replace(tzinfo=ZoneInfo(zone))


def changes(zone: str, after: date) -> list[date]:
    """The next two days on which summer time begins or ends."""
    days = [after + timedelta(days=n) for n in range(1, 370)]
    offsets = [on(day, "12:00", zone).utcoffset() for day in days]
    return [
        day for day, old, new in zip(days[1:], offsets, offsets[1:], strict=False) if old != new
    ]


def open_port(deployed: Deployed, address: str, until: datetime) -> None:
    (group,) = deployed.account.instance()["SecurityGroups"]
    stamp = f"{until.astimezone(timezone.utc):%Y-%m-%dT%H:%MZ}"
    network = {"CidrIp": f"{address}/32", "Description": f"{PREFIX}{stamp}"}
    rule = {"IpProtocol": "tcp", "FromPort": 22, "ToPort": 22, "IpRanges": [network]}
    deployed.ec2.authorize_security_group_ingress(GroupId=group["GroupId"], IpPermissions=[rule])


def open_to(deployed: Deployed) -> list[str]:
    (group,) = deployed.account.instance()["SecurityGroups"]
    (described,) = deployed.ec2.describe_security_groups(GroupIds=[group["GroupId"]])[
        "SecurityGroups"
    ]
    return [row["CidrIp"] for rule in described["IpPermissions"] for row in rule["IpRanges"]]


def test_it_stops_the_machine_and_closes_what_has_expired(deployed: Deployed) -> None:
    deployed.start()
    day = deployed.day(1)
    deployed.move_to(on(day, "21:50"), idly=True)
    open_port(deployed, "203.0.113.7", on(day, "22:00"))
    open_port(deployed, "203.0.113.8", on(day, "22:30"))
    deployed.move_to(on(day, "21:59:30"))
    assert deployed.state() == "running"

    deployed.move_to(on(day, "22:02"))

    assert deployed.state() == "stopped"
    assert on(day, "22:00") <= deployed.last_stop() < on(day, "22:01")
    assert open_to(deployed) == ["203.0.113.8/32"]


@pytest.mark.tier("all")
def test_a_machine_started_after_it_runs_until_the_next_day(deployed: Deployed) -> None:
    day, after = deployed.day(1), deployed.day(2)
    deployed.ec2.stop_instances(InstanceIds=[deployed.account.instance()["InstanceId"]])
    deployed.move_to(on(day, "22:00:20"), idly=True)
    deployed.start()
    # A call that is late, as the schedule's retries allow
    (schedule,) = deployed.schedules()
    deployed.aws.client("lambda").invoke(
        FunctionName=schedule["Target"]["Arn"], Payload=schedule["Target"]["Input"].encode()
    )
    deployed.move_to(on(after, "21:59"))
    assert deployed.state() == "running"

    deployed.move_to(on(after, "22:02"))

    assert deployed.last_stop() >= on(after, "22:00")
    shown = gpustation(deployed.aws, "status", "--stack", STACK)
    rows = [line.split() for line in shown.stdout.splitlines()]
    assert ["daily", "stop", *AT_22.split()] in rows


@pytest.mark.tier("all")
def test_the_right_minute_in_three_zones_over_both_changes_of_summer_time(
    deployed: Deployed,
) -> None:
    """On the day before each change and on the day itself; with a patience of 30 minutes."""
    seen = []
    for zone in (BERLIN, NEW_YORK, KOLKATA):
        for change in changes(zone, deployed.day(1)) or [deployed.day(2)]:
            for day in (change - timedelta(days=1), change):
                deployed.move_to(on(day, "12:00", zone), idly=True)
                deployed.set(f"22:00 {zone}", 30, "22:30")
                deployed.start()
                deployed.move_to(on(day, "23:00", zone))
                stopped = deployed.last_stop()
                assert on(day, "22:30", zone) <= stopped < on(day, "22:31", zone), (zone, day)
                seen.append(stopped.astimezone(ZoneInfo(zone)).utcoffset())
    assert len(seen) == 10 and len({*seen}) == 5, "summer and winter of two, and India's"


@pytest.mark.tier("all")
def test_changed_in_place_to_a_time_that_clocks_skip_then_turned_off_and_on(
    deployed: Deployed,
) -> None:
    machine = deployed.start()
    events = deployed.account.events(machine)
    assert deployed.cdk.deploy(stop_at=f"02:30 {BERLIN}").status == 0
    assert [one["ScheduleExpression"] for one in deployed.schedules()] == [
        *("cron(30 2 * * ? *)", "cron(0 3 * * ? *)"),
    ]
    assert deployed.account.events(machine) == events, "neither stopped nor replaced"

    spring = next(day for day in changes(BERLIN, deployed.day(1)) if day.month == 3)
    deployed.move_to(on(spring, "01:30"), idly=True)
    deployed.move_to(on(spring, "03:05"))
    assert on(spring, "03:00") <= deployed.last_stop() < on(spring, "03:01")

    deployed.start()
    events = deployed.account.events(machine)
    assert deployed.cdk.deploy().status == 0
    assert deployed.schedules() == []
    functions = deployed.aws.client("lambda").list_functions()["Functions"]
    assert not [one for one in functions if "DailyStop" in one["FunctionName"]]
    assert deployed.account.events(machine) == events
    assert deployed.cdk.deploy(stop_at=AT_22).status == 0
    assert len(deployed.schedules()) == 1
    assert deployed.account.events(machine) == events
