"""What the spend limit last found: a parameter that the machine and the person's command read."""

from __future__ import annotations

import json
import time
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from botocore.exceptions import ClientError

from gpustation.catalog.names import NOTICES
from gpustation.catalog.spending import Month, Spent

if TYPE_CHECKING:
    from mypy_boto3_ssm import SSMClient

SCHEMA = 1


class NoticeError(Exception):
    """A notice that cannot be read; the message says why."""


@dataclass(frozen=True)
class Notice:
    """The costs of this month so far, and what follows from them.

    Attributes:
        month: The month.
        limit_usd: The setting ``monthly_budget_usd``.
        spent: Costs until ``as_of``.
        usd_per_hour: What an hour costs since then.
        as_of: When this was found, in seconds since 1970, like the other times.
        stops_at: When the limit is reached if everything goes on as now; ``None`` if not in this
            month.
        stopped_at: When the limit last stopped a machine in this month; ``None`` if it did not.
        reason: Why the machines may not run; empty if they may.
    """

    month: Month
    limit_usd: float
    spent: Spent
    usd_per_hour: float
    as_of: float
    stops_at: float | None
    stopped_at: float | None
    reason: str

    def spent_at(self, now: float) -> float:
        """USD spent at a moment of this month, if everything went on as it was."""
        hours = max(0.0, min(now, self.month.end) - self.as_of) / 3600
        return self.spent.total + hours * self.usd_per_hour

    def to_json(self) -> str:
        """The parameter's value."""
        return json.dumps({"schema": SCHEMA} | asdict(self) | {"month": str(self.month)})


def parse_notice(text: str) -> Notice | None:
    """The notice in a parameter's value; ``None`` if none was written yet.

    Raises:
        NoticeError: It has another form.
    """
    try:
        data = json.loads(text)
        if data == {}:
            return None
        if data.pop("schema") != SCHEMA:
            raise NoticeError(f"its schema is not {SCHEMA}; this command may be too old for it")
        data["month"], data["spent"] = Month.parse(data["month"]), Spent(**data["spent"])
        return Notice(**data)
    except (ValueError, TypeError, KeyError, AttributeError):
        raise NoticeError("it is not in the form that the spend limit writes") from None


def read_notices(ssm: SSMClient) -> dict[str, str]:
    """The texts of a region's notices by stack.

    Raises:
        ClientError: AWS refused a call.
    """
    pages = ssm.get_paginator("get_parameters_by_path").paginate(Path=NOTICES)
    return {row["Name"].rpartition("/")[2]: row["Value"] for p in pages for row in p["Parameters"]}


def spent_limit(ssm: SSMClient, stack: str) -> str:
    """Why the machines of a stack may not run in this month; empty if they may.

    Also empty if that cannot be read, as the limit itself is enforced elsewhere.
    """
    try:
        text = ssm.get_parameter(Name=f"{NOTICES}/{stack}")["Parameter"]["Value"]
        notice = parse_notice(text)
    except (ClientError, NoticeError):
        return ""
    is_present = notice is not None and notice.month == Month.of(time.time())
    return notice.reason if notice is not None and is_present else ""
