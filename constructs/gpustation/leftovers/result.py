"""What a search for leftovers brings: typed rows, and what could not be looked at."""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass
from datetime import datetime

from gpustation.catalog.prices import FREE, Cost
from gpustation.leftovers.ours import Ownership

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

SAFE = re.compile(r"(?!.*://)[A-Za-z0-9_./:@+][A-Za-z0-9_./:@+-]*")
"""Values that mean themselves to a shell and to the AWS CLI: no option, no address of a file to
read (``file://``, ``http://``), no shorthand syntax."""
REFUSED = (
    "# no command: a shell or the AWS CLI would read something else in the name of this; "
    "remove it in the console"
)
"""Stands for the command of what cannot be named safely."""


@dataclass(frozen=True)
class Leftover:
    """One thing that is ours, or may be, and that no living stack owns.

    Attributes:
        kind: One of ``KINDS``.
        id: What AWS calls it: its id, name or ARN. Text of others: escape it before it is shown.
        region: Its region, or ``global``.
        created: When it was made, where AWS tells.
        usd_per_month: What it costs, in USD per month of 730 hours at us-east-1's prices; 0.0
            where it costs nothing or nothing that can be told.
        cost: The same in words: what the sum is made of, or why it is 0.
        ours: Why it is considered ours. Text of others, as ``id``.
        removal: The AWS CLI command that removes it, to be pasted into a shell with credentials.
            A comment where there is a doubt, or no safe command. Rows come in an order in which
            these work one after another, but for what belongs to a stack that is itself a row:
            that goes with it.
        stays: Why it stays on purpose; empty for what is left by mistake.
        doubt: Why a person should look before it is removed; empty where nothing is in doubt.
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
    doubt: str = ""


@dataclass(frozen=True)
class NotChecked:
    """Something that could not be asked, so that nothing is known of it.

    Attributes:
        action: The IAM action that is missing, or the call that failed, e.g. ``ec2:DescribeVpcs``;
            of a stack that is not settled its name.
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
        rows: What is ours, or may be, and no living stack owns, also what stays on purpose.
        not_checked: What could not be asked.
    """

    account: str
    region: str
    rows: tuple[Leftover, ...]
    not_checked: tuple[NotChecked, ...]

    @property
    def left(self) -> tuple[Leftover, ...]:
        """What is left by mistake, or may be."""
        return tuple(row for row in self.rows if not row.stays)

    @property
    def doubtful(self) -> tuple[Leftover, ...]:
        """The part of ``left`` that a person should look at before removing it."""
        return tuple(row for row in self.left if row.doubt)

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
        """What is left by mistake costs this much; what is in doubt is not counted."""
        return sum(row.usd_per_month for row in self.left if not row.doubt)


def leftover(
    kind: str,
    name: str,
    region: str,
    why: Ownership,
    removal: str,
    *,
    created: datetime | None = None,
    cost: Cost = (0.0, FREE),
    stays: str = "",
) -> Leftover:
    """A row, whose command is a comment where there is a doubt."""
    if why.doubt and not removal.startswith("#"):
        removal = f"# {why.doubt}: {removal}"
    return Leftover(kind, name, region, created, *cost, why.reason, removal, stays, why.doubt)


def command(words: str, region: str = "", **options: str) -> str:
    """A command of the AWS CLI, ready to paste; ``REFUSED`` where a value is not ``SAFE``.

    Args:
        words: Service and operation, e.g. ``ec2 delete-volume``.
        region: Its region; none for IAM.
        **options: Options by their names with underscores.
    """
    values = {**({"region": region} if region else {}), **options}
    if not all(SAFE.fullmatch(value) for value in values.values()):
        return REFUSED
    named = (f"--{name.replace('_', '-')} {shlex.quote(value)}" for name, value in values.items())
    return " ".join([f"aws {words}", *named])


def chain(*commands: str) -> str:
    """Commands that follow one another as long as they succeed; empty ones are left out.

    Part of a chain is worse than none of it, so one that is refused stands for all.
    """
    return REFUSED if REFUSED in commands else " && ".join(one for one in commands if one)
