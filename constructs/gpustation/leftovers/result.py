"""The result of a search: leftovers, and what could not be read."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

from gpustation.catalog.prices import FREE, Cost
from gpustation.leftovers.ownership import Ownership
from gpustation.leftovers.steps import Step

GLOBAL = "global"
"""The region of IAM's resources."""


@dataclass(frozen=True)
class Leftover:
    """A resource that is or may be ours and that no live stack owns.

    Attributes:
        kind: Name of its kind (``gpustation.leftovers.table.KINDS``).
        id: Its id, name or ARN. Untrusted text: escape it before it is displayed.
        region: Its region, or ``global``.
        created: When it was created, if AWS reports that.
        usd_per_month: Its cost in USD per month of 730 hours at us-east-1's prices; 0.0 if it is
            free or the price is unknown.
        cost: What the cost consists of, or why it is 0.
        ours: Why it is considered ours. Untrusted text, as ``id``.
        removal: The AWS CLI command that removes it, ready to paste into a shell; a comment if
            there is a doubt, or no safe command. In the order of a result's rows these commands
            succeed one after another; a resource of a stack that is itself a row is deleted with
            that stack.
        stays: Why it is kept on purpose; empty for a leftover.
        doubt: Why to look at it before removing it; empty if there is no doubt.
        proof: The tag that proves that it is ours and that its stack is gone; empty if no tag does.
        steps: What ``removal`` does.
        mentions: The resource as AWS lists it, in JSON, which names what it belongs to.
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
    proof: str = ""
    steps: tuple[Step, ...] = field(default=(), repr=False)
    mentions: str = field(default="", repr=False)

    @property
    def obstacle(self) -> str:
        """Why ``leftovers --delete`` does not take it; empty if it does."""
        if self.stays or self.doubt:
            return self.stays or self.doubt
        if not self.proof:
            return "no tag proves that it is ours and its stack gone"
        if not self.steps or not all(step.is_safe for step in self.steps):
            return "its name has a special meaning for a shell"
        return ""


@dataclass(frozen=True)
class NotChecked:
    """Something that could not be read, so that the result is incomplete.

    Attributes:
        action: The IAM action that is missing or the call that failed, e.g. ``ec2:DescribeVpcs``;
            or the name of a stack with an operation in progress.
        region: Region of the call.
        reason: The error that AWS returned.
    """

    action: str
    region: str
    reason: str


@dataclass(frozen=True)
class Result:
    """Everything a search found, and what it could not read.

    Attributes:
        account: Id of the account; empty if it could not be read.
        region: The region that was searched.
        rows: Leftovers, and resources that are kept on purpose, in the order of removal.
        not_checked: What could not be read.
    """

    account: str
    region: str
    rows: tuple[Leftover, ...]
    not_checked: tuple[NotChecked, ...]

    @property
    def left(self) -> tuple[Leftover, ...]:
        """Leftovers, proven or not."""
        return tuple(row for row in self.rows if not row.stays)

    @property
    def doubtful(self) -> tuple[Leftover, ...]:
        """The leftovers to look at before removing them."""
        return tuple(row for row in self.left if row.doubt)

    @property
    def staying(self) -> tuple[Leftover, ...]:
        """Resources that are kept on purpose."""
        return tuple(row for row in self.rows if row.stays)

    @property
    def complete(self) -> bool:
        """Whether everything was read; only then does an empty result mean "nothing is left"."""
        return not self.not_checked

    @property
    def usd_per_month(self) -> float:
        """Cost of the proven leftovers, in USD per month."""
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
    proof: str = "",
    steps: tuple[Step, ...] = (),
    mentions: str = "",
) -> Leftover:
    """A row, whose command is a comment if there is a doubt."""
    if why.doubt and not removal.startswith("#"):
        removal = f"# {why.doubt}: {removal}"
    return Leftover(
        kind=kind,
        id=name,
        region=region,
        created=created,
        usd_per_month=cost[0],
        cost=cost[1],
        ours=why.reason,
        removal=removal,
        stays=stays,
        doubt=why.doubt,
        proof=proof,
        steps=steps,
        mentions=mentions,
    )
