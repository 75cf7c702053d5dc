"""Counts what the machines of a stack cost in a month, and stops them when the limit is spent.

EventBridge calls it for each state change of an instance, EventBridge Scheduler every hour and at
the moment when the next part of the limit is reached, CloudFormation at each deploy. Each call does
the same: it compares the ledger with what EC2 says, and acts on the sum. So a call that is lost,
late or repeated changes nothing that the next one does not put right.

"Now" is the ``Date`` of EC2's response: one clock with the times that EC2 gives for machines.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from gpustation.aws.spend_ledger import Records
from gpustation.aws.stack_machines import STOPPABLE, read_machines
from gpustation.aws.stacks import is_rolling_back
from gpustation.catalog.prices import ADDRESS_PER_HOUR
from gpustation.catalog.spend_limit import Finding, judge, too_little_left
from gpustation.catalog.spending import Fact, Month, NoPriceError, Rates, Seen, reconcile
from gpustation.handlers.responder import Event, RefusedError, Response, respond
from gpustation.handlers.spend_actions import Actions
from gpustation.handlers.spend_place import Clients, Place, make_clients
from gpustation.handlers.spend_prices import store_prices

CHECK = "Custom::SpendLimit"
"""Type of the resource that checks the limit before anything is billed."""
STATE_CHANGE = "EC2 Instance State-change Notification"

log = logging.getLogger(__name__)
log.setLevel(logging.INFO)


def on_event(event: dict[str, Any], context: Any) -> None:
    """Entry point of the Lambda function."""
    place = Place.of(os.environ)
    meter = Meter(place, make_clients(place), context.invoked_function_arn)
    if "ResourceType" in event:
        respond(event, context, meter.decide, on_delete=meter.end)
        return
    meter.count(_fact(event))


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
        self._actions = Actions(place, clients, function_arn)

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
        store_prices(self._place, self._clients, instance_type)
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
            self._actions.schedule(None)

    def count(self, fact: Fact | None) -> Finding | None:
        """Brings the ledger up to date and acts on it.

        Args:
            fact: The state change that is the reason; ``None`` for another reason.

        Returns:
            What was found; ``None`` for an instance of others, and if the stack is being deleted.
        """
        seen, now = read_machines(self._clients.ec2, self._place.stack_id)
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
        self._actions.act(finding, records, now)
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

    def _has_machine(self) -> bool:
        """Whether the stack has a machine already, for which the limit is new."""
        seen, _ = read_machines(self._clients.ec2, self._place.stack_id)
        return any(one.state not in ("shutting-down", "terminated") for one in seen)

    def _store_prices_of_unknown(self, instance_type: str) -> None:
        try:
            store_prices(self._place, self._clients, instance_type)
        except RefusedError as error:
            log.error("%s", error)


def _is_ours(fact: Fact, seen: list[Seen], records: Records) -> bool:
    known = {one.machine for one in seen} | set(records.ledger.disks)
    return fact.machine in known
