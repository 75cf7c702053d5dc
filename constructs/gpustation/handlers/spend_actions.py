"""What a spend limit does: it stops machines, writes the notice, mails, and plans its next call."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from datetime import datetime, timezone
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from gpustation.aws.calls import error_code
from gpustation.aws.spend_ledger import Records
from gpustation.aws.spend_notice import Notice
from gpustation.catalog.spend_limit import NEXT_CALL, Finding
from gpustation.handlers.spend_place import Clients, Place

log = logging.getLogger(__name__)
log.setLevel(logging.INFO)


class Actions:
    """The actions of one call.

    Args:
        place: The resources of the stack.
        clients: The AWS clients.
        function_arn: ARN of the function, which its schedules call.
    """

    def __init__(self, place: Place, clients: Clients, function_arn: str) -> None:
        self._place = place
        self._clients = clients
        self._function_arn = function_arn

    def act(self, finding: Finding, records: Records, now: float) -> None:
        """Stop, tell and schedule; each of them is tried although another one fails.

        Args:
            finding: What was found.
            records: The ledger that it was found in.
            now: When.

        Raises:
            ClientError: One of them failed, so that Lambda calls again.
            BotoCoreError: AWS was not reached.
        """
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
        attempt(lambda: self.schedule(finding.next_at))
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

    def schedule(self, at: float | None) -> None:
        """Replace the schedule of the next call.

        Args:
            at: When to call; ``None``: there is nothing to wait for.
        """
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
