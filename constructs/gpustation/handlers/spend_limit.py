"""Counts what the machines of a stack cost in a month, and stops them when the limit is spent.

EventBridge calls it for each state change of an instance, EventBridge Scheduler every hour and at
the moment when the next part of the limit is reached, CloudFormation at each deploy. Each call does
the same: it compares the ledger with what EC2 says, and acts on the sum. So a call that is lost,
late or repeated changes nothing that the next one does not put right.

"Now" is the ``Date`` of EC2's response: one clock with the times that EC2 gives for machines.
"""

from __future__ import annotations

import json
import logging
import os
import re
from calendar import timegm
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timezone
from email.utils import parsedate_to_datetime
from time import strptime
from typing import TYPE_CHECKING, Any

import boto3
from botocore.exceptions import BotoCoreError, ClientError

from gpustation.aws.calls import RETRIES, UnknownError, call_aws, error_code
from gpustation.aws.price_list import API_REGION, disk_from_price_list, from_price_list
from gpustation.aws.spend_ledger import Records, SpendLedger
from gpustation.aws.spend_notice import Notice
from gpustation.aws.stacks import is_rolling_back
from gpustation.catalog.prices import ADDRESS_PER_HOUR
from gpustation.catalog.spend_limit import NEXT_CALL, Finding, judge, too_little_left
from gpustation.catalog.spending import Fact, Month, NoPriceError, Rates, Seen, reconcile
from gpustation.handlers.responder import Event, RefusedError, Response, respond

if TYPE_CHECKING:
    from mypy_boto3_cloudformation import CloudFormationClient
    from mypy_boto3_ec2 import EC2Client
    from mypy_boto3_pricing import PricingClient
    from mypy_boto3_scheduler import EventBridgeSchedulerClient
    from mypy_boto3_sns import SNSClient
    from mypy_boto3_ssm import SSMClient

CHECK = "Custom::SpendLimit"
"""Type of the resource that checks the limit before anything is billed."""
STATE_CHANGE = "EC2 Instance State-change Notification"
STOPPABLE = "running"
"""EC2 refuses to stop an instance that is pending; the event of its next state comes soon."""
_TRANSITION = re.compile(r"\((\d{4}-\d\d-\d\d \d\d:\d\d:\d\d) GMT\)")
"""Time in EC2's StateTransitionReason, e.g. ``User initiated (2026-11-29 04:02:11 GMT)``."""

log = logging.getLogger(__name__)
log.setLevel(logging.INFO)


@dataclass(frozen=True)
class Place:
    """The resources of the stack, from the function's environment.

    Attributes:
        stack_id: Stack whose machines are counted.
        limit_usd: The setting ``monthly_budget_usd``.
        disk_gib: Size of the root disk of machines that are created, in GiB.
        table: Name of the ledger's table.
        notice: Name of the notice's parameter.
        group: Name of the group of its schedules.
        role: ARN of the role by which a schedule calls this function.
        topic: ARN of the topic for mails; empty without ``budget_email``.
    """

    stack_id: str
    limit_usd: float
    disk_gib: int
    table: str
    notice: str
    group: str
    role: str
    topic: str

    @classmethod
    def of(cls, environment: Mapping[str, str]) -> Place:
        """The place that an environment describes."""
        return cls(
            stack_id=environment["STACK_ID"],
            limit_usd=float(environment["LIMIT_USD"]),
            disk_gib=int(environment["DISK_GIB"]),
            table=environment["TABLE"],
            notice=environment["NOTICE"],
            group=environment["GROUP"],
            role=environment["SCHEDULE_ROLE"],
            topic=environment.get("TOPIC", ""),
        )

    @property
    def stack(self) -> str:
        """Name of the stack."""
        return self.stack_id.split("/")[1]


@dataclass(frozen=True)
class Clients:
    """The AWS clients; without ``pricing`` the partition has no price list."""

    cloudformation: CloudFormationClient
    ec2: EC2Client
    ledger: SpendLedger
    pricing: PricingClient | None
    scheduler: EventBridgeSchedulerClient
    sns: SNSClient
    ssm: SSMClient


