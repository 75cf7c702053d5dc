"""Finds leftovers in all enabled regions at the same time."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import boto3
from botocore.exceptions import BotoCoreError, ClientError

from gpustation.aws.parallel import Calls
from gpustation.aws.session import explain
from gpustation.leftovers.find import find_leftovers
from gpustation.leftovers.result import NotChecked, Result

DEADLINE_SECONDS = 600.0
"""How long all regions together may take: some 60 calls each, and throttled calls are repeated."""
PARALLEL_REGIONS = 4
"""Each search makes eight calls at a time, and IAM throttles an account as a whole."""


def enabled_regions(session: boto3.session.Session) -> list[str]:
    """The regions that are enabled for the account, that of the session first.

    Raises:
        ClientError: AWS refused.
        BotoCoreError: AWS was not reached.
    """
    rows = session.client("ec2").describe_regions()["Regions"]
    names = sorted(row["RegionName"] for row in rows)
    return sorted(names, key=lambda name: name != session.region_name)


def find_everywhere(
    session: boto3.session.Session,
    regions: Iterable[str],
    stacks: Iterable[str] = (),
    arrived: Callable[[str], None] = lambda _: None,
) -> list[Result]:
    """A result for each region; IAM, which has no region, is in the first.

    A region that cannot be searched in time has a result that says so.

    Args:
        session: Credentials.
        regions: The regions.
        stacks: As for ``find_leftovers``.
        arrived: Is called with each region that was searched.
    """
    names, more = [*regions], tuple(stacks)

    def search(region: str) -> Callable[[], Result]:
        # A session of its own: those of boto3 are not thread-safe
        own = boto3.session.Session(
            profile_name=session.profile_name if session.profile_name != "default" else None,
            region_name=region,
        )
        first = region == names[0]
        return lambda: find_leftovers(own, region=region, stacks=more, with_global=first)

    calls = {region: search(region) for region in names}
    results = Calls(calls, DEADLINE_SECONDS, workers=PARALLEL_REGIONS).results(arrived)
    return [_result(region, results[region]) for region in names]


def _result(region: str, result: Result | Exception) -> Result:
    if isinstance(result, Result):
        return result
    known = isinstance(result, (ClientError, BotoCoreError))
    why = explain(result) if known else str(result)  # type: ignore[arg-type]
    return Result("", region, (), (NotChecked("the whole region", region, why),))
