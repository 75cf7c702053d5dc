"""Finds all leftovers in a region."""

from __future__ import annotations

from collections.abc import Iterable

import boto3

from gpustation.aws.session import make_session
from gpustation.leftovers.account import Account
from gpustation.leftovers.ownership import Names
from gpustation.leftovers.result import Leftover, Result
from gpustation.leftovers.search import Search
from gpustation.leftovers.stacks import Stacks
from gpustation.leftovers.table import KINDS


def find_leftovers(
    session: boto3.session.Session | None = None,
    *,
    region: str = "",
    stacks: Iterable[str] = (),
) -> Result:
    """Everything of ours in an account and region that no live stack owns. Changes nothing.

    A call that fails makes the result incomplete. If the stacks cannot be read there are no rows
    at all, because the resources of a live stack would look like leftovers.

    Args:
        session: Credentials. Default: those of the environment, as the CDK CLI finds them.
        region: Region. Default: the session's.
        stacks: Names of further stacks of ours, beside ``GpuWorkstation``, ``GpuImage``, both with
            ``-<name>``, and ``GpuDeployRole``; only needed for resources without our tag.
            Default: none.

    Raises:
        ValueError: There is no region.
    """
    session = session or make_session()
    region = region or session.region_name or ""
    if not region:
        raise ValueError("no region: set AWS_REGION or pass --region, e.g. us-east-1")
    account = Account(session, region)
    number = account.read("sts", "get_caller_identity", "Account")
    names = Names(tuple(stacks))
    here = Stacks(account, names)
    rows: list[Leftover] = []
    if here.known:
        search = Search(account, names, here, KINDS)
        for kind in KINDS:
            rows += sorted(search.leftovers(kind.name), key=lambda row: row.id)
        here.note_work()
    return Result(number or "", region, tuple(rows), tuple(account.not_checked))
