"""The handler of the daily stop: what it stops and leaves alone, and which rules it removes."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta, timezone
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import pytest
from botocore.exceptions import ClientError
from stubbed_aws import StubbedAws

from gpustation.aws.own_rules import PREFIX
from gpustation.catalog.wall_time import WallTime
from gpustation.handlers import daily_stop

MACHINE, GROUP = "i-0123456789abcdef0", "sg-0123456789abcdef0"
BERLIN = ZoneInfo("Europe/Berlin")


def event(stop_at: str = "22:00 Europe/Berlin", patience: int = 0, group: str = "") -> Any:
    return {
        "instance_id": MACHINE,
        "stop_at": stop_at,
        "patience": patience,
        "security_group_id": group,
    }


def at(text: str, zone: str = "Europe/Berlin") -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone))


class Machine:
    """A stubbed EC2 with one machine."""

    def __init__(self, aws: StubbedAws) -> None:
        self.aws = aws

    def is_called(
        self, now: datetime, started: datetime, *, stops: bool, state: str = "running", **told: Any
    ) -> None:
        """Call the handler; fails if it does not stop the machine, or though it should not."""
        date = now.astimezone(timezone.utc).strftime("%a, %d %b %Y %H:%M:%S GMT")
        machine = {"InstanceId": MACHINE, "State": {"Name": state}, "LaunchTime": started}
        self.aws.answer(
            "ec2",
            "describe_instances",
            {
                "Reservations": [{"Instances": [machine]}],
                "ResponseMetadata": {"HTTPHeaders": {"date": date}},
            },
            {"Filters": [{"Name": "instance-id", "Values": [MACHINE]}]},
        )
        if stops:
            self.aws.answer("ec2", "stop_instances", {}, {"InstanceIds": [MACHINE]})
        daily_stop.handle(event(**told), self.aws.clients["ec2"])
        self.aws.stubbers["ec2"].assert_no_pending_responses()


@pytest.fixture
def machine() -> Machine:
    return Machine(StubbedAws())


@pytest.mark.parametrize("state", ["running", "pending"])
def test_it_stops_a_machine_that_was_started_before(machine: Machine, state: str) -> None:
    machine.is_called(at("2026-06-01 22:00:20"), at("2026-06-01 09:00"), stops=True, state=state)


def test_it_says_why_in_its_log(machine: Machine, caplog: pytest.LogCaptureFixture) -> None:
    """Lambda writes what the root logger gets to the function's log group (developer guide)."""
    now, started = at("2026-06-01 22:30:10"), at("2026-06-01 09:00")
    machine.is_called(now, started, stops=True, patience=30)
    machine.is_called(now, at("2026-06-01 22:10"), stops=False, patience=30)
    stopped, runs_on = caplog.messages
    assert stopped == f"stopped {MACHINE}: daily stop at 22:00 Europe/Berlin, patience 30 min"
    assert runs_on.startswith(f"{MACHINE} runs on: started at 2026-06-01 22:10")


@pytest.mark.parametrize("state", ["stopping", "stopped", "shutting-down", "terminated"])
def test_it_stops_nothing_that_does_not_run(machine: Machine, state: str) -> None:
    machine.is_called(at("2026-06-01 22:00:20"), at("2026-06-01 09:00"), stops=False, state=state)


@pytest.mark.parametrize(
    ("now", "started", "stops"),
    [
        ("22:00:01", "21:59:59", True),
        ("22:14:00", "22:00:00", False),  # a call that is late, and somebody was faster
        ("22:14:00", "21:59:00", True),
        ("21:59:58", "21:00:00", True),  # EC2's clock is behind
    ],
)
def test_a_machine_started_after_the_stop_runs_on(
    machine: Machine, now: str, started: str, stops: bool
) -> None:
    machine.is_called(at(f"2026-06-01 {now}"), at(f"2026-06-01 {started}"), stops=stops)


@pytest.mark.parametrize(("started", "stops"), [("21:59", True), ("22:10", False)])
def test_with_patience_it_is_the_stop_before_it_that_counts(
    machine: Machine, started: str, stops: bool
) -> None:
    now = at("2026-06-01 22:30:10")
    machine.is_called(now, at(f"2026-06-01 {started}"), stops=stops, patience=30)


