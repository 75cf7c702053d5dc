"""Detects accounts on AWS's free plan, on which EC2 launches no GPU type.

New accounts choose a plan since July 2025. On the free plan EC2 refuses every type that is not
eligible for it: "InvalidParameterCombination: The specified instance type is not eligible for Free
Tier". The response for older accounts is not documented, so everything but an explicit "free"
counts as unknown.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any, Protocol, cast

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from gpustation.aws.calls import DENIED, error_code

REGION = "us-east-1"
"""The only region of the partition ``aws`` with an endpoint (botocore's endpoint rules)."""

PATIENCE_SECONDS = 10.0
"""How long a denial is retried, as a new role's policy takes effect late. A quota that is too
small is reported only after this call, so it is short."""

_BRIEF = Config(
    retries={"mode": "standard", "total_max_attempts": 1}, connect_timeout=2, read_timeout=3
)


class FreeTierClient(Protocol):
    """The part of boto3's client that is used."""

    def get_account_plan_state(self) -> Mapping[str, Any]:
        """Type and status of the account's plan, both optional."""


def client(partition: str) -> FreeTierClient | None:
    """The client; ``None`` in partitions without a free plan."""
    if partition != "aws":
        return None
    return cast("FreeTierClient", boto3.client("freetier", region_name=REGION, config=_BRIEF))


def is_free(plans: FreeTierClient | None) -> bool:
    """True only if AWS reports the free plan explicitly within about ``PATIENCE_SECONDS``."""
    deadline, pause = time.monotonic() + PATIENCE_SECONDS, 1.0
    while plans is not None:
        try:
            response = plans.get_account_plan_state()
        except ClientError as error:
            if error_code(error) not in DENIED or time.monotonic() + pause > deadline:
                return False
            time.sleep(pause)
            pause *= 2
        except BotoCoreError:
            return False
        else:
            state = (response.get("accountPlanType"), response.get("accountPlanStatus"))
            return state == ("FREE", "ACTIVE")
    return False
