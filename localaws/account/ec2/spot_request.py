"""One Spot Instance request, with the status codes of EC2's user guide, "Spot request status"."""

from __future__ import annotations

import secrets
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from localaws.account.ec2.spot_options import SpotOptions

if TYPE_CHECKING:
    from localaws.account.clock import Due
    from localaws.account.ec2.launch import Launch

State = Literal["open", "active", "disabled", "closed", "cancelled", "failed"]
LIVING = ("open", "active", "disabled")
"""States in which a request can be cancelled: it has a machine, or EC2 will launch one for it."""
KEPT_SECONDS = 4 * 3600
"""How long a request is listed after it and its machine have ended (botocore's model of
DescribeSpotInstanceRequests)."""
MESSAGES = {
    "pending-evaluation": "Your Spot request has been submitted for review, and is pending "
    "evaluation.",
    "fulfilled": "Your spot request is fulfilled.",
}
"""Messages of AWS's that are known; the other codes have one of ours."""


@dataclass
class SpotRequest:
    """One request.

    Attributes:
        launch: What it launches: without the tags of the first launch, which are not its own.
        instance_id: The machine that fulfilled it last; empty: none.
        updated: When its status changed, in seconds since 1970, as all times here.
        pending: What EC2 will do to it: the end of a stop, of a notice, of its validity.
    """

    options: SpotOptions
    launch: Launch
    zone: str
    zone_id: str
    region: str
    account: str
    created: float
    platform: str
    price: float | None
    id: str = field(default_factory=lambda: f"sir-{secrets.token_hex(4)}")
    instance_id: str = ""
    state: State = "open"
    code: str = "pending-evaluation"
    message: str = ""
    updated: float = 0.0
    pending: list[Due] = field(default_factory=list)
    expiry: Due | None = None

    @property
    def is_persistent(self) -> bool:
        """Whether it launches again when its machine ends."""
        return self.options.kind == "persistent"

    def set(self, state: State, code: str, now: float, message: str = "") -> None:
        """Change state and status."""
        self.state, self.code, self.updated = state, code, now
        self.message = message or MESSAGES.get(code, f"{code.replace('-', ' ').capitalize()}.")

    def forget_plans(self) -> None:
        """Drop what EC2 was about to do, but for the end of its validity."""
        for due in self.pending:
            due.cancelled = True
        self.pending.clear()

    def row(self) -> dict[str, Any]:
        """In the form of the SDK, without its tags."""
        end = self.options.valid_until
        price = self.options.max_price or self.price
        return {
            "CreateTime": stamp(self.created),
            "InstanceId": self.instance_id or None,
            "LaunchSpecification": {
                "ImageId": self.launch.image_id,
                "InstanceType": self.launch.instance_type,
                "KeyName": self.launch.key_name or None,
                "SubnetId": self.launch.subnet_id,
                "SecurityGroups": [{"GroupId": name} for name in self.launch.groups],
                "Placement": {"AvailabilityZone": self.zone, "Tenancy": "default"},
                "Monitoring": {"Enabled": False},
            },
            "LaunchedAvailabilityZone": self.zone if self.instance_id else None,
            "LaunchedAvailabilityZoneId": self.zone_id if self.instance_id else None,
            "ProductDescription": self.platform,
            "SpotInstanceRequestId": self.id,
            "SpotPrice": None if price is None else f"{price:.6f}",
            "State": self.state,
            "Status": {
                "Code": self.code,
                "Message": self.message,
                "UpdateTime": stamp(self.updated),
            },
            "Type": self.options.kind,
            "ValidUntil": None if end is None else stamp(end),
            "InstanceInterruptionBehavior": self.options.behavior,
        }


def stamp(seconds: float) -> str:
    """A time as EC2 writes it."""
    return time.strftime("%Y-%m-%dT%H:%M:%S.000Z", time.gmtime(seconds))