def on_event(event: dict[str, Any], context: Any) -> None:
    """Entry point of the Lambda function."""
    place = Place.of(os.environ)
    meter = Meter(place, _clients(place), context.invoked_function_arn)
    if "ResourceType" in event:
        respond(event, context, meter.decide, on_delete=meter.end)
        return
    meter.count(_fact(event))


def _clients(place: Place) -> Clients:
    def client(service: str, **more: Any) -> Any:
        return boto3.client(service, config=RETRIES, **more)  # type: ignore[call-overload]

    ec2 = client("ec2")
    region = API_REGION.get(ec2.meta.partition)
    return Clients(
        client("cloudformation"),
        ec2,
        SpendLedger(client("dynamodb"), place.table),
        client("pricing", region_name=region) if region else None,
        client("scheduler"),
        client("sns"),
        client("ssm"),
    )


def _fact(event: Mapping[str, Any]) -> Fact | None:
    """The state change that an event tells; ``None`` for a schedule's call."""
    if event.get("detail-type") != STATE_CHANGE:
        return None
    at = datetime.fromisoformat(event["time"].replace("Z", "+00:00")).timestamp()
    return Fact(event["detail"]["instance-id"], event["detail"]["state"], at)


class Meter:
    """One call of the function.

    Args:
        place: The resources of the stack.
        clients: The AWS clients.
        function_arn: ARN of this function, which its schedules call.
    """

    def __init__(self, place: Place, clients: Clients, function_arn: str) -> None:
        self._place = place
        self._clients = clients
        self._function_arn = function_arn

    def decide(self, event: Event) -> Response:
        """Counts at a deploy, and refuses one that the limit does not allow.

        Raises:
            RefusedError: The price of the type is not known, or too little of the limit is left for
                the set-up of a machine.
        """
        physical_id = event.get("PhysicalResourceId") or f"{event['LogicalResourceId']}-counted"
        if event["ResourceType"] != CHECK:
            self.count(None)
            return Response(physical_id)
        updating = event["RequestType"] == "Update"
        if updating and is_rolling_back(self._clients.cloudformation, event):
            return Response(physical_id, {"Message": "not checked: the stack was rolling back"})
        properties = event["ResourceProperties"]
        instance_type = properties["InstanceType"]
        self._store_prices(instance_type)
        finding = self.count(None)
        assert finding  # the stack is not being deleted
        old = event.get("OldResourceProperties")
        is_first = old is None and not self._has_machine()
        if is_first or (old and old["Generation"] != properties["Generation"]):
            rate = self._clients.ledger.read().machines[instance_type] + ADDRESS_PER_HOUR
            if refusal := too_little_left(finding, instance_type, rate):
                raise RefusedError(refusal)
        return Response(physical_id, {"Message": finding.in_words})

    def end(self, event: Event) -> None:
        """Ends counting when the stack is deleted, before its schedule group goes."""
        if event["ResourceType"] == CHECK:
            self._clients.ledger.close()
            self._schedule(None)

    def count(self, fact: Fact | None) -> Finding | None:
        """Brings the ledger up to date and acts on it.

        Args:
            fact: The state change that is the reason; ``None`` for another reason.

        Returns:
            What was found; ``None`` for an instance of others, and if the stack is being deleted.
        """
        seen, now = self._describe()
        records = self._clients.ledger.read()
        if records.closed or (fact and not _is_ours(fact, seen, records)):
            return None
        unpriced = ""
        try:
            records = self._reconciled(records, seen, fact, now)
        except NoPriceError as error:
            # Nobody can say what it costs, so it must not run
            unpriced = f"the price of a {error} is not known, so its costs cannot be counted"
        finding = judge(
            records.ledger,
            self._place.limit_usd,
            now,
            running=[one.machine for one in seen if one.state == STOPPABLE],
            spent_limit_usd=records.stops.get(str(Month.of(now)), (0.0, 0.0))[1],
            unpriced=unpriced,
        )
        self._act(finding, records, now)
        return finding

    def _reconciled(
        self, records: Records, seen: list[Seen], fact: Fact | None, now: float
    ) -> Records:
        ledger = self._clients.ledger
        try:
            changes = reconcile(records.ledger, seen, fact, self._rates(records), now)
        except NoPriceError as error:
            # Somebody changed the type without a deploy
            log.warning("no price of %s is stored", error)
            self._store_prices_of_unknown(str(error))
            records = ledger.read()
            changes = reconcile(records.ledger, seen, fact, self._rates(records), now)
        if not changes:
            return records
        ledger.write(changes)
        return ledger.read()  # another call may have known some of it better

    def _rates(self, records: Records) -> Rates:
        gib = records.disk_per_gib or 0.0
        return Rates(records.machines, ADDRESS_PER_HOUR, gib * self._place.disk_gib)

    def _act(self, finding: Finding, records: Records, now: float) -> None:
        """Stop, tell and schedule; each of them is tried although another one fails."""
        faults: list[Exception] = []

        def attempt(action: Callable[[], object]) -> None:
            try:
                action()
            except (ClientError, BotoCoreError) as fault:
                log.exception("not done")
                faults.append(fault)

        stopped_at = records.stops.get(str(finding.month), (None, 0.0))[0]
        if finding.stop:
            log.info("stopping %s: %s", ", ".join(finding.stop), finding.reason)
            attempt(lambda: self._clients.ec2.stop_instances(InstanceIds=[*finding.stop]))
            if not faults:
                stopped_at = now
                # A stop for want of a price does not spend the limit
                spent = 0.0 if finding.is_unpriced else finding.limit_usd
                attempt(lambda: self._clients.ledger.note_stop(finding.month, now, spent))
        attempt(lambda: self._schedule(finding.next_at))
        attempt(lambda: self._notify(finding, stopped_at, now))
        told = records.told.get(str(finding.month), frozenset())
        over = told - set(finding.reached)
        if over:  # the limit was raised
            attempt(lambda: self._clients.ledger.release(finding.month, over))
        for percent in finding.reached:
            if percent not in told:
                attempt(lambda percent=percent: self._mail(finding, percent))  # type: ignore[misc]
        if faults:
            raise faults[0]  # so that Lambda calls again

    def _notify(self, finding: Finding, stopped_at: float | None, now: float) -> None:
        notice = Notice(
            finding.month,
            self._place.limit_usd,
            finding.spent,
            finding.usd_per_hour,
            now,
            finding.stops_at,
            stopped_at,
            finding.reason,
        )
        self._clients.ssm.put_parameter(
            Name=self._place.notice, Value=notice.to_json(), Type="String", Overwrite=True
        )

    def _mail(self, finding: Finding, percent: int) -> None:
        if not self._place.topic:
            return
        if not self._clients.ledger.claim(finding.month, percent):
            return
        try:
            self._clients.sns.publish(
                TopicArn=self._place.topic,
                Subject=finding.subject(self._place.stack, percent),
                Message=finding.message(self._place.stack, percent),
            )
        except (ClientError, BotoCoreError):
            self._clients.ledger.release(finding.month, [percent])
            raise

    def _schedule(self, at: float | None) -> None:
        """Replace the schedule for the next moment; ``None``: there is nothing to wait for."""
        scheduler, group = self._clients.scheduler, self._place.group
        if at is None:
            try:
                scheduler.delete_schedule(Name=NEXT_CALL, GroupName=group)
            except ClientError as error:
                if error_code(error) != "ResourceNotFoundException":
                    raise
            return
        moment = datetime.fromtimestamp(at, timezone.utc).strftime("%Y-%m-%dT%H:%M:%S")
        wanted: dict[str, Any] = {
            "Name": NEXT_CALL,
            "GroupName": group,
            "ScheduleExpression": f"at({moment})",
            "FlexibleTimeWindow": {"Mode": "OFF"},
            "ActionAfterCompletion": "DELETE",
            "Target": {
                "Arn": self._function_arn,
                "RoleArn": self._place.role,
                "Input": json.dumps({"gpustation": NEXT_CALL}),
                "RetryPolicy": {"MaximumEventAgeInSeconds": 3600, "MaximumRetryAttempts": 10},
            },
        }
        try:
            scheduler.update_schedule(**wanted)
        except ClientError as error:
            if error_code(error) != "ResourceNotFoundException":
                raise
            try:
                scheduler.create_schedule(**wanted)
            except ClientError as conflict:  # a call at the same time made it
                if error_code(conflict) != "ConflictException":
                    raise
                scheduler.update_schedule(**wanted)

    def _describe(self) -> tuple[list[Seen], float]:
        """The stack's instances that EC2 still knows, and EC2's time."""
        pages = self._clients.ec2.get_paginator("describe_instances").paginate(
            Filters=[{"Name": "tag:aws:cloudformation:stack-id", "Values": [self._place.stack_id]}]
        )
        seen: list[Seen] = []
        now = 0.0
        for page in call_aws("the stack's instances", lambda: [*pages]):
            date = page["ResponseMetadata"]["HTTPHeaders"]["date"]
            now = parsedate_to_datetime(date).timestamp()
            for reservation in page["Reservations"]:
                seen += [_seen(row) for row in reservation["Instances"]]
        return seen, now

    def _has_machine(self) -> bool:
        """Whether the stack has a machine already, for which the limit is new."""
        seen, _ = self._describe()
        return any(one.state not in ("shutting-down", "terminated") for one in seen)

    def _store_prices(self, instance_type: str) -> None:
        """Read the prices of a machine and its disk from the price list and store them.

        If the price list cannot be reached, prices that were stored before are kept.

        Raises:
            RefusedError: They are not known.
        """
        records = self._clients.ledger.read()
        stored = {*records.machines, *(["gp3"] if records.disk_per_gib is not None else [])}
        without = "use another type, or deploy without monthly_budget_usd"
        region, pricing = self._clients.ec2.meta.region_name, self._clients.pricing
        limit = f"monthly_budget_usd={self._place.limit_usd:g}"
        if pricing is None:
            raise RefusedError(
                f"{limit}: AWS has no price list for {region}, so costs cannot be counted; deploy "
                "without monthly_budget_usd"
            )
        for name, read in (
            (instance_type, lambda: from_price_list(pricing, region, instance_type)),
            ("gp3", lambda: disk_from_price_list(pricing, region)),
        ):
            try:
                price = call_aws(f"price of {name}", read)
            except (UnknownError, ClientError) as error:
                if name in stored:
                    log.warning("the stored price of %s is kept: %s", name, error)
                    continue
                raise RefusedError(
                    f"{limit}: the price of a {name} in {region} could not be read from AWS's "
                    f"price list ({error}), so costs cannot be counted; deploy again later, or "
                    "without monthly_budget_usd"
                ) from error
            if price is None or price.usd_per_hour is None:
                raise RefusedError(
                    f"{limit}: AWS's price list has no single price of a {name} in {region}, so "
                    f"costs cannot be counted; {without}"
                )
            self._clients.ledger.store_price(name, price.usd_per_hour, price.as_of)

    def _store_prices_of_unknown(self, instance_type: str) -> None:
        try:
            self._store_prices(instance_type)
        except RefusedError as error:
            log.error("%s", error)


def _is_ours(fact: Fact, seen: list[Seen], records: Records) -> bool:
    known = {one.machine for one in seen} | set(records.ledger.disks)
    return fact.machine in known


def _seen(row: Mapping[str, Any]) -> Seen:
    changed = _TRANSITION.search(row.get("StateTransitionReason") or "")
    disks = row.get("BlockDeviceMappings") or []
    launched = row["LaunchTime"].timestamp()
    made = min(
        (disk["Ebs"]["AttachTime"].timestamp() for disk in disks if "AttachTime" in disk["Ebs"]),
        default=launched,
    )
    return Seen(
        machine=row["InstanceId"],
        state=row["State"]["Name"],
        instance_type=row["InstanceType"],
        launched=launched,
        made=min(made, launched),
        changed=float(timegm(strptime(changed[1], "%Y-%m-%d %H:%M:%S"))) if changed else None,
    )
