"""Stops one machine at its daily stop, and removes rules of ``allow-my-ip`` whose time is over.

EventBridge Scheduler calls it at ``stop_at`` plus the patience, and where clocks may skip that
time also after the gap. It stops a machine only if it was last started before the stop, so that
one which somebody starts late in the evening runs on.

The current time is the ``Date`` of EC2's response, because the machine's ``LaunchTime`` is of the
same clock. The due stop is the one *nearest* to that time less the patience, not the last one
before it: then a call that is early by a second, or a law about summer time which this runtime does
not know yet, does not let a machine run for another day.
"""

from __future__ import annotations

import logging
from datetime import datetime, timedelta, timezone
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfoNotFoundError

import boto3

from gpustation.aws.calls import RETRIES
from gpustation.aws.own_rules import group_of, remove
from gpustation.catalog.wall_time import WallTime

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mypy_boto3_ec2 import EC2Client
    from mypy_boto3_ec2.type_defs import InstanceTypeDef

log = logging.getLogger(__name__)
log.setLevel(logging.INFO)

RUNS = ("pending", "running")


def on_event(event: Mapping[str, Any], _context: object) -> None:
    """Entry point of the Lambda function."""
    handle(event, boto3.client("ec2", config=RETRIES))


def handle(event: Mapping[str, Any], ec2: EC2Client) -> None:
    """Stops the machine if its stop is due, and removes expired rules even if that fails.

    Args:
        event: ``instance_id``; ``stop_at``, e.g. ``22:00 Europe/Berlin``; ``patience`` in minutes;
            ``security_group_id``, empty if the group is not of the machine's stack.
        ec2: The client.

    Raises:
        ClientError: AWS refused a call; Lambda then calls again.
    """
    response = ec2.describe_instances(
        Filters=[{"Name": "instance-id", "Values": [event["instance_id"]]}]
    )
    now = _date(response["ResponseMetadata"]["HTTPHeaders"])
    machines = [
        machine for group in response["Reservations"] for machine in group.get("Instances", [])
    ]
    try:
        for machine in machines:
            _stop_if_due(machine, event, now, ec2)
        if not machines:
            log.info("there is no %s", event["instance_id"])
    finally:
        if event["security_group_id"]:
            _remove_expired(event["security_group_id"], now, ec2)


def due_stop(stop_at: str, patience: timedelta, now: datetime) -> datetime:
    """The daily stop for which it is now time.

    Without time zones in this runtime: so long ago as the machine may delay it.
    """
    try:
        return WallTime.parse(stop_at).nearest(now - patience)
    except ZoneInfoNotFoundError:
        log.warning("%s: this runtime does not know the time zone", stop_at)
        return now - patience


def _stop_if_due(
    machine: InstanceTypeDef, event: Mapping[str, Any], now: datetime, ec2: EC2Client
) -> None:
    name, state = machine["InstanceId"], machine["State"]["Name"]
    due = due_stop(event["stop_at"], timedelta(minutes=event["patience"]), now)
    if state not in RUNS:
        log.info("%s is %s; nothing to stop", name, state)
    elif machine["LaunchTime"] >= due:
        started = machine["LaunchTime"]
        log.info("%s runs on: started at %s, after the stop of %s", name, started, due)
    else:
        ec2.stop_instances(InstanceIds=[name])
        log.info(
            "stopped %s: daily stop at %s, patience %s min",
            *(name, event["stop_at"], event["patience"]),
        )


def _remove_expired(group_id: str, now: datetime, ec2: EC2Client) -> None:
    filters = [{"Name": "group-id", "Values": [group_id]}]
    groups = ec2.describe_security_groups(Filters=filters)["SecurityGroups"]  # type: ignore[arg-type]
    for group in groups:
        for rule in group_of(group).own:
            if rule.expired(now):
                remove(ec2, rule)
                log.info("removed the expired rule of allow-my-ip for %s", rule)


def _date(headers: Mapping[str, str]) -> datetime:
    """The time in a response's ``Date``; of this computer if it has none."""
    date = headers.get("date")
    return parsedate_to_datetime(date) if date else datetime.now(timezone.utc)
