"""Events of EC2: an instance's changes of state, on the default bus."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable
from typing import Literal

from ministack.core.responses import get_account_id, get_region
from ministack.services import eventbridge

State = Literal["pending", "running", "stopping", "stopped", "shutting-down", "terminated"]
DETAIL_TYPE = "EC2 Instance State-change Notification"
WARNING = "EC2 Spot Instance Interruption Warning"


class StateChanges:
    """Sends the events; an account without rules does nothing.

    Args:
        clock: The account's time in seconds since 1970.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock

    def send(self, instance_id: str, state: State) -> None:
        """Send the event of a state that an instance has reached."""
        self._dispatch(instance_id, DETAIL_TYPE, {"state": state})

    def warn(self, instance_id: str, action: str) -> None:
        """Send the event that EC2 will stop or terminate a spot machine."""
        self._dispatch(instance_id, WARNING, {"instance-action": action})

    def _dispatch(self, instance_id: str, kind: str, detail: dict[str, str]) -> None:
        if not eventbridge._rules:
            return
        account, region = get_account_id(), get_region()
        eventbridge._dispatch_event(
            {
                "EventId": str(uuid.uuid4()),
                "Source": "aws.ec2",
                "DetailType": kind,
                "Detail": json.dumps({"instance-id": instance_id, **detail}),
                "EventBusName": "default",
                "Time": int(self._clock()),
                "Resources": [f"arn:aws:ec2:{region}:{account}:instance/{instance_id}"],
                "Account": account,
                "Region": region,
            }
        )
