"""What a search for leftovers brings: typed rows, and what could not be looked at."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from datetime import datetime

GLOBAL = "global"
"""Region of what belongs to none: IAM."""

KINDS = (
    *("stack", "change set"),
    *("instance", "address", "volume", "built image", "image", "snapshot"),
    *("image recipe", "component", "infrastructure configuration", "distribution configuration"),
    *("key pair", "launch template", "network interface", "internet gateway", "route table"),
    *("subnet", "security group", "vpc"),
    *("function", "instance profile", "role", "policy", "OIDC provider"),
    *("log group", "parameter", "bucket"),
)
"""Every kind, in AWS's words and in the order in which they can be removed."""


@dataclass(frozen=True)
class Leftover:
    """One thing that is ours and that no living stack owns.

    Attributes:
        kind: One of ``KINDS``.
        id: What AWS calls it: its id, name or ARN.
        region: Its region, or ``global``.
        created: When it was made, where AWS tells.
        usd_per_month: What it costs, in USD per month of 730 hours at us-east-1's prices; 0.0
            where it costs nothing or nothing that can be told.
        cost: The same in words: what the sum is made of, or why it is 0.
        ours: Why it is considered ours.
        removal: The AWS CLI command that removes it, to be pasted into a shell with credentials.
            Rows come in an order in which these work one after another, but for what belongs to a
            stack that is itself a row: that goes with it.
        stays: Why it stays on purpose; empty for what is left by mistake.
    """

    kind: str
    id: str
    region: str
    created: datetime | None
    usd_per_month: float
    cost: str
    ours: str
    removal: str
    stays: str = ""


@dataclass(frozen=True)
class NotChecked:
    """Something that could not be asked, so that nothing is known of it.

    Attributes:
        action: The IAM action that is missing, or the call that failed, e.g. ``ec2:DescribeVpcs``;
            of a stack at work its name.
        region: Where it was asked.
        reason: What AWS answered.
    """

    action: str
    region: str
    reason: str


@dataclass(frozen=True)
class Result:
    """Everything that was found, and what was not looked at.

    Attributes:
        account: Id of the account; empty when that could not be asked.
        region: The region that was searched.
        rows: What is ours and no living stack owns, also what stays on purpose.
        not_checked: What could not be asked.
    """

    account: str
    region: str
    rows: tuple[Leftover, ...]
    not_checked: tuple[NotChecked, ...]

    @property
    def left(self) -> tuple[Leftover, ...]:
        """What is left by mistake."""
        return tuple(row for row in self.rows if not row.stays)

    @property
    def staying(self) -> tuple[Leftover, ...]:
        """What stays on purpose."""
        return tuple(row for row in self.rows if row.stays)

    @property
    def complete(self) -> bool:
        """Whether everything was looked at; only then does "nothing left" mean it."""
        return not self.not_checked

    @property
    def usd_per_month(self) -> float:
        """What is left by mistake costs this much."""
        return sum(row.usd_per_month for row in self.left)


def command(words: str, region: str = "", **options: str | bool) -> str:
    """A command of the AWS CLI, ready to paste.

    Args:
        words: Service and operation, e.g. ``ec2 delete-volume``.
        region: Its region; none for IAM.
        **options: Options by their names with underscores; ``True`` for one without a value.
    """
    parts = [f"aws {words}", *([f"--region {region}"] if region else [])]
    for name, value in options.items():
        option = f"--{name.replace('_', '-')}"
        parts.append(option if value is True else f"{option} {shlex.quote(str(value))}")
    return " ".join(parts)


def chain(*commands: str) -> str:
    """Commands that follow one another as long as they succeed; empty ones are left out."""
    return " && ".join(one for one in commands if one)