def test_over_midnight(machine: Machine) -> None:
    night = {"stop_at": "23:30 Europe/Berlin", "patience": 120, "now": at("2026-06-02 01:30:10")}
    machine.is_called(started=at("2026-06-01 23:29"), stops=True, **night)
    machine.is_called(started=at("2026-06-01 23:31"), stops=False, **night)


@pytest.mark.parametrize(
    ("started", "stops"),
    [("2026-03-29 01:59", True), ("2026-03-29 03:00", False)],
)
def test_after_the_gap_of_summer_time(machine: Machine, started: str, stops: bool) -> None:
    """Scheduler skips 02:30; the second schedule calls at 03:00, when the stop is due."""
    machine.is_called(
        at("2026-03-29 03:00:05"), at(started), stops=stops, stop_at="02:30 Europe/Berlin"
    )


def test_the_second_schedule_leaves_a_machine_alone_on_other_days(machine: Machine) -> None:
    machine.is_called(
        at("2026-06-01 03:00:05"),
        at("2026-06-01 02:40"),
        stops=False,
        stop_at="02:30 Europe/Berlin",
    )


def test_without_time_zones_the_net_holds(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whether Lambda's runtime has time zones is not documented."""

    def unknown(_self: object, _moment: object) -> datetime:
        raise ZoneInfoNotFoundError("no time zone found")

    monkeypatch.setattr(WallTime, "nearest", unknown)
    now = at("2026-06-01 22:30:10")
    machine.is_called(now, at("2026-06-01 09:00"), stops=True, patience=30)
    machine.is_called(now, at("2026-06-01 22:10"), stops=False, patience=30)


def test_a_machine_that_is_gone_is_no_error() -> None:
    aws = StubbedAws()
    headers = {"HTTPHeaders": {}}
    aws.answer("ec2", "describe_instances", {"Reservations": [], "ResponseMetadata": headers})
    daily_stop.handle(event(), aws.clients["ec2"])


def rule(until: str, address: str = "203.0.113.7/32", text: str = PREFIX) -> Mapping[str, Any]:
    return {
        "IpProtocol": "tcp",
        "FromPort": 22,
        "ToPort": 22,
        "IpRanges": [{"CidrIp": address, "Description": f"{text}{until}"}],
    }


def test_rules_whose_time_is_over_are_removed_though_the_stop_fails() -> None:
    aws = StubbedAws()
    now = at("2026-06-01 20:00:10", "UTC")
    started = now - timedelta(hours=9)
    machine = {"InstanceId": MACHINE, "State": {"Name": "running"}, "LaunchTime": started}
    headers = {"HTTPHeaders": {"date": "Mon, 01 Jun 2026 20:00:10 GMT"}}
    described = {"Reservations": [{"Instances": [machine]}], "ResponseMetadata": headers}
    aws.answer("ec2", "describe_instances", described)
    aws.fail("ec2", "stop_instances", "IncorrectInstanceState")
    rules = [
        rule("2026-06-01T20:00Z"),
        rule("2026-06-01T20:01Z", "203.0.113.8/32"),
        rule("2026-06-01T10:00Z", "203.0.113.0/24"),  # not one that the verb makes
        rule("", "203.0.113.9/32", "of the stack"),
    ]
    aws.answer(
        "ec2",
        "describe_security_groups",
        {"SecurityGroups": [{"GroupId": GROUP, "IpPermissions": rules}]},
        {"Filters": [{"Name": "group-id", "Values": [GROUP]}]},
    )
    removed = {**rule(""), "IpRanges": [{"CidrIp": "203.0.113.7/32"}]}
    expected = {"GroupId": GROUP, "IpPermissions": [removed]}
    aws.answer("ec2", "revoke_security_group_ingress", {}, expected)

    with pytest.raises(ClientError, match="IncorrectInstanceState"):
        daily_stop.handle(event(group=GROUP), aws.clients["ec2"])
    aws.stubbers["ec2"].assert_no_pending_responses()
